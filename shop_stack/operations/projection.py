"""What analytics concludes and other services raise, as operations keeps it: the newest of each."""

import threading

from shop_stack.envelope import Envelope, decode
from shop_stack.errors import BadEvent, PositionBelowStart, PositionPastEnd
from shop_stack.eventlog.interface import EventLog
from shop_stack.events import (
    INCIDENTS,
    MODELS,
    CheckJudged,
    Event,
    ForecastMade,
    IncidentOpened,
    IncidentResolved,
    ReplicasAdvised,
)
from shop_stack.operations.advice import Advice
from shop_stack.operations.store import SOURCE

_LOOK_BACK = 500
_SERIES = "requests:"


class Projection:
    """The newest forecast and advice of each service, verdict of each check, and incidents that others opened.

    It starts 500 records before the end: forecasts of the coming hour and advice older than that are stale anyway,
    and checks are judged anew every hour. Thread-safe for reading.
    """

    def __init__(self) -> None:
        self._forecasts: dict[str, ForecastMade] = {}
        self._advice: dict[str, Advice] = {}
        self._checks: dict[str, CheckJudged] = {}
        self._positions: dict[tuple[str, int], int] = {}
        self._incidents: list[Envelope[Event]] = []
        self._lock = threading.Lock()

    def forecast(self, service: str) -> ForecastMade | None:
        """The newest forecast of the service's requests."""
        with self._lock:
            return self._forecasts.get(service)

    def advice(self, service: str) -> Advice | None:
        """The newest advice for the service."""
        with self._lock:
            return self._advice.get(service)

    def checks(self) -> list[CheckJudged]:
        """The newest verdict of each check of analytics' books."""
        with self._lock:
            return list(self._checks.values())

    def take_incidents(self) -> list[Envelope[Event]]:
        """Incidents that others opened or resolved since the last call, in order."""
        with self._lock:
            taken, self._incidents = self._incidents, []
        return taken

    def follow(self, log: EventLog) -> None:
        """Read what is new on the log. Raises LogUnavailable."""
        for topic in (MODELS.name, INCIDENTS.name):
            for partition, (start, end) in enumerate(zip(log.starts(topic), log.ends(topic), strict=True)):
                self._read(log, topic, partition, start, end)

    def _read(self, log: EventLog, topic: str, partition: int, start: int, end: int) -> None:
        position = self._positions.get((topic, partition), max(start, end - _LOOK_BACK))
        if not start <= position <= end:
            position = max(start, end - _LOOK_BACK)
        while position < end:
            try:
                records = log.read(topic, partition, position)
            except (PositionPastEnd, PositionBelowStart):
                break
            if not records:
                break
            for record in records:
                self._apply(record.value)
            position = records[-1].position + 1
        self._positions[topic, partition] = position

    def _apply(self, value: bytes) -> None:
        try:
            envelope = decode(value)
        except BadEvent:
            return
        event = envelope.data
        with self._lock:
            if isinstance(event, ForecastMade) and event.series.startswith(_SERIES):
                self._forecasts[event.series.removeprefix(_SERIES)] = event
            elif isinstance(event, ReplicasAdvised):
                self._advice[event.service] = Advice(event.replicas, event.because, envelope.time)
            elif isinstance(event, CheckJudged):
                self._checks[event.check] = event
            elif isinstance(event, IncidentOpened | IncidentResolved) and envelope.source != SOURCE:
                self._incidents.append(envelope)
