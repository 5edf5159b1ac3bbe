"""Envoy's admin interface over its Unix socket: statistics, the state of endpoints, draining."""

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shop_stack.errors import MeshError
from shop_stack.runtime.sockets import reachable
from shop_stack.settings import Place


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with reachable(self._path) as name:
            self.sock.connect(name)


@dataclass(frozen=True)
class HostState:
    """An endpoint as Envoy sees it: `serving` gets new requests; `active` requests are in flight to it."""

    cluster: str
    place: Place
    serving: bool
    draining: bool
    active: int

    @property
    def port(self) -> int:
        return self.place[1]


class EnvoyAdmin:
    """Asks and tells one Envoy. Thread-safe: each call has its own connection. Raises MeshError when it is down."""

    def __init__(self, admin_socket: Path, timeout_s: float = 1.0) -> None:
        self._path = admin_socket
        self._timeout_s = timeout_s

    def get(self, path: str) -> bytes:
        """GET an admin page, such as `/stats?format=json&usedonly`."""
        return self._ask("GET", path)

    def post(self, path: str) -> bytes:
        """POST an admin command, such as `/drain_listeners?graceful`."""
        return self._ask("POST", path)

    def live(self) -> bool:
        """Whether Envoy has loaded its configuration and takes connections."""
        try:
            return self.get("/ready").startswith(b"LIVE")
        except MeshError:
            return False

    def hosts(self) -> list[HostState]:
        """Every endpoint of every cluster."""
        answer = msgspec.json.decode(self.get("/clusters?format=json"), type=_Clusters)
        return [_host(cluster.name, host) for cluster in answer.cluster_statuses for host in cluster.host_statuses]

    def _ask(self, method: str, path: str) -> bytes:
        connection = _Connection(self._path, self._timeout_s)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise MeshError(f"Envoy does not answer on {self._path} ({error}); see: shopfloor logs gateway") from error
        finally:
            connection.close()
        if answer.status != 200 and path != "/ready":
            raise MeshError(f"Envoy refused {method} {path}: {answer.status} {body[:200]!r}")
        return body


class _Socket(msgspec.Struct):
    address: str = ""
    port_value: int = 0


class _Address(msgspec.Struct):
    socket_address: _Socket = msgspec.field(default_factory=_Socket)


class _Stat(msgspec.Struct):
    name: str
    value: str | int = 0


class _Health(msgspec.Struct):
    eds_health_status: str = "UNKNOWN"
    failed_active_health_check: bool = False
    pending_active_hc: bool = False
    failed_outlier_check: bool = False


class _Host(msgspec.Struct):
    address: _Address
    stats: list[_Stat] = []
    health_status: _Health = msgspec.field(default_factory=_Health)


class _Cluster(msgspec.Struct):
    name: str
    host_statuses: list[_Host] = []


class _Clusters(msgspec.Struct):
    cluster_statuses: list[_Cluster] = []


def _host(cluster: str, host: _Host) -> HostState:
    health = host.health_status
    active = next((int(stat.value) for stat in host.stats if stat.name == "rq_active"), 0)
    draining = health.eds_health_status == "DRAINING"
    sick = health.failed_active_health_check or health.pending_active_hc or health.failed_outlier_check
    at = host.address.socket_address
    return HostState(cluster, (at.address, at.port_value), not sick and not draining, draining, active)
