"""The Kafka log against a broker that stops, comes back, and loses its data."""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource

from shop_stack.errors import ForeignLog, LogUnavailable
from shop_stack.eventlog.interface import Record
from shop_stack.eventlog.kafka import KafkaLog
from shop_stack.eventlog.kafka.cluster import BRIEF_MS, FETCH_WAIT_MS
from shop_stack.eventlog.kafka.consumer import KafkaGroupConsumer
from shop_stack.events.topics import TOPICS, Topic
from tests import needs
from tests.brokers import Broker, running_broker
from tests.contracts.event_log_places import drain, read_all, settle
from tests.stack.gateway_bench import until

pytestmark = pytest.mark.real
OUTAGE_S = 14.0  # longer than the client tries to deliver a record
PATIENCE_S = 30.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker", needs.kafka()) as running:
        yield running


def test_every_declared_topic_is_made_with_its_partitions_and_retention(kafka_broker: Broker) -> None:
    with KafkaLog(kafka_broker.address) as log:
        assert {name: log.partitions(name) for name in log.topics()} == {t.name: t.partitions for t in TOPICS.values()}
        found = log._cluster._admin.describe_configs(
            [ConfigResource("topic", name) for name in TOPICS], config_filter="all"
        )
    kept = {name: int(settings["retention.ms"]["value"]) for name, settings in found["topic"].items()}
    assert kept == {t.name: -1 if t.retention_days is None else t.retention_days * 86_400_000 for t in TOPICS.values()}


def test_no_topic_is_compacted_or_bounded_in_size_whatever_the_cluster_does_by_default(kafka_broker: Broker) -> None:
    with KafkaLog(kafka_broker.address) as log:
        found = log._cluster._admin.describe_configs(
            [ConfigResource("topic", name) for name in TOPICS], config_filter="all"
        )["topic"]
    policies = {(c["cleanup.policy"]["value"], c["retention.bytes"]["value"]) for c in found.values()}
    said_by_us = {c[key]["config_source"] for c in found.values() for key in ("cleanup.policy", "retention.bytes")}
    assert policies == {("delete", "-1")}
    assert said_by_us == {"DYNAMIC_TOPIC_CONFIG"}


def test_partitions_that_stay_with_a_member_are_not_taken_from_it_when_others_come_and_go(kafka_broker: Broker) -> None:
    topic = Topic(f"trial-{uuid4().hex[:8]}", partitions=6)
    with KafkaLog(kafka_broker.address, {topic.name: topic}) as log:
        first, second = (log.subscribe(topic.name, [topic.name]) for _ in range(2))
        taken: set[tuple[str, int]] = set()
        settle([first], 6)
        with noting_revocations(first, taken):
            settle([first, second], 6)
            stayed, went = first.assignment(), second.assignment()
            assert (len(stayed), len(went)) == (3, 3)
            assert taken == went
            taken.clear()
            second.close()
            settle([first], 6)
            assert taken == set()


@contextmanager
def noting_revocations(member: KafkaGroupConsumer, taken: set[tuple[str, int]]) -> Iterator[None]:
    """Note each partition that is taken from a member, though it may come back at once."""
    hear = member._revocations.on_partitions_revoked

    def note(revoked: Collection[TopicPartition]) -> None:
        taken.update((p.topic, p.partition) for p in revoked)
        hear(revoked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(member._revocations, "on_partitions_revoked", note)
        yield


def test_no_broker_is_said_so() -> None:
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:9"):
        KafkaLog("127.0.0.1:9", bootstrap_s=1.0)


def test_a_broker_that_restarts_loses_nothing_and_one_that_is_reformatted_is_another_log(broker: Broker) -> None:
    with KafkaLog(broker.address) as log:
        first_id = log.log_id
        log.append("shop.orders", [Record(f"k{i}", str(i).encode()) for i in range(100)])
        consumer = log.subscribe("readers", ["shop.orders"])
        assert len(drain([consumer], lambda found: len(found) == 100)) == 100
        broker.stop()
        with pytest.raises(LogUnavailable):
            log.append("shop.orders", [Record("late", b"never")])
        broker.start()
        append_patiently(log, Record("late", b"back"))
        found = drain([consumer], lambda found: any(r.value == b"back" for r in found), within_s=30)
        assert len({(r.partition, r.position) for r in found}) == len(found)
        assert {str(i).encode() for i in range(100)} <= {r.value for r in read_all(log, "shop.orders")}
        broker.stop()
        broker.format()
        broker.start()
        with pytest.raises(ForeignLog, match=first_id):
            log.ends("shop.orders")
    for _ in range(2):
        with pytest.raises(ForeignLog, match=f"{first_id}.* no log yet: the broker has lost its data"):
            KafkaLog(broker.address, known=first_id)
    with KafkaLog(broker.address) as log:
        assert log.log_id != first_id
        with KafkaLog(broker.address, known=log.log_id) as same:
            assert same.log_id == log.log_id
        with pytest.raises(ForeignLog, match=f"{first_id}.* there is log {log.log_id}"):
            KafkaLog(broker.address, known=first_id)
        assert sum(log.ends("shop.orders")) == 0
        assert log.committed("readers") == {}


def test_who_appended_all_through_an_outage_goes_on_after_it(broker: Broker) -> None:
    over = threading.Event()
    with KafkaLog(broker.address) as log:

        def append() -> None:
            while not over.is_set():
                with suppress(LogUnavailable):
                    log.append("shop.orders", [Record("k", b"x")])

        appending = threading.Thread(target=append)
        appending.start()
        try:
            until(lambda: log._known_ends, 10.0)
            broker.stop()
            over.wait(OUTAGE_S)
            broker.start()
            ends = log.ends("shop.orders")
            until(lambda: log.ends("shop.orders") > ends, PATIENCE_S)
        finally:
            over.set()
            appending.join()


def test_positions_are_told_as_soon_as_a_broker_that_was_away_is_back(broker: Broker) -> None:
    with KafkaLog(broker.address) as log:
        log.append("shop.orders", [Record("one", b"1")])
        broker.stop()
        with pytest.raises(LogUnavailable):
            log.ends("shop.orders")  # leaves the connection in its back-off
        broker.start()
        assert sum(log.ends("shop.orders")) == 1
        assert log.groups() == []


def test_a_group_that_another_broker_keeps_by_now_is_found_there(kafka_broker: Broker) -> None:
    group = f"moved-{uuid4().hex}"
    with KafkaLog(kafka_broker.address) as log:
        with closing(log.subscribe(group, ["shop.orders"])) as member:
            settle([member], log.partitions("shop.orders"))
        before = log.committed(group)
        assert len(before) == log.partitions("shop.orders")
        known = log._cluster._admin._manager.cluster._coordinators
        assert known
        known.update(dict.fromkeys(known, 99))  # a broker that is gone
        assert log.committed(group) == before


def test_who_reads_partitions_in_turn_holds_no_fetch_that_the_next_would_wait_for(kafka_broker: Broker) -> None:
    with KafkaLog(kafka_broker.address) as log:
        log.append("shop.orders", [Record(f"k{i}", b"x") for i in range(100)])
        ends = log.ends("shop.orders")
        held = log._reader()._consumer._fetcher.config
        for partition, end in enumerate(ends):
            assert log.read("shop.orders", partition, max(0, end - 3))
            assert held["fetch_max_wait_ms"] < 50
        assert not log.wait({("shop.orders", n): end for n, end in enumerate(ends)}, 0.1)
        assert held["fetch_max_wait_ms"] == FETCH_WAIT_MS


def test_a_member_that_is_behind_waits_for_no_idle_fetch(kafka_broker: Broker) -> None:
    with KafkaLog(kafka_broker.address) as log:
        log.append("shop.history", [Record("k", b"x" * 700) for _ in range(6000)])
        member = log.subscribe("far-behind", ["shop.history", "shop.customers"])
        held = member._consumer._fetcher.config
        read = 0
        while read < 6000:
            read += len(records := member.poll(timeout_s=10))
            assert records
            assert held["fetch_max_wait_ms"] == (FETCH_WAIT_MS if read == 6000 else BRIEF_MS)
        member.close()


def append_patiently(log: KafkaLog, record: Record, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            log.append("shop.orders", [record])
        except LogUnavailable:
            assert time.monotonic() < deadline
        else:
            return
