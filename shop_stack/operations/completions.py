"""How accepted orders end, read from the log: in time, or not, or given up by the shop at a deadline."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from shop_stack.errors import PositionBelowStart, PositionPastEnd
from shop_stack.eventlog.interface import EventLog, StoredRecord
from shop_stack.events import ORDERS, OrderCancelled, OrderCompleted, OrderPlaced, OrderRejected

_LOOK_BACK = 500  # records of a partition: orders that were on their way when operations started
_REMEMBERED = 20_000
_MOST_OPEN = 100_000
_TOLD = tuple(event.type.encode() for event in (OrderPlaced, OrderCompleted, OrderRejected, OrderCancelled))


class _Reason(msgspec.Struct):
    reason: str = ""


class _Wire(msgspec.Struct):
    type: str
    subject: str
    time: datetime
    data: _Reason


_wire = msgspec.json.Decoder(_Wire)


class Judged(NamedTuple):
    """Orders that came to their end or to the end of their time, and those of them that broke the promise."""

    orders: int
    broken: int


class Completions:
    """Judges each order once: when it ends, or when its time is over and it has not. Thread-safe.

    What was decided before operations began is not judged, for it was or could not be: only from then on are minutes
    counted. While the log does not answer nobody's time is over; what is read later is judged by the events' own times.
    """

    def __init__(self, within_s: float, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._within_s = within_s
        self._clock = clock
        self._began = self._read_to = clock().timestamp()
        self._positions: dict[int, int] = {}
        self._open: OrderedDict[str, float] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()
        self._orders = self._broken = 0
        self._lock = threading.Lock()

    def follow(self, log: EventLog) -> None:
        """Read what is new of the orders' topic. Raises LogUnavailable."""
        asked_at = self._clock().timestamp()
        for partition, (start, end) in enumerate(zip(log.starts(ORDERS.name), log.ends(ORDERS.name), strict=True)):
            self._read(log, partition, start, end)
        with self._lock:
            self._read_to = asked_at

    def take(self) -> Judged:
        """What was judged since the last call."""
        with self._lock:
            while self._open:
                order, placed_at = next(iter(self._open.items()))
                if placed_at + self._within_s >= self._read_to:
                    break
                self._judge(order, placed_at + self._within_s, broken=True)
            taken, self._orders, self._broken = Judged(self._orders, self._broken), 0, 0
            return taken

    def _read(self, log: EventLog, partition: int, start: int, end: int) -> None:
        position = self._positions.get(partition, max(start, end - _LOOK_BACK))
        if not start <= position <= end:
            position = max(start, end - _LOOK_BACK)
        while position < end:
            try:
                records = log.read(ORDERS.name, partition, position)
            except (PositionPastEnd, PositionBelowStart):
                break
            if not records:
                break
            with self._lock:
                for record in records:
                    self._note(record)
            position = records[-1].position + 1
        self._positions[partition] = position

    def _note(self, record: StoredRecord) -> None:
        if not any(kind in record.value for kind in _TOLD):
            return
        try:
            event = _wire.decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        at = event.time.timestamp()
        if event.type == OrderPlaced.type:
            if event.subject not in self._over:
                self._open.setdefault(event.subject, at)
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        elif event.type.encode() in _TOLD and event.subject in self._open:
            given_up = event.type == OrderCancelled.type and event.data.reason == "deadline"
            due = self._open[event.subject] + self._within_s
            self._judge(event.subject, min(at, due), broken=given_up or at > due)

    def _judge(self, order: str, at: float, broken: bool) -> None:
        self._open.pop(order, None)
        self._over[order] = None
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)
        if at >= self._began:
            self._orders += 1
            self._broken += broken
