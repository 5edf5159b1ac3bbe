"""The log on Kafka: an idempotent producer, group consumers, and a reader for each thread that keeps positions."""

import itertools
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from shop_stack.errors import LogUnavailable, UnknownTopic
from shop_stack.eventlog.interface import Backlog, Placed, Record, StoredRecord, Stretch, TopicPartition
from shop_stack.eventlog.kafka.cluster import Cluster
from shop_stack.eventlog.kafka.consumer import KafkaGroupConsumer
from shop_stack.eventlog.kafka.reader import PositionReader
from shop_stack.eventlog.kafka.records import to_headers
from shop_stack.eventlog.records import check_sizes, partition_of
from shop_stack.events.topics import TOPICS, Topic
from shop_stack.kafka_access import IN_THE_CLEAR, KafkaAccess

_DELIVERY_S = 10.0
_CLOSE_S = 2.0


class KafkaLog:
    """One Kafka cluster, `servers` being HOST:PORT[,HOST:PORT...]. Open it after a fork, not before.

    Raises LogUnavailable when no broker answers within `bootstrap_s`, LogRefused when it does not let us in or is not
    trusted, SettingError when a file that `access` names is wrong, and ForeignLog, with no topic created, when it is
    not the log that is `known`.
    """

    def __init__(
        self,
        servers: str,
        topics: Mapping[str, Topic] = TOPICS,
        bootstrap_s: float = 10.0,
        known: str | None = None,
        access: KafkaAccess = IN_THE_CLEAR,
    ) -> None:
        self._declared = topics
        self._cluster = Cluster(servers, topics, bootstrap_s, known, access)
        self._opening = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._consumers: list[KafkaGroupConsumer] = []
        self._readers: dict[int, PositionReader] = {}
        self._known_ends: dict[TopicPartition, int] = {}
        self._any = itertools.count()

    @property
    def log_id(self) -> str:
        """Names this log for ever; a stored position is only good with it."""
        return self._cluster.log_id

    def append(self, topic: str, records: Sequence[Record]) -> list[Placed]:
        """Store all records, acknowledged by all in-sync replicas, in the order given within a partition.

        Raises RecordTooLarge (nothing stored), UnknownTopic, LogUnavailable (some may be stored).
        """
        count = self.partitions(topic)
        check_sizes(topic, records)
        producer = self._producer or self._open_producer()
        try:
            with self._cluster.unavailable():
                sent = [
                    producer.send(
                        topic,
                        value=record.value,
                        key=None if record.key is None else record.key.encode(),
                        headers=to_headers(record.headers),
                        partition=next(self._any) % count if record.key is None else partition_of(record.key, count),
                    )
                    for record in records
                ]
                done = [future.get(timeout=_DELIVERY_S + 2) for future in sent]
        except LogUnavailable:
            self._give_up(producer)
            raise
        placed = [Placed(topic, metadata.partition, metadata.offset) for metadata in done]
        self._known_ends.update({(topic, p.partition): p.position + 1 for p in placed})
        return placed

    def subscribe(self, group: str, topics: Sequence[str]) -> KafkaGroupConsumer:
        """Join a group that shares the partitions of these topics, once it is polled. Raises UnknownTopic."""
        for topic in topics:
            self.partitions(topic)
        consumer = KafkaGroupConsumer(self._cluster, group, topics)
        self._consumers.append(consumer)
        return consumer

    def read(self, topic: str, partition: int, position: int, max_records: int = 500) -> list[StoredRecord]:
        """Records from `position` on; empty at the end.

        Up to what `ends` and `append` of this log have said, the answer waits for what is on its way; what others
        append meanwhile comes with a later read.

        Raises PositionPastEnd, PositionBelowStart, UnknownTopic, LogUnavailable.
        """
        self.partitions(topic)
        known_end = self._known_ends.get((topic, partition), 0)
        return self._reader().read((topic, partition), position, max_records, known_end)

    def read_lines(self, topic: str, partition: int, position: int, max_records: int) -> Stretch:
        """Like `read`, with the values as one text. Raises like it."""
        self.partitions(topic)
        known_end = self._known_ends.get((topic, partition), 0)
        return self._reader().read_lines((topic, partition), position, max_records, known_end)

    def wait(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until any of these partitions has records beyond the position given; False on time-out."""
        return self._reader().wait(ends, timeout_s)

    def news(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The ends of those partitions that do not end at the position given.

        Where these positions are followed already, what was fetched and appended here is told without a request.
        """
        fetched = self._reader().fetched_ends(positions)
        if fetched is None:
            ends = self._cluster.ends(positions)
            self._known_ends.update(ends)
        else:
            known = {partition: self._known_ends.get(partition, 0) for partition in positions}
            ends = {p: max(at, known[p], fetched.get(p, 0)) for p, at in positions.items()}
        return {partition: end for partition, end in ends.items() if end != positions[partition]}

    def topics(self) -> list[str]:
        return list(self._declared)

    def partitions(self, topic: str) -> int:
        """How many partitions the cluster has of a declared topic. Raises UnknownTopic."""
        count = self._cluster.partitions.get(topic)
        if count is None:
            raise UnknownTopic(f"topic {topic!r} is not declared in events/topics.py; declare it there")
        return count

    def starts(self, topic: str) -> list[int]:
        """The first position kept of each partition."""
        starts = self._cluster.starts(self._all(topic))
        return [starts[partition] for partition in self._all(topic)]

    def ends(self, topic: str) -> list[int]:
        """The position after the last record of each partition."""
        ends = self._cluster.ends(self._all(topic))
        self._known_ends.update(ends)
        return [ends[partition] for partition in self._all(topic)]

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """The group's committed positions."""
        return {partition: position for partition, (position, _) in self._cluster.committed(group).items()}

    def groups(self) -> list[str]:
        """Every consumer group that the cluster knows."""
        return self._cluster.groups()

    def lag(self, group: str) -> dict[TopicPartition, int]:
        """Records between the group's committed position and the end, by partition it has read."""
        committed = self.committed(group)
        ends = self._cluster.ends(committed)
        return {partition: max(0, ends[partition] - position) for partition, position in committed.items()}

    def forget_foreign_positions(self) -> int:
        """Remove committed positions that were stored with the id of another log; how many.

        Whoever reads on begins at the start, where there is none.
        """
        return sum(self._cluster.forget_foreign(group, self._declared) for group in self.groups())

    def backlogs(self) -> dict[str, dict[TopicPartition, Backlog]]:
        """Of every group, by partition it has read, what it has still to process; three requests in all."""
        committed = self._cluster.committed_by_group(self.groups())
        ends = self._cluster.ends({partition for found in committed.values() for partition in found})
        return {
            group: {partition: Backlog(position, ends[partition]) for partition, position in found.items()}
            for group, found in committed.items()
        }

    def enforce_retention(self, now: datetime) -> int:
        """Remove records older than their topic keeps them; how many. Kafka does so itself, segment by segment."""
        removed = 0
        for topic in self._declared.values():
            if topic.retention_days is not None:
                cutoff = now - timedelta(days=topic.retention_days)
                removed += self._remove_before(topic.name, int(cutoff.timestamp() * 1000))
        return removed

    def close(self) -> None:
        """Leave all groups and close every connection."""
        for consumer in self._consumers:
            consumer.close()
        with self._opening:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()
            if self._producer is not None:
                try:
                    self._producer.close(timeout=_DELIVERY_S)
                except KafkaTimeoutError:
                    _abandon(self._producer)
                self._producer = None
        self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _all(self, topic: str) -> list[TopicPartition]:
        return [(topic, number) for number in range(self.partitions(topic))]

    def _remove_before(self, topic: str, cutoff_ms: int) -> int:
        partitions = self._all(topic)
        starts, ends = self._cluster.starts(partitions), self._cluster.ends(partitions)
        kept_from = self._cluster.first_since(partitions, cutoff_ms)
        cut = {p: at if at >= 0 else ends[p] for p, at in kept_from.items()}
        due = {p: at for p, at in cut.items() if at > starts[p]}
        if due:
            self._cluster.remove_before(due)
        return sum(at - starts[p] for p, at in due.items())

    def _open_producer(self) -> KafkaProducer:
        with self._opening, self._cluster.unavailable():
            if self._producer is None:
                connection = self._cluster.connection | {"request_timeout_ms": 5000}
                self._producer = KafkaProducer(
                    acks="all",
                    enable_idempotence=True,
                    max_request_size=4 * 1024 * 1024,
                    batch_size=128 * 1024,
                    delivery_timeout_ms=int(_DELIVERY_S * 1000),
                    max_block_ms=int(_DELIVERY_S * 1000),
                    allow_auto_create_topics=False,
                    **connection,
                )
            return self._producer

    def _give_up(self, producer: KafkaProducer) -> None:
        """The next append gets another one: after a record that was not delivered in time it sends nothing any more."""
        with self._opening:
            if self._producer is producer:
                self._producer = None
        _abandon(producer)

    def _reader(self) -> PositionReader:
        """The calling thread's own, kept for its next read."""
        thread = threading.get_ident()
        with self._opening:
            if thread not in self._readers:
                self._readers[thread] = PositionReader(self._cluster)
            return self._readers[thread]


def _abandon(producer: KafkaProducer) -> None:
    """Close it without waiting for what it has not delivered, which its own closing would do, and fail."""
    if producer._sender is not None:
        producer._sender.force_close()
    with suppress(KafkaTimeoutError):
        producer.close(timeout=_CLOSE_S)
