"""Reading Kafka by own positions: one kept consumer that fetches ahead of its reader."""

import time
from collections import deque
from collections.abc import Callable, Mapping

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from shop_stack.errors import LogUnavailable
from shop_stack.eventlog.interface import StoredRecord, Stretch, check_position
from shop_stack.eventlog.interface import TopicPartition as Partition
from shop_stack.eventlog.kafka.cluster import BRIEF_MS, FETCH_WAIT_MS, Cluster, hold_idle_fetches
from shop_stack.eventlog.kafka.records import from_kafka
from shop_stack.eventlog.kafka.unpacking import Fetched, unpack_leanly

_AHEAD = 4000  # records held of a partition before its fetching pauses
_AT_ONCE = 4000
_FAR_BEHIND = 1000  # records fetched and not read yet
_PATIENCE_S = 10.0
_LOOK_S = 0.005  # a caught-up partition is looked at no more often than this


class PositionReader:
    """Belongs to one thread. Partitions are followed from the first read or wait on."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._next: dict[Partition, int] = {}
        self._ahead: dict[Partition, deque[Fetched]] = {}
        self._paused: set[Partition] = set()
        self._ends: dict[Partition, int] = {}
        self._looked = 0.0
        with cluster.unavailable():
            self._consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=FETCH_WAIT_MS,
                allow_auto_create_topics=False,
                isolation_level="read_uncommitted",
                **cluster.connection,
            )
            unpack_leanly(self._consumer)

    def read(self, partition: Partition, position: int, max_records: int, known_end: int) -> list[StoredRecord]:
        """Records from `position` on; empty at the end.

        `known_end` is an end that this process knows of: up to there the answer waits for what is on its way.
        """
        self._follow(partition, position, known_end)
        return [from_kafka(record) for record in self._take(partition, max_records)]

    def read_lines(self, partition: Partition, position: int, max_records: int, known_end: int) -> Stretch:
        """Like `read`, with the values as one text."""
        self._follow(partition, position, known_end)
        records = self._take(partition, max_records)
        lines = b"\n".join([record.value or b"" for record in records])
        return Stretch(*partition, [record.offset for record in records], lines)

    def wait(self, ends: Mapping[Partition, int], timeout_s: float) -> bool:
        """Whether any of these partitions gets records beyond its position within the time."""
        self._place({p: position for p, position in ends.items() if self._next.get(p) != position})
        hold_idle_fetches(self._consumer, FETCH_WAIT_MS)
        deadline = time.monotonic() + timeout_s
        while not any(self._ahead[partition] for partition in ends):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._pull(left)
        return True

    def fetched_ends(self, positions: Mapping[Partition, int]) -> dict[Partition, int] | None:
        """Where what was fetched ends, of the partitions that have any; None when that would not say enough.

        That is when other positions were followed until now, and when the reader is far behind.
        """
        if any(self._next.get(partition) != at for partition, at in positions.items()):
            return None
        if time.monotonic() - self._looked > _LOOK_S:
            self._pull(0)
        if sum(len(ahead) for ahead in self._ahead.values()) >= _FAR_BEHIND:
            return None
        return {p: self._ahead[p][-1].offset + 1 for p in positions if self._ahead[p]}

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=3000)

    def _follow(self, partition: Partition, position: int, known_end: int) -> None:
        if self._next.get(partition) != position:
            end = self._cluster.ends([partition])[partition]
            check_position(partition, position, self._cluster.starts([partition])[partition], end)
            hold_idle_fetches(self._consumer, BRIEF_MS)
            self._place({partition: position})
            self._ends[partition] = end
        elif not self._ahead[partition] and time.monotonic() - self._looked > _LOOK_S:
            self._pull(0)
        if position < max(known_end, self._ends.get(partition, 0)):
            self._pull_until(lambda: bool(self._ahead[partition]), _PATIENCE_S, partition)

    def _place(self, positions: Mapping[Partition, int]) -> None:
        if not positions:
            return
        self._next.update(positions)
        with self._cluster.unavailable():
            self._consumer.assign([TopicPartition(*p) for p in self._next])
            for partition, position in positions.items():
                self._ahead[partition] = deque()
                self._consumer.seek(TopicPartition(*partition), position)
        self._unpause(set(positions))

    def _pull_until(self, enough: Callable[[], bool], timeout_s: float, partition: Partition) -> None:
        deadline = time.monotonic() + timeout_s
        while not enough():
            left = deadline - time.monotonic()
            if left <= 0:
                raise LogUnavailable(
                    f"Kafka at {self._cluster.servers} sent nothing of {partition[0]}/{partition[1]} in {timeout_s:g} s"
                    f"; see whether the broker runs, then try again"
                )
            self._pull(left)

    def _pull(self, timeout_s: float) -> None:
        """Take what the client has fetched, waiting for it up to `timeout_s`."""
        with self._cluster.unavailable():
            try:
                found = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=_AT_ONCE)
            except (OffsetOutOfRangeError, LogTruncationError) as error:
                self._say_what_is_out_of_range()
                raise error
        self._looked = time.monotonic()
        for where, batch in found.items():
            partition = (where.topic, where.partition)
            ahead = self._ahead[partition]
            ahead.extend(batch)
            if len(ahead) >= _AHEAD:
                self._consumer.pause(where)
                self._paused.add(partition)

    def _take(self, partition: Partition, max_records: int) -> list[Fetched]:
        ahead = self._ahead[partition]
        records = [ahead.popleft() for _ in range(min(max_records, len(ahead)))]
        if records:
            self._next[partition] = records[-1].offset + 1
        if not ahead:
            self._unpause({partition})
        return records

    def _unpause(self, partitions: set[Partition]) -> None:
        for partition in partitions & self._paused:
            self._consumer.resume(TopicPartition(*partition))
            self._paused.discard(partition)

    def _say_what_is_out_of_range(self) -> None:
        starts, ends = self._cluster.starts(self._next), self._cluster.ends(self._next)
        for partition, position in self._next.items():
            check_position(partition, position, starts[partition], ends[partition])
