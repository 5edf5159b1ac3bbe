"""What every event log does: append, shared consumption by groups, reading by own positions, and its ends."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import msgspec

from shop_stack.errors import ForeignLog, PositionBelowStart, PositionPastEnd

MAX_RECORD_BYTES = 900 * 1024


class Record(msgspec.Struct, frozen=True):
    """What is appended: `key` decides the partition (None: any), `headers` travel beside the value.

    `type` says what the value is, so that only those who heed it need to wake; it is not stored.
    """

    key: str | None
    value: bytes
    headers: dict[str, str] = {}
    type: str | None = None


class StoredRecord(msgspec.Struct, frozen=True):
    """A record as it lies in the log. `position` counts from 0 within its partition; gaps are possible."""

    topic: str
    partition: int
    position: int
    key: str | None
    value: bytes
    headers: dict[str, str]
    appended_ms: int


class Stretch(msgspec.Struct, frozen=True):
    """Records of one partition as one text: the value of each of `positions`, a newline between each two.

    A value with a newline of its own shows as more lines than positions: read these records one by one.
    """

    topic: str
    partition: int
    positions: Sequence[int]
    lines: bytes


class Placed(msgspec.Struct, frozen=True):
    """Where an appended record came to lie."""

    topic: str
    partition: int
    position: int


TopicPartition = tuple[str, int]


class Backlog(msgspec.Struct, frozen=True):
    """What a group has still to process of a partition: from `position` (its committed one, or the start) to before
    `end`."""

    position: int
    end: int

    @property
    def records(self) -> int:
        return max(0, self.end - self.position)


class Consumer(Protocol):
    """A member of a group. One thread at a time; closing leaves the group at once."""

    def poll(self, max_records: int = 500, timeout_s: float = 1.0) -> list[StoredRecord]:
        """Records after the committed positions, in order within each partition; empty after `timeout_s`.

        Raises ForeignLog, PositionPastEnd, PositionBelowStart, LogUnavailable.
        """

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store the next position to read of each partition. Raises Fenced when they moved to another member."""

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member reads now; empty before its first assignment."""

    def ready(self) -> bool:
        """Whether the group has settled with this member in it (its assignment may still be empty)."""

    def wake(self) -> None:
        """Make a waiting poll return now; callable from any thread."""

    def close(self) -> None: ...


@runtime_checkable
class Heeding(Protocol):
    """A consumer that can be told what is worth waking for; not every log knows how."""

    def heed(self, types: Sequence[str]) -> None:
        """Wake at once for records of these types, and for those appended without one; read the rest later.

        Every record is still read, in order, within about a second.
        """


class EventLog(Protocol):
    """One log. Thread-safe for append and the queries; a Consumer belongs to one thread."""

    @property
    def log_id(self) -> str:
        """Names this log for ever; a stored position is only good with it."""

    def append(self, topic: str, records: Sequence[Record]) -> list[Placed]:
        """Store all records durably, in the order given within a partition.

        Raises RecordTooLarge (nothing stored), UnknownTopic, LogUnavailable (some may be stored).
        """

    def subscribe(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group that shares the partitions of these topics."""

    def read(self, topic: str, partition: int, position: int, max_records: int = 500) -> list[StoredRecord]:
        """Records from `position` on; empty at the end.

        Raises PositionPastEnd, PositionBelowStart, UnknownTopic, LogUnavailable.
        """

    def read_lines(self, topic: str, partition: int, position: int, max_records: int) -> Stretch:
        """Like `read`, for much at once: values alone, without an object for each record."""

    def wait(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until any of these partitions has records beyond the position given; False on time-out."""

    def news(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The ends of those partitions that do not end at the position given.

        For a reader that calls `wait` with these positions, after it: it may miss what came since.
        """

    def topics(self) -> list[str]: ...

    def partitions(self, topic: str) -> int: ...

    def starts(self, topic: str) -> list[int]:
        """The first position kept of each partition."""

    def ends(self, topic: str) -> list[int]:
        """The position after the last record of each partition."""

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """The group's committed positions."""

    def groups(self) -> list[str]: ...

    def lag(self, group: str) -> dict[TopicPartition, int]:
        """Records between the group's committed position (or the start) and the end, by partition it subscribed."""

    def backlogs(self) -> dict[str, dict[TopicPartition, Backlog]]:
        """Of every group, by partition it subscribed, what it has still to process; the ends are asked once for all."""

    def enforce_retention(self, now: datetime) -> int:
        """Remove records older than their topic keeps them; how many. Positions of the others do not change."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_position(partition: TopicPartition, position: int, start: int, end: int) -> None:
    """Raise PositionPastEnd or PositionBelowStart unless start <= position <= end."""
    topic, number = partition
    if position > end:
        raise PositionPastEnd(
            f"{topic}/{number}: position {position} lies past the end {end}: the log has lost its tail; stop the stack "
            f"and start it again: `shopfloor up` sends what the log lost again from the outboxes"
        )
    if position < start:
        raise PositionBelowStart(
            f"{topic}/{number}: position {position} lies before the first kept record {start}: "
            f"retention removed what was between"
        )


def check_log_id(stored: str, log_id: str, whose: str) -> None:
    """Raise ForeignLog unless positions stored with the id `stored` are good in the log `log_id`.

    `whose` says in the message whose positions they are.
    """
    if stored != log_id:
        raise ForeignLog(
            f"the positions of {whose} belong to log {stored or 'unknown'} and this is log {log_id}: "
            f"bring that log back, or remove these positions to read this one from its start"
        )
