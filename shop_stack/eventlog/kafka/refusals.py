"""Kafka's client, but that a cluster which does not let us in is heard at the first attempt."""

from typing import Any

from kafka.errors import SaslAuthenticationFailedError, UnsupportedSaslMechanismError
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

REFUSALS = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Its own looks for a first broker until the time is over, and then tells that the time is over."""

    def __init__(self, net: Any, **options: Any) -> None:
        super().__init__(net, **options)
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
