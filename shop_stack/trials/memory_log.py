"""An event log in memory, for one thread: what the interface promises, and the faults that it allows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Self

from shop_stack.errors import Fenced, LogUnavailable, UnknownTopic
from shop_stack.eventlog.interface import Backlog, Placed, Record, StoredRecord, Stretch, TopicPartition, check_position
from shop_stack.eventlog.records import check_sizes, partition_of
from shop_stack.events.topics import TOPICS, Topic


class Weather:
    """What strikes a log; this one is calm. Each may raise what the interface allows there, or end the process."""

    def before_append(self, topic: str, records: Sequence[Record]) -> int:
        """How many of the records are stored before the append fails; all of them when it does not."""
        return len(records)

    def copies(self, topic: str, record: Record) -> int:
        """How often a record is stored."""
        return 1

    def late_s(self, topic: str, partition: int) -> float:
        """How long a record is on its way to the readers; those behind it in the partition wait with it."""
        return 0.0

    def appended(self, topic: str, records: Sequence[Record], ends: Mapping[int, float]) -> None:
        """Records are stored; `ends` says by partition when the last of them can be read."""

    def before_poll(self, group: str) -> bool:
        """A member asks for records; True: it loses its partitions and gets them again."""
        return False

    def before_commit(self, group: str) -> None:
        """A member commits positions."""

    def committed(self, group: str) -> None:
        """A member has committed positions."""

    def shared(self, group: str) -> None:
        """The group's partitions were shared anew; its members learn of it at their next poll."""


@dataclass
class Partition:
    """The records of a partition; `visible` says for each from when on readers see it. `first` is their offset."""

    first: int = 0
    records: list[StoredRecord] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.records)


@dataclass
class Group:
    """A group: its members in the order they joined, who owns what since which generation, and positions."""

    name: str
    topics: set[str] = field(default_factory=set)
    members: "list[MemoryConsumer]" = field(default_factory=list)
    owners: "dict[TopicPartition, tuple[MemoryConsumer, int]]" = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    generation: int = 0


class MemoryLog:
    """One log. `seconds` is the clock that records become visible by and are stamped with."""

    def __init__(
        self,
        topics: Mapping[str, Topic] = TOPICS,
        seconds: Callable[[], float] = lambda: 0.0,
        weather: Weather | None = None,
    ) -> None:
        self._declared = topics
        self._seconds = seconds
        self.weather = weather if weather is not None else Weather()
        self._partitions = {name: [Partition() for _ in range(topic.partitions)] for name, topic in topics.items()}
        self._groups: dict[str, Group] = {}
        self._any = count()
        self.closed = False

    @property
    def log_id(self) -> str:
        """Names this log for ever; a stored position is only good with it."""
        return "memory"

    def append(self, topic: str, records: Sequence[Record]) -> list[Placed]:
        """Store all records, in the order given within a partition.

        Raises RecordTooLarge (nothing stored), UnknownTopic, LogUnavailable (some may be stored).
        """
        partitions = self._topic(topic)
        check_sizes(topic, records)
        stored = self.weather.before_append(topic, records)
        placed: list[Placed] = []
        ends: dict[int, float] = {}
        for record in records[:stored]:
            number = next(self._any) % len(partitions) if record.key is None else _partition(record, partitions)
            for _ in range(self.weather.copies(topic, record)):
                at = self._store(partitions[number], topic, number, record)
                ends[number] = partitions[number].visible[-1]
            placed.append(Placed(topic, number, at))
        self._tell(topic, ends)
        self.weather.appended(topic, records[:stored], ends)
        if stored < len(records):
            raise LogUnavailable("the log went away in the middle of an append")
        return placed

    def _store(self, partition: Partition, topic: str, number: int, record: Record) -> int:
        position, now = partition.end, self._seconds()
        partition.records.append(
            StoredRecord(topic, number, position, record.key, record.value, dict(record.headers), int(now * 1000))
        )
        visible = now + self.weather.late_s(topic, number)
        partition.visible.append(max(visible, partition.visible[-1]) if partition.visible else visible)
        return position

    def _tell(self, topic: str, grown: Mapping[int, float]) -> None:
        for group in self._groups.values():
            if topic in group.topics:
                for number in grown:
                    owner = group.owners.get((topic, number))
                    if owner is not None:
                        owner[0].hot[topic, number] = None

    def subscribe(self, group: str, topics: Sequence[str]) -> "MemoryConsumer":
        """Join a group that shares the partitions of these topics."""
        for topic in topics:
            self._topic(topic)
        joined = self._groups.setdefault(group, Group(group))
        consumer = MemoryConsumer(self, joined, topics)
        joined.members.append(consumer)
        self.share(joined)
        return consumer

    def share(self, group: Group) -> None:
        """Share the partitions anew; a partition that stays with its member keeps its generation."""
        group.generation += 1
        group.topics = {topic for member in group.members for topic in member.topics}
        owners: dict[TopicPartition, tuple[MemoryConsumer, int]] = {}
        for topic in sorted(group.topics):
            able = [member for member in group.members if topic in member.topics]
            for number in range(len(self._partitions[topic])):
                owner = able[number % len(able)]
                before = group.owners.get((topic, number))
                owners[topic, number] = before if before and before[0] is owner else (owner, group.generation)
        group.owners = owners
        self.weather.shared(group.name)

    def read(self, topic: str, partition: int, position: int, max_records: int = 500) -> list[StoredRecord]:
        """Records from `position` on; empty at the end.

        Raises PositionPastEnd, PositionBelowStart, UnknownTopic.
        """
        found = self._topic(topic)[partition]
        check_position((topic, partition), position, found.first, found.end)
        return found.records[position - found.first : position - found.first + max_records]

    def read_lines(self, topic: str, partition: int, position: int, max_records: int) -> Stretch:
        """Like `read`, for much at once: values alone."""
        found = self.read(topic, partition, position, max_records)
        return Stretch(topic, partition, [r.position for r in found], b"\n".join(r.value for r in found))

    def partition(self, topic: str, number: int) -> Partition:
        """A partition as it lies."""
        return self._topic(topic)[number]

    def values(self) -> list[bytes]:
        """Everything that lies on it, partition by partition."""
        return [r.value for partitions in self._partitions.values() for one in partitions for r in one.records]

    def wait(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Whether any of these partitions has records beyond the position given; in one thread none will come."""
        return any(self._topic(topic)[number].end > end for (topic, number), end in ends.items())

    def news(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The ends of those partitions that do not end at the position given."""
        ends = {where: self._topic(where[0])[where[1]].end for where in positions}
        return {where: end for where, end in ends.items() if end != positions[where]}

    def topics(self) -> list[str]:
        return list(self._declared)

    def partitions(self, topic: str) -> int:
        return len(self._topic(topic))

    def starts(self, topic: str) -> list[int]:
        """The first position kept of each partition."""
        return [partition.first for partition in self._topic(topic)]

    def ends(self, topic: str) -> list[int]:
        """The position after the last record of each partition."""
        return [partition.end for partition in self._topic(topic)]

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """The group's committed positions."""
        found = self._groups.get(group)
        return dict(found.positions) if found else {}

    def groups(self) -> list[str]:
        return sorted(self._groups)

    def lag(self, group: str) -> dict[TopicPartition, int]:
        """Records between the group's committed position (or the start) and the end, by partition it subscribed."""
        found = self._groups.get(group)
        if found is None:
            return {}
        wheres = [(topic, n) for topic in sorted(found.topics) for n in range(len(self._partitions[topic]))]
        return {where: self._lag(where, found.positions.get(where)) for where in {*wheres, *found.positions}}

    def backlogs(self) -> dict[str, dict[TopicPartition, Backlog]]:
        """Of every group, by partition it subscribed, what it has still to process."""
        ends = {name: self.ends(name) for name in self._partitions}
        return {
            name: {where: Backlog(ends[where[0]][where[1]] - lag, ends[where[0]][where[1]])
                   for where, lag in self.lag(name).items()}
            for name in self.groups()
        }  # fmt: skip

    def _lag(self, where: TopicPartition, position: int | None) -> int:
        partition = self._partitions[where[0]][where[1]]
        return partition.end - (position if position is not None else partition.first)

    def enforce_retention(self, now: datetime) -> int:
        """Remove records older than their topic keeps them; how many. Positions of the others do not change."""
        removed = 0
        for topic in self._declared.values():
            if topic.retention_days is not None:
                cutoff = int((now - timedelta(days=topic.retention_days)).timestamp() * 1000)
                for partition in self._partitions[topic.name]:
                    old = sum(record.appended_ms < cutoff for record in partition.records)
                    del partition.records[:old], partition.visible[:old]
                    partition.first += old
                    removed += old
        return removed

    def close(self) -> None:
        """Leave all groups."""
        self.closed = True
        for group in self._groups.values():
            for member in list(group.members):
                member.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def seconds(self) -> float:
        """The time by this log's clock."""
        return self._seconds()

    def _topic(self, name: str) -> list[Partition]:
        try:
            return self._partitions[name]
        except KeyError:
            raise UnknownTopic(f"topic {name!r} is not declared in events/topics.py; declare it there") from None


class MemoryConsumer:
    """A member of a group. It learns of a new share at its next poll; until then its commits may be refused."""

    def __init__(self, log: MemoryLog, group: Group, topics: Sequence[str]) -> None:
        self._log = log
        self._group = group
        self.topics = list(topics)
        self.types: frozenset[str] = frozenset()
        self._generation = 0
        self._since: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._begun: dict[TopicPartition, int] = {}  # where each was resumed: what lies before was another's to commit
        self.hot: dict[TopicPartition, None] = {}
        self._closed = False

    def poll(self, max_records: int = 500, timeout_s: float = 1.0) -> list[StoredRecord]:
        """Records after the committed positions that are visible, in order within each partition; never waits.

        Raises PositionPastEnd, PositionBelowStart, LogUnavailable.
        """
        if self._log.weather.before_poll(self._group.name):
            self.lose_all()
        if self._generation != self._group.generation:
            self._refresh()
        records: list[StoredRecord] = []
        now = self._log.seconds()
        for where in list(self.hot):
            partition = self._log.partition(*where)
            at = self._next[where]
            while at < partition.end and len(records) < max_records and partition.visible[at - partition.first] <= now:
                records.append(partition.records[at - partition.first])
                at += 1
            self._next[where] = at
            if at == partition.end:
                del self.hot[where]
        return records

    def pending_at(self) -> float | None:
        """When the next record that was not polled yet can be read; None when there is none."""
        if self._generation != self._group.generation:
            return self._log.seconds()
        times = [self._visible_at(where) for where in self.hot]
        return min((at for at in times if at is not None), default=None)

    def _visible_at(self, where: TopicPartition) -> float | None:
        partition = self._log.partition(*where)
        at = self._next[where]
        return partition.visible[at - partition.first] if at < partition.end else None

    def _refresh(self) -> None:
        owned = {where: since for where, (owner, since) in self._group.owners.items() if owner is self}
        for where, since in owned.items():
            if self._since.get(where) != since:
                partition = self._log.partition(*where)
                at = self._group.positions.get(where, partition.first)
                check_position(where, at, partition.first, partition.end)
                self._next[where] = self._begun[where] = at
                self.hot[where] = None
        self._next = {where: at for where, at in self._next.items() if where in owned}
        self.hot = {where: None for where in self.hot if where in owned}
        self._since, self._generation = owned, self._group.generation

    def lose_all(self) -> None:
        """As when the group takes this member for dead and it joins anew."""
        if not self._closed and self in self._group.members:
            self._group.members.remove(self)
            self._log.share(self._group)
            self._group.members.append(self)
            self._log.share(self._group)

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store the next position to read of each partition. Raises Fenced when they moved to another member."""
        self._log.weather.before_commit(self._group.name)
        held = {where: since for where, (owner, since) in self._group.owners.items() if owner is self}
        mine = {
            where: at
            for where, at in positions.items()
            if held.get(where) == self._since.get(where, -1) and at >= self._begun[where]
        }
        self._group.positions.update(mine)
        self._log.weather.committed(self._group.name)
        if len(mine) < len(positions):
            raise Fenced(f"group {self._group.name}: partitions moved to another member; drop what was read of them")

    def heed(self, types: Sequence[str]) -> None:
        """What is worth waking for, which whoever drives this consumer may ask; every record is read all the same."""
        self.types = frozenset(types)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member reads now."""
        return frozenset(self._since)

    def ready(self) -> bool:
        """Whether the group has settled with this member in it."""
        return not self._closed and self._generation > 0

    def wake(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Leave the group; the others take over at once."""
        if not self._closed:
            self._closed = True
            self._group.members.remove(self)
            self._log.share(self._group)


def _partition(record: Record, partitions: Sequence[Partition]) -> int:
    return partition_of(record.key or "", len(partitions))
