"""A member of a consumer group on Kafka."""

import threading
import time
from collections.abc import Collection, Mapping

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
)
from kafka.structs import MemberState, OffsetAndMetadata

from shop_stack.errors import Fenced, LogUnavailable
from shop_stack.eventlog.interface import StoredRecord, check_log_id, check_position
from shop_stack.eventlog.interface import TopicPartition as Partition
from shop_stack.eventlog.kafka.cluster import BRIEF_MS, FETCH_WAIT_MS, Cluster, hold_idle_fetches
from shop_stack.eventlog.kafka.records import from_kafka

_SLICE_S = 1.0  # the library's poll cannot be woken: a waiting one returns this often to look, for 1.6 ms of CPU
_JOIN_S = 3.0  # a join that ends between two polls is thrown away and begun anew: a poll outlasts it by this much
_CLOSE_MS = 3000


class _Revocations(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes on the client's own thread which partitions were taken away."""

    def __init__(self) -> None:
        self.taken: set[Partition] = set()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.taken |= {(p.topic, p.partition) for p in revoked}

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """What came is found by comparing assignments."""


class KafkaGroupConsumer:
    """Joins its group by polling. Positions are kept by the brokers, each with the log_id beside it."""

    def __init__(self, cluster: Cluster, group: str, topics: Collection[str]) -> None:
        self._cluster = cluster
        self._group = group
        self._revocations = _Revocations()
        self._begun: dict[Partition, int] = {}  # where each partition was resumed since it came to us
        self._held: list[StoredRecord] = []
        self._nudged = threading.Event()
        self._closed = False
        with cluster.unavailable():
            self._consumer = KafkaConsumer(
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="none",  # a position out of range must be noticed; a new group starts at the start
                session_timeout_ms=6000,
                heartbeat_interval_ms=2000,
                max_poll_interval_ms=30_000,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                fetch_max_wait_ms=FETCH_WAIT_MS,
                allow_auto_create_topics=False,
                **cluster.connection,
            )
            self._consumer.subscribe(list(topics), listener=self._revocations)
            for topic in topics:  # a leader that joins before it knows the topics would share out none of them
                self._consumer.partitions_for_topic(topic)

    def poll(self, max_records: int = 500, timeout_s: float = 1.0) -> list[StoredRecord]:
        """Records after the committed positions, in order within each partition; empty after `timeout_s`.

        While the group shares anew it may last 3 s longer.
        Raises ForeignLog, PositionPastEnd, PositionBelowStart, LogUnavailable.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            self._fetch(max_records, _SLICE_S if self._joining() else max(0.0, min(_SLICE_S, left)))
            self._settle()
            if self._held:
                records, self._held = self._held, []
                owned = self.assignment()
                return [r for r in records if (r.topic, r.partition) in owned]
            if self._nudged.is_set() or left <= (-_JOIN_S if self._joining() else 0):
                self._nudged.clear()
                return []

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Store the next position to read of each partition that is still ours; raises Fenced for the others."""
        self._drop_revoked()
        owned = self.assignment()
        mine = {p: at for p, at in positions.items() if p in owned and at >= self._begun.get(p, at + 1)}
        if mine:
            self._commit(mine)
        lost = sorted(set(positions) - set(mine))
        if lost:
            raise Fenced(self._fenced(lost))

    def assignment(self) -> frozenset[Partition]:
        if self._closed:
            return frozenset()
        return frozenset((p.topic, p.partition) for p in self._consumer.assignment())

    def ready(self) -> bool:
        if self._closed or self._consumer.group_metadata().state != MemberState.STABLE:
            return False
        return self.assignment() == frozenset(self._begun)

    def wake(self) -> None:
        """Make a waiting poll return within a second; callable from any thread."""
        self._nudged.set()

    def close(self) -> None:
        """Leave the group; the others take over at once."""
        if not self._closed:
            self._closed = True
            with self._cluster.unavailable():
                self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def _joining(self) -> bool:
        return bool(self._consumer.group_metadata().state == MemberState.REBALANCING)

    def _fetch(self, max_records: int, timeout_s: float) -> None:
        try:
            with self._cluster.unavailable():
                try:
                    found = self._consumer.poll(timeout_ms=max(1, int(timeout_s * 1000)), max_records=max_records)
                except NoOffsetForPartitionError as error:
                    self._start_at_the_start([(p.topic, p.partition) for p in error.args[0]])
                    return
                except (OffsetOutOfRangeError, LogTruncationError) as error:
                    self._say_what_is_out_of_range()
                    raise error
        except LogUnavailable:
            if self._held:
                return
            raise
        for batch in found.values():
            self._held += [from_kafka(record) for record in batch]
        more = any((self._consumer.highwater(p) or 0) > batch[-1].offset + 1 for p, batch in found.items())
        hold_idle_fetches(self._consumer, BRIEF_MS if more else FETCH_WAIT_MS)

    def _settle(self) -> None:
        """Hold the stored positions of partitions that have come to us against this log."""
        self._drop_revoked()
        owned = self.assignment()
        self._begun = {p: at for p, at in self._begun.items() if p in owned}
        new = owned - self._begun.keys()
        if not new:
            return
        committed = self._cluster.committed(self._group)
        starts, ends = self._cluster.starts(new), self._cluster.ends(new)
        for partition in new & committed.keys():
            position, log_id = committed[partition]
            check_log_id(log_id, self._cluster.log_id, f"group {self._group}")
            check_position(partition, position, starts[partition], ends[partition])
            self._begun[partition] = position

    def _drop_revoked(self) -> None:
        taken, self._revocations.taken = self._revocations.taken, set()
        for partition in taken:
            self._begun.pop(partition, None)

    def _start_at_the_start(self, partitions: list[Partition]) -> None:
        """Begin a group's first reading, and commit that, so that its lag is known from now on."""
        starts = self._cluster.starts(partitions)
        for partition, position in starts.items():
            self._consumer.seek(TopicPartition(*partition), position)
        self._commit(starts)

    def _say_what_is_out_of_range(self) -> None:
        """Raise PositionPastEnd or PositionBelowStart for the first partition that is."""
        owned = self.assignment()
        starts, ends = self._cluster.starts(owned), self._cluster.ends(owned)
        committed = self._cluster.committed(self._group)
        for partition in sorted(owned & committed.keys()):
            check_position(partition, committed[partition][0], starts[partition], ends[partition])

    def _commit(self, positions: Mapping[Partition, int]) -> None:
        offsets = {TopicPartition(*p): OffsetAndMetadata(at, self._cluster.log_id, -1) for p, at in positions.items()}
        with self._cluster.unavailable():
            try:
                self._consumer.commit(offsets, timeout_ms=5000)
            except (CommitFailedError, RebalanceInProgressError) as error:
                if any(isinstance(cause, RebalanceInProgressError) for cause in (error, *error.args)):
                    raise LogUnavailable(
                        f"group {self._group} is rebalancing: nothing was committed; poll, then commit again"
                    ) from error
                raise Fenced(self._fenced(sorted(positions))) from error

    def _fenced(self, lost: list[Partition]) -> str:
        named = ", ".join(f"{topic}/{number}" for topic, number in lost)
        return f"group {self._group}: {named} moved to another member; drop what was read of it and poll again"
