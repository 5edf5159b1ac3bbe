"""How far each consumer group is behind: records, seconds, orders and money, which way it goes, and in which partition.

Positions are committed a quarter of a second late and looked at every few seconds, so a record *waits* only when it
was unprocessed at the look before as well; whatever is newer flows, and counts in records alone.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from shop_stack.eventlog.interface import Backlog, EventLog, TopicPartition
from shop_stack.events import PartitionLag
from shop_stack.operations.drain import HISTORY_S, Drain, Point, Rates, estimate, rates
from shop_stack.operations.model import GroupLag
from shop_stack.operations.waiting import Orders, Waiting, WaitingRecords

HOT_SHARE = 0.5
HOT_RECORDS = 50
HOT_OVER_FAIR = 2.0

Positions = Mapping[str, Mapping[TopicPartition, Backlog]]


class Backlogs:
    """What was seen at each look of the last three minutes. One thread looks; any may ask."""

    def __init__(self) -> None:
        self._points: dict[str, deque[Point]] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._waiting = WaitingRecords()
        self._groups: Mapping[str, GroupLag] = {}

    def look(self, log: EventLog, now: float) -> None:
        """Ask the log once. `now` is in seconds since 1970. Raises LogUnavailable."""
        positions = log.backlogs()
        waiting = _waiting(positions, self._ends)
        self._waiting.look(log, waiting)
        for group, partitions in positions.items():
            self._remember(group, partitions, now)
        self._points = {group: points for group, points in self._points.items() if group in positions}
        self._ends = {where: one.end for partitions in positions.values() for where, one in partitions.items()}
        self._groups = {
            group: self._group_lag(log, group, partitions, waiting.get(group, {}), now)
            for group, partitions in positions.items()
        }

    @property
    def anything_unread(self) -> bool:
        """Whether any group had something to process at the last look: only then can anything wait at the next."""
        return any(one.lag > 0 for one in self._groups.values())

    def group(self, name: str) -> GroupLag | None:
        """A group as it was at the last look; None when nobody has joined it."""
        return self._groups.get(name)

    def groups(self) -> list[GroupLag]:
        """All groups by name."""
        return [one for _, one in sorted(self._groups.items())]

    def _remember(self, group: str, partitions: Mapping[TopicPartition, Backlog], now: float) -> None:
        points = self._points.setdefault(group, deque())
        arrived = float(sum(one.end for one in partitions.values()))
        points.append(Point(now, arrived, arrived - sum(one.records for one in partitions.values())))
        while points[0].at < now - HISTORY_S:
            points.popleft()

    def _group_lag(
        self,
        log: EventLog,
        group: str,
        partitions: Mapping[TopicPartition, Backlog],
        waiting: Mapping[TopicPartition, Backlog],
        now: float,
    ) -> GroupLag:
        appended = {where: self._waiting.appended_ms(log, where, one.position) for where, one in waiting.items()}
        ages = {where: max(0.0, now - ms / 1000) for where, ms in appended.items() if ms is not None}
        points = self._points[group]
        drain = estimate(points) if waiting else Drain(state="nothing_waits")
        return _put_together(group, partitions, ages, rates(points), drain, self._waiting.orders(waiting))


def up_to_date(known: GroupLag | None, group: str, partitions: Mapping[TopicPartition, Backlog]) -> GroupLag:
    """The group with positions of right now and what the last look found out besides."""
    rows = known.partitions if known is not None else []
    ages = {(row.topic, row.partition): row.seconds for row in rows if row.seconds > 0}
    still = {where: age for where, age in ages.items() if where in partitions and partitions[where].records}
    drain = known.drain if known is not None else Drain(state="unknown")
    orders = Orders()
    if known is not None:
        orders = Orders(orders=known.orders_waiting, minor=known.waiting_minor, whole=known.orders_whole)
    return _put_together(group, partitions, still, known.rates if known is not None else None, drain, orders)


def _waiting(positions: Positions, ends_before: Mapping[TopicPartition, int]) -> Waiting:
    """The partitions in which a group has records that were there at the look before."""
    found = {
        group: {
            where: one for where, one in partitions.items() if one.position < min(ends_before.get(where, 0), one.end)
        }
        for group, partitions in positions.items()
    }
    return {group: partitions for group, partitions in found.items() if partitions}


def _put_together(
    group: str,
    partitions: Mapping[TopicPartition, Backlog],
    ages: Mapping[TopicPartition, float],
    measured: Rates | None,
    drain: Drain,
    waits: Orders,
) -> GroupLag:
    total = sum(one.records for one in partitions.values())
    rows = [
        PartitionLag(
            topic=where[0],
            partition=where[1],
            committed=one.position,
            end=one.end,
            lag=one.records,
            seconds=ages.get(where, 0.0),
            share=one.records / total if total else 0.0,
        )
        for where, one in sorted(partitions.items())
    ]
    return GroupLag(
        group=group,
        lag=total,
        seconds=max(ages.values(), default=0.0),
        orders_waiting=waits.orders,
        waiting_minor=waits.minor,
        orders_whole=waits.whole,
        rates=measured,
        drain=drain,
        hot=hot_partition(rows),
        partitions=rows,
    )


def hot_partition(rows: Sequence[PartitionLag]) -> str | None:
    """The partition, as `topic/number`, that holds at least half of 50 records or more, and twice its fair share.

    Only one replica can read it: more replicas leave it as it is.
    """
    total = sum(row.lag for row in rows)
    most = max(rows, key=lambda row: row.lag, default=None)
    if most is None or total < HOT_RECORDS or most.share < max(HOT_SHARE, min(1.0, HOT_OVER_FAIR / len(rows))):
        return None
    return f"{most.topic}/{most.partition}"
