"""What replicas report of themselves: the age of their outbox, their stopped aggregates, their work in hand."""

import contextlib
import http.client
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from shop_stack.events import WorkInHand
from shop_stack.runtime.interface import Replica
from shop_stack.settings import Place

_TIMEOUT_S = 0.5
OUTBOX_AGE = "shopfloor_outbox_age_seconds"
STOPPED = "shopfloor_stopped_aggregates"
WORK_ITEMS = "shopfloor_work_items"
WORK_OLDEST = "shopfloor_work_oldest_seconds"


class Stopped(msgspec.Struct, frozen=True):
    """An aggregate that does not go on, as a replica tells it: who stopped, at which event, why, how many wait."""

    consumer: str
    topic: str
    aggregate: str
    error: str
    parked: int


@dataclass(frozen=True)
class Report:
    """One service over its replicas: the oldest unpublished event's age in seconds, aggregates that are stopped, and
    the work in hand by kind."""

    outbox_age_s: float = 0.0
    stopped: tuple[Stopped, ...] = ()
    work: tuple[WorkInHand, ...] = ()

    @property
    def stopped_names(self) -> list[str]:
        """The stopped aggregates' ids, in order."""
        return [one.aggregate for one in self.stopped]


NOTHING = Report()


def read_gauge(text: str, name: str) -> dict[str, float]:
    """The values of a Prometheus gauge by its `service` label; lines of other metrics are skipped."""
    values: dict[str, float] = {}
    for labels, value in _series(text, name):
        service = _label(labels, "service")
        values[service] = max(values.get(service, 0.0), value)
    return values


def read_work(text: str) -> dict[str, list[WorkInHand]]:
    """The work in hand by service, as a replica's page tells it; a kind without an age is left out."""
    oldest = dict(_series(text, WORK_OLDEST))
    work: dict[str, list[WorkInHand]] = {}
    for labels, items in _series(text, WORK_ITEMS):
        if labels in oldest and items > 0:
            kind, waits_for = _label(labels, "kind"), _label(labels, "waits_for")
            one = WorkInHand(kind=kind, waits_for=waits_for, items=int(items), oldest_s=oldest[labels])
            work.setdefault(_label(labels, "service"), []).append(one)
    return work


def _series(text: str, name: str) -> Iterable[tuple[str, float]]:
    for line in text.splitlines():
        if line.startswith(name + "{"):
            labels, _, value = line[len(name) + 1 :].rpartition("} ")
            with contextlib.suppress(ValueError):
                yield labels, float(value)


def _label(labels: str, name: str) -> str:
    _, found, rest = labels.partition(f'{name}="')
    return rest.partition('"')[0] if found else ""


class Reporters:
    """Asks replicas in turn, over connections that are kept. One thread at a time."""

    def __init__(self) -> None:
        self._connections: dict[Place, http.client.HTTPConnection] = {}

    def ask(self, replicas: Iterable[Replica], services: Sequence[str]) -> dict[str, Report]:
        """Reports by service of one group's ready replicas; a replica that does not answer is left out.

        Stopped aggregates and work in hand lie in the store that all replicas share: the first that knows of any
        tells them all.
        """
        ages: dict[str, float] = {}
        stopped: dict[str, list[Stopped]] = {}
        work: dict[str, list[WorkInHand]] = {}
        for replica in replicas:
            if replica.state != "ready":
                continue
            page = self._get(replica.place, "/metrics").decode()
            for service, age in read_gauge(page, OUTBOX_AGE).items():
                ages[service] = max(ages.get(service, 0.0), age)
            work = work or read_work(page)
            if not stopped and any(read_gauge(page, STOPPED).values()):
                for one in _stopped(self._get(replica.place, "/stopped")):
                    stopped.setdefault(one.consumer, []).append(one)
        return {
            name: Report(ages.get(name, 0.0), tuple(stopped.get(name, ())), tuple(work.get(name, ())))
            for name in services
        }

    def forget(self, places: Iterable[Place]) -> None:
        """Close the connections to all but these."""
        keep = set(places)
        for place in [place for place in self._connections if place not in keep]:
            self._connections.pop(place).close()

    def _get(self, place: Place, path: str) -> bytes:
        connection = self._connections.get(place) or http.client.HTTPConnection(*place, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connections.pop(place, None)
            return b""
        self._connections[place] = connection
        return body if answer.status == 200 else b""


def _stopped(body: bytes) -> list[Stopped]:
    if not body:
        return []
    try:
        return msgspec.json.decode(body, type=list[Stopped])
    except msgspec.MsgspecError:
        return []
