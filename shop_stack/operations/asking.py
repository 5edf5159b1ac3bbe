"""Asks a ready replica of a service over HTTP, on the host's and the service's own pages behind the gateway."""

import http.client

from shop_stack.errors import NotRunning
from shop_stack.hosting.topology import Topology
from shop_stack.runtime.interface import Runtime
from shop_stack.settings import Place
from shop_stack.telemetry.tracing import calling

_TIMEOUT_S = 30.0
_JSON = {"content-type": "application/json"}


class Replicas:
    """The way to one ready replica of each service; which one does not matter, they share their store. Thread-safe."""

    def __init__(self, topology: Topology, runtime: Runtime) -> None:
        self._topology, self._runtime = topology, runtime

    def ask(self, service: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The answer's status and body.

        Raises SettingError for an unknown service, NotRunning when it has no ready replica or does not answer in 30 s.
        """
        connection = http.client.HTTPConnection(*self._place(service), timeout=_TIMEOUT_S)
        try:
            with calling("operations", f"ask {service}") as trace:
                connection.request(method, path, body, {**_JSON, **trace})
                answer = connection.getresponse()
                return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotRunning(f"{service} does not answer ({error}); see: shopfloor status") from error
        finally:
            connection.close()

    def _place(self, service: str) -> Place:
        group = self._topology.group_of(service)
        for one in self._runtime.observe().groups:
            for replica in one.replicas if one.name == group else ():
                if replica.state == "ready":
                    return replica.place
        raise NotRunning(f"{service} has no ready replica to ask; see: shopfloor status")
