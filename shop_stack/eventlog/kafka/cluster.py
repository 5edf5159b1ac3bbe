"""A Kafka cluster as seen by the log: its topics, their bounds and committed positions, and its errors as ours."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    NotCoordinatorError,
    UnknownBrokerIdError,
    UnknownTopicOrPartitionError,
)
from kafka.protocol.consumer.offsets import OffsetSpec

from shop_stack.errors import ForeignLog
from shop_stack.eventlog.interface import TopicPartition as Partition
from shop_stack.eventlog.kafka.connection import client_options, unavailable
from shop_stack.events.topics import Topic
from shop_stack.kafka_access import IN_THE_CLEAR, KafkaAccess

# Its topic id names the log: it is made with the first topics and lost with them, even where a cluster id is fixed.
ANCHOR = "shopfloor.log"
BATCH_BYTES = 1_048_588
_CLIENTS_BOOTSTRAP_S = 10.0
# How long a broker holds an idle fetch: each costs the client 3 ms, and what a rebalance brings waits for its end.
FETCH_WAIT_MS = 1000
# The same while there is more to read: a client has one fetch at a time with a broker, so that a partition which has
# been emptied waits for the end of the idle one of its neighbours. That would be a megabyte a second.
BRIEF_MS = 10
# What passes by itself, and how long to ask again: a fresh cluster makes the topic of positions when first asked for
# one; a connection that broke while nobody asked is refused until its back-off is over.
_PASSING: dict[type[KafkaError], float] = {
    CoordinatorNotAvailableError: 10.0,
    CoordinatorLoadInProgressError: 10.0,
    NotCoordinatorError: 10.0,
    NodeNotReadyError: 3.0,
    KafkaConnectionError: 3.0,
    UnknownBrokerIdError: 3.0,
}
_ASK_AGAIN_S = 0.1
_DAY_MS = 86_400_000
# What was asked of a broker that is gone is asked of another after this. To join a group may take longer.
_ANSWER_MS = 10_000
_OURS = "kafka-"
_Answer = TypeVar("_Answer")


def hold_idle_fetches(consumer: KafkaConsumer, milliseconds: int) -> None:
    """The client has no setting for it that may change; its fetcher looks here with every request."""
    consumer._fetcher.config["fetch_max_wait_ms"] = milliseconds


class Cluster:
    """One administrative connection, safe from any thread. Creates the declared topics that are missing.

    With `known`, the log_id that it must have, only when it has: else it raises ForeignLog.
    """

    def __init__(
        self,
        servers: str,
        declared: Mapping[str, Topic],
        bootstrap_s: float,
        known: str | None,
        access: KafkaAccess = IN_THE_CLEAR,
    ) -> None:
        self.servers = servers
        self._access = access
        options = client_options(servers, access, bootstrap_s)
        self.connection = options | {
            "bootstrap_timeout_ms": int(_CLIENTS_BOOTSTRAP_S * 1000),
            "metrics_enabled": False,
            "request_timeout_ms": _ANSWER_MS,
        }
        logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what matters is raised; the rest is a line a retry
        with self.unavailable():
            self._admin = KafkaAdminClient(**options)
            found = self._describe()
            cluster_id = self._admin.describe_cluster()["cluster_id"]
            if known is not None:
                _check_known(known, cluster_id, found, servers)
            missing = [topic for topic in (*declared.values(), Topic(ANCHOR, partitions=1)) if topic.name not in found]
            if missing:
                self._create(missing)
                found = self._describe()
        self.log_id = _log_id(cluster_id, found[ANCHOR])
        self.partitions = {name: len(found[name]["partitions"]) for name in declared}

    def unavailable(self) -> AbstractContextManager[None]:
        """Within it, what Kafka's client raises is raised as LogUnavailable or LogRefused."""
        return unavailable(self.servers, self._access)

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first position kept of each partition."""
        return self._offsets(dict.fromkeys(partitions, int(OffsetSpec.EARLIEST)))

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The position after the last record of each partition."""
        return self._offsets(dict.fromkeys(partitions, int(OffsetSpec.LATEST)))

    def first_since(self, partitions: Iterable[Partition], since_ms: int) -> dict[Partition, int]:
        """The first position of each partition appended at `since_ms` or later; -1 when there is none."""
        return self._offsets(dict.fromkeys(partitions, since_ms))

    def committed(self, group: str) -> dict[Partition, tuple[int, str]]:
        """The group's committed positions, each with the log_id that was stored beside it."""
        found = self._patiently(lambda: self._admin.list_group_offsets({group: None}))[group]
        return {(p.topic, p.partition): (o.offset, o.metadata or "") for p, o in found.items() if o.offset >= 0}

    def forget_foreign(self, group: str, topics: Collection[str]) -> int:
        """Remove the group's positions on these topics that were stored with the id of another log; how many."""
        foreign = [
            TopicPartition(*partition)
            for partition, (_, log_id) in self.committed(group).items()
            if partition[0] in topics and log_id.startswith(_OURS) and log_id != self.log_id
        ]
        if foreign:
            self._patiently(lambda: self._admin.delete_group_offsets(group, foreign))
        return len(foreign)

    def committed_by_group(self, groups: list[str]) -> dict[str, dict[Partition, int]]:
        """The committed positions of all these groups, in one request to each broker that keeps them."""
        if not groups:
            return {}
        found = self._patiently(lambda: self._admin.list_group_offsets(dict.fromkeys(groups)))
        return {
            group: {(p.topic, p.partition): int(o.offset) for p, o in offsets.items() if o.offset >= 0}
            for group, offsets in found.items()
        }

    def groups(self) -> list[str]:
        """Every consumer group that the cluster knows."""
        return sorted(group["group_id"] for group in self._patiently(self._admin.list_groups))

    def remove_before(self, positions: Mapping[Partition, int]) -> None:
        """Remove the records before these positions."""
        before = {TopicPartition(*p): position for p, position in positions.items()}
        self._patiently(lambda: self._admin.delete_records(before))

    def close(self) -> None:
        self._admin.close()

    def _describe(self) -> dict[str, dict[str, Any]]:
        return {topic["name"]: topic for topic in self._admin.describe_topics()}

    def _create(self, topics: list[Topic]) -> None:
        """Create topics; another process may have been faster."""
        wanted = {
            topic.name: {
                "num_partitions": topic.partitions,
                "configs": {
                    "retention.ms": "-1" if topic.retention_days is None else str(int(topic.retention_days * _DAY_MS)),
                    "retention.bytes": "-1",
                    "cleanup.policy": "delete",  # each event counts: none is compacted, whatever the cluster's default
                    "max.message.bytes": str(BATCH_BYTES),
                },
            }
            for topic in topics
        }
        self._admin.create_topics(wanted, raise_errors=False)
        self._admin.wait_for_topics(list(wanted))

    def _offsets(self, wanted: Mapping[Partition, int]) -> dict[Partition, int]:
        if not wanted:
            return {}
        asked = {TopicPartition(*p): spec for p, spec in wanted.items()}
        found = self._patiently(lambda: self._admin.list_partition_offsets(asked))
        return {(p.topic, p.partition): int(o.offset) for p, o in found.items()}

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask what may be asked twice, again while its failure passes by itself. Raises LogUnavailable, ForeignLog."""
        begun = time.monotonic()
        with self.unavailable():
            while True:
                try:
                    return ask()
                except UnknownTopicOrPartitionError:
                    _check_known(
                        self.log_id, self._admin.describe_cluster()["cluster_id"], self._describe(), self.servers
                    )
                    raise
                except KafkaError as error:
                    self._forget_coordinators()
                    patience_s = max((s for kind, s in _PASSING.items() if isinstance(error, kind)), default=0.0)
                    if time.monotonic() - begun > patience_s or not patience_s:
                        raise
                    time.sleep(_ASK_AGAIN_S)

    def _forget_coordinators(self) -> None:
        """Which broker keeps a group is looked up anew: the library never does, and a lost one hands its groups on."""
        self._admin._manager.cluster._coordinators.clear()


def _log_id(cluster_id: str, anchor: Mapping[str, Any]) -> str:
    return f"{_OURS}{cluster_id}-{anchor['topic_id']}"


def _check_known(known: str, cluster_id: str, found: Mapping[str, Mapping[str, Any]], servers: str) -> None:
    """Raise ForeignLog unless the log that is there is the one that is known."""
    here = f"log {_log_id(cluster_id, found[ANCHOR])}" if ANCHOR in found else "no log yet"
    if here != f"log {known}":
        raise ForeignLog(
            f"this home belongs to log {known}, and at {servers} there is {here}: the broker has lost its data, or it "
            f"is another; bring that log back, or stop the stack and start it again: `shopfloor up` sends what the "
            f"outboxes keep again"
        )
