"""Finding what a log has lost, before anything new is appended over the gap."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import msgspec

from shop_stack.eventlog.interface import EventLog, StoredRecord, TopicPartition
from shop_stack.eventlog.records import partition_of
from shop_stack.eventlog.sent_rows import Sent, SentRows
from shop_stack.events.topics import TOPICS

NEWEST = 100
_LOOK_BACK = 200


@dataclass(frozen=True)
class LostTail:
    """A group has committed `position` in a partition that now ends at `end`: what lay between is gone."""

    group: str
    topic: str
    partition: int
    position: int
    end: int


@dataclass(frozen=True)
class Gap:
    """A partition had reached `reach` and now ends at `end`."""

    topic: str
    partition: int
    end: int
    reach: int

    @property
    def lost(self) -> int:
        """How many positions are gone."""
        return self.reach - self.end


@dataclass(frozen=True)
class Loss:
    """What was found: partitions that end too early, and how many of the newest published events are not there."""

    gaps: list[Gap] = field(default_factory=list)
    absent: int = 0

    def __bool__(self) -> bool:
        return bool(self.gaps or self.absent)


@runtime_checkable
class Noting(Protocol):
    """A log that notes its ends apart from its records; not every one does."""

    def noted_ends(self, topic: str) -> list[int]:
        """How far each partition had reached, as far as was noted."""


@runtime_checkable
class Forgetting(Protocol):
    """A log whose committed positions may have outlived the records that they count; not every one's can."""

    def forget_foreign_positions(self) -> int:
        """Remove committed positions that were stored with the id of another log; how many."""


class _Identified(msgspec.Struct):
    id: str


_identify = msgspec.json.Decoder(_Identified)


def lost_tails(log: EventLog) -> list[LostTail]:
    """Every committed position beyond its partition's end.

    To be asked when a stack starts, before its relays append: later appends may fill the gap with other records.
    Raises LogUnavailable.
    """
    ends: dict[str, list[int]] = {}
    lost = []
    for group in log.groups():
        for (topic, partition), position in sorted(log.committed(group).items()):
            if topic not in log.topics():
                continue
            if topic not in ends:
                ends[topic] = log.ends(topic)
            if position > ends[topic][partition]:
                lost.append(LostTail(group, topic, partition, position, ends[topic][partition]))
    return lost


def gaps(log: EventLog, claims: Mapping[TopicPartition, int]) -> list[Gap]:
    """Partitions that end before a committed position, the log's own note of its ends, or one of `claims`.

    `claims` are positions that other readers keep for themselves. Raises LogUnavailable.
    """
    reach = dict(claims)
    for tail in lost_tails(log):
        where = (tail.topic, tail.partition)
        reach[where] = max(reach.get(where, 0), tail.position)
    found = []
    for topic in log.topics():
        ends = log.ends(topic)
        noted = log.noted_ends(topic) if isinstance(log, Noting) else ends
        for partition, end in enumerate(ends):
            furthest = max(reach.get((topic, partition), 0), noted[partition])
            if furthest > end:
                found.append(Gap(topic, partition, end, furthest))
    return found


def find_loss(log: EventLog, outboxes: Iterable[SentRows], now: datetime) -> Loss:
    """A quick look: positions against ends, and the newest published rows of each outbox against the log.

    A lost tail takes the newest records with it, so a few rows of each outbox show it. Raises LogUnavailable.
    """
    newest = [row for outbox in outboxes for row in outbox.newest(NEWEST) if is_kept(row, now)]
    return Loss(gaps(log, {}), len(_absent(log, newest)))


def is_kept(row: Sent, now: datetime) -> bool:
    """Whether the log should still have what was published; a day early, since it is removed by the hour."""
    topic = TOPICS.get(row.topic)
    if topic is None:
        return False
    if topic.retention_days is None:
        return True
    return row.published >= (now - timedelta(days=topic.retention_days - 1)).timestamp() * 1_000_000


def event_id(record: StoredRecord) -> str:
    """The event id of a record; empty when it is no event."""
    try:
        return _identify.decode(record.value).id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _absent(log: EventLog, rows: Sequence[Sent]) -> set[str]:
    """Which of these events the log does not have, looking back from each partition's end until all are found."""
    wanted: dict[TopicPartition, set[str]] = {}
    for row in rows:
        where = (row.topic, partition_of(row.key, log.partitions(row.topic)))
        wanted.setdefault(where, set()).add(row.id)
    for (topic, partition), ids in wanted.items():
        start, end = log.starts(topic)[partition], log.ends(topic)[partition]
        while ids and end > start:
            begin = max(start, end - _LOOK_BACK)
            for record in _between(log, topic, partition, begin, end):
                ids.discard(event_id(record))
            end = begin
    return set().union(*wanted.values())


def _between(log: EventLog, topic: str, partition: int, begin: int, end: int) -> Iterable[StoredRecord]:
    while begin < end and (records := log.read(topic, partition, begin, end - begin)):
        yield from (record for record in records if record.position < end)
        begin = records[-1].position + 1


def ids_of(log: EventLog, topic: str) -> set[str]:
    """The ids of all events on a topic. Raises LogUnavailable."""
    ends = zip(log.starts(topic), log.ends(topic), strict=True)
    return {
        event_id(record)
        for partition, (start, end) in enumerate(ends)
        for record in _between(log, topic, partition, start, end)
    }
