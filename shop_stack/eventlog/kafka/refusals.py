"""Kafka's client, but that it hears at once who does not let us in, and soon leaves a broker that is gone."""

from typing import Any

from kafka.errors import SaslAuthenticationFailedError, UnsupportedSaslMechanismError
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

REFUSALS = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
# A broker that is gone with its address answers nothing: each try of it takes this long, and the others wait for news.
# The library's own are 10 and 30 s, and no client takes them as options.
_CONNECT = {"socket_connection_setup_timeout_ms": 2000, "socket_connection_setup_timeout_max_ms": 8000}


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Its own looks for a first broker until the time is over, and then tells that the time is over."""

    def __init__(self, net: Any, **options: Any) -> None:
        super().__init__(net, **(options | _CONNECT))
        self._refusals: dict[Any, Exception] = {}  # its own list forgets a refusal as soon as the attempt has ended

    def get_connection(self, node_id: Any, **options: Any) -> Any:
        """As its own; a broker looked up first that refused us raises its refusal the next time."""
        if node_id in self._refusals:
            raise self._refusals.pop(node_id)
        connection = super().get_connection(node_id, **options)
        if node_id is not None and self.cluster.is_bootstrap(node_id):
            connection.init_future.add_errback(lambda error: self._note(node_id, error))
        return connection

    def _note(self, node_id: Any, error: Exception) -> None:
        if isinstance(error, REFUSALS):
            self._refusals[node_id] = error


class Client(KafkaNetClient):  # type: ignore[misc]
    """What consumers, producers and the administrative client take as `kafka_client`."""

    def __init__(self, **options: Any) -> None:
        net = NetworkSelector(**options)
        super().__init__(net=net, manager=_Manager(net, **options), **options)
