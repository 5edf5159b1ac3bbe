"""What replicas report of themselves: the age of their outbox and their stopped aggregates."""

import http.client
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from shop_stack.runtime.interface import Replica

_TIMEOUT_S = 0.5
OUTBOX_AGE = "shopfloor_outbox_age_seconds"
STOPPED = "shopfloor_stopped_aggregates"


class Stopped(msgspec.Struct, frozen=True):
    """An aggregate that does not go on, as a replica tells it: who stopped, at which event, why, how many wait."""

    consumer: str
    topic: str
    aggregate: str
    error: str
    parked: int


@dataclass(frozen=True)
class Report:
    """One service over its replicas: the oldest unpublished event's age in seconds, and aggregates that are stopped."""

    outbox_age_s: float = 0.0
    stopped: tuple[Stopped, ...] = ()

    @property
    def stopped_names(self) -> list[str]:
        """The stopped aggregates' ids, in order."""
        return [one.aggregate for one in self.stopped]


NOTHING = Report()


def read_gauge(text: str, name: str) -> dict[str, float]:
    """The values of a Prometheus gauge by its `service` label; lines of other metrics are skipped."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith(name + "{"):
            continue
        labels, _, value = line[len(name) + 1 :].rpartition("} ")
        service = _label(labels, "service")
        try:
            values[service] = max(values.get(service, 0.0), float(value))
        except ValueError:
            continue
    return values


def _label(labels: str, name: str) -> str:
    _, found, rest = labels.partition(f'{name}="')
    return rest.partition('"')[0] if found else ""


class Reporters:
    """Asks replicas in turn, over connections that are kept. One thread at a time."""

    def __init__(self) -> None:
        self._connections: dict[int, http.client.HTTPConnection] = {}

    def ask(self, replicas: Iterable[Replica], services: Sequence[str]) -> dict[str, Report]:
        """Reports by service of one group's ready replicas; a replica that does not answer is left out.

        Stopped aggregates lie in the store that all replicas share: the first that knows of any tells them all.
        """
        ages: dict[str, float] = {}
        stopped: dict[str, list[Stopped]] = {}
        for replica in replicas:
            if replica.state != "ready":
                continue
            page = self._get(replica.port, "/metrics").decode()
            for service, age in read_gauge(page, OUTBOX_AGE).items():
                ages[service] = max(ages.get(service, 0.0), age)
            if not stopped and any(read_gauge(page, STOPPED).values()):
                for one in _stopped(self._get(replica.port, "/stopped")):
                    stopped.setdefault(one.consumer, []).append(one)
        return {name: Report(ages.get(name, 0.0), tuple(stopped.get(name, ()))) for name in services}

    def forget(self, ports: Iterable[int]) -> None:
        """Close the connections to all but these ports."""
        keep = set(ports)
        for port in [port for port in self._connections if port not in keep]:
            self._connections.pop(port).close()

    def _get(self, port: int, path: str) -> bytes:
        connection = self._connections.get(port) or http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connections.pop(port, None)
            return b""
        self._connections[port] = connection
        return body if answer.status == 200 else b""


def _stopped(body: bytes) -> list[Stopped]:
    if not body:
        return []
    try:
        return msgspec.json.decode(body, type=list[Stopped])
    except msgspec.MsgspecError:
        return []
