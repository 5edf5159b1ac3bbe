"""What waits in the backlogs of consumer groups, read from the records: since when, which orders, how much money."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from shop_stack.errors import PositionBelowStart, PositionPastEnd
from shop_stack.eventlog.interface import Backlog, EventLog, StoredRecord, TopicPartition
from shop_stack.events import INVENTORY, ORDERS, PAYMENTS, SHIPPING, OrderPlaced

Waiting = Mapping[str, Mapping[TopicPartition, Backlog]]
"""By group, the partitions in which records wait."""

READ_AT_ONCE = 2000  # records in a look: about 20 ms of CPU
KEPT = 20_000
_OF_ORDERS = frozenset({ORDERS.name, INVENTORY.name, PAYMENTS.name, SHIPPING.name})
_LOOK_BACK = 1000  # records of a partition of ORDERS, for the totals of orders placed before anything waited
_PLACED = OrderPlaced.type.encode()


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that wait and the sum of their totals in minor units; both are at least so much unless `whole`."""

    orders: int = 0
    minor: int = 0
    whole: bool = True


class _Total(msgspec.Struct):
    total_minor: int


class _Placed(msgspec.Struct):
    subject: str
    data: _Total


class _About(msgspec.Struct):
    subject: str
    correlationid: str | None = None


_read_placed = msgspec.json.Decoder(_Placed).decode
_read_about = msgspec.json.Decoder(_About).decode


@dataclass
class _Stretch:
    """Records of a partition from `first` on without a gap: when each was appended, and the order it is about."""

    first: int
    records: deque[tuple[int, str | None]] = field(default_factory=deque)

    @property
    def end(self) -> int:
        return self.first + len(self.records)

    def add(self, record: StoredRecord) -> None:
        """Append a record; positions that the log has no record at count as about no order."""
        about = _order_of(record.value) if record.topic in _OF_ORDERS else None
        while self.end < record.position:
            self.records.append((record.appended_ms, None))
        self.records.append((record.appended_ms, about))

    def drop_before(self, position: int) -> None:
        """Forget the records before a position within the stretch."""
        while self.first < position:
            self.records.popleft()
            self.first += 1


class WaitingRecords:
    """Reads each waiting record once, at most 2,000 in a look and 20,000 in all, and nothing while nothing waits.

    An order counts for a group when an event of its own (its order, payment, shipment or reservation) lies in the
    group's backlog, whether or not the group heeds events of that type. Belongs to one thread.
    """

    def __init__(self) -> None:
        self._stretches: dict[TopicPartition, _Stretch] = {}
        self._totals: dict[str, int] = {}
        self._totals_to: dict[TopicPartition, int] = {}

    def look(self, log: EventLog, waiting: Waiting) -> None:
        """Read what came to wait since the last look. Raises LogUnavailable."""
        wanted: dict[TopicPartition, tuple[int, int]] = {}
        for partitions in waiting.values():
            for where, backlog in partitions.items():
                low, high = wanted.get(where, (backlog.position, backlog.end))
                wanted[where] = min(low, backlog.position), max(high, backlog.end)
        self._stretches = {where: self._from(where, low) for where, (low, _) in wanted.items()}
        room = min(READ_AT_ONCE, KEPT - sum(len(one.records) for one in self._stretches.values()))
        for where, stretch in self._stretches.items():
            least = 0 if stretch.records else 1
            _extend(log, where, stretch, min(wanted[where][1], stretch.end + max(least, room // len(wanted))))
        if any(topic in _OF_ORDERS for topic, _ in wanted):
            self._follow_totals(log)
        else:
            self._totals, self._totals_to = {}, {}

    def appended_ms(self, log: EventLog, where: TopicPartition, position: int) -> int | None:
        """When the record at a waiting position was appended; None when the log no longer has it."""
        stretch = self._stretches.get(where)
        if stretch is not None and stretch.first <= position < stretch.end:
            return stretch.records[position - stretch.first][0]
        return next((record.appended_ms for record in _read(log, where, position, 1)), None)

    def orders(self, partitions: Mapping[TopicPartition, Backlog]) -> Orders:
        """Of these backlogs of one group, as they were last looked at."""
        found: set[str] = set()
        whole = True
        for where, backlog in partitions.items():
            stretch = self._stretches.get(where)
            if where[0] in _OF_ORDERS and stretch is not None:
                whole = whole and stretch.end >= backlog.end
                begin = max(0, backlog.position - stretch.first)
                found.update(about for _, about in islice(stretch.records, begin, None) if about is not None)
        totals = [self._totals[order] for order in found if order in self._totals]
        return Orders(orders=len(found), minor=sum(totals), whole=whole and len(totals) == len(found))

    def _from(self, where: TopicPartition, low: int) -> _Stretch:
        """What is known of a partition from `low` on."""
        stretch = self._stretches.get(where)
        if stretch is None or not stretch.first <= low <= stretch.end:
            return _Stretch(low)
        stretch.drop_before(low)
        return stretch

    def _follow_totals(self, log: EventLog) -> None:
        """Follow the orders placed, from a little before the first look at which anything waited."""
        for number, (start, end) in enumerate(zip(log.starts(ORDERS.name), log.ends(ORDERS.name), strict=True)):
            where = (ORDERS.name, number)
            position = self._totals_to.get(where, max(start, end - _LOOK_BACK))
            while position < end and (found := _read(log, where, position, end - position)):
                self._keep_totals(found)
                position = found[-1].position + 1
            self._totals_to[where] = position

    def _keep_totals(self, records: Sequence[StoredRecord]) -> None:
        for record in records:
            if _PLACED in record.value:
                try:
                    placed = _read_placed(record.value)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
                self._totals[placed.subject] = placed.data.total_minor


def _extend(log: EventLog, where: TopicPartition, stretch: _Stretch, end: int) -> None:
    while stretch.end < end and (found := _read(log, where, stretch.end, end - stretch.end)):
        for record in found:
            stretch.add(record)


def _read(log: EventLog, where: TopicPartition, position: int, at_most: int) -> list[StoredRecord]:
    try:
        return log.read(*where, position, min(at_most, 500))
    except (PositionPastEnd, PositionBelowStart):
        return []  # cut off, or removed by retention: there is nothing to read


def _order_of(value: bytes) -> str | None:
    try:
        about = _read_about(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return about.subject if about.correlationid == about.subject else None
