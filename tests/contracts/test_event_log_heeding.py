"""A subscriber of the embedded log that heeds some types wakes for those alone, and still reads everything."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_stack.eventlog.embedded.consumer import EmbeddedConsumer
from shop_stack.eventlog.embedded.log import EmbeddedLog
from shop_stack.eventlog.interface import Heeding, Record
from shop_stack.events.topics import Topic

pytestmark = pytest.mark.embedded

TOPIC = Topic("shop.orders", partitions=1)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog(tmp_path / "log", {TOPIC.name: TOPIC}) as log:
        yield log


@pytest.fixture
def consumer(log: EmbeddedLog) -> EmbeddedConsumer:
    """Heeds "wanted", has looked after itself just now, and waits at the end."""
    consumer = log.subscribe("group", [TOPIC.name])
    assert isinstance(consumer, Heeding)
    consumer.heed(["wanted"])
    assert consumer.poll(timeout_s=0.01) == []
    return consumer


def put(log: EmbeddedLog, value: bytes, kind: str | None) -> None:
    log.append(TOPIC.name, [Record("a", value, type=kind)])


@pytest.mark.parametrize("kind", ["wanted", None])
def test_what_is_heeded_or_tells_no_type_wakes_at_once(
    log: EmbeddedLog, consumer: EmbeddedConsumer, kind: str | None
) -> None:
    put(log, b"1", kind)
    begun = time.monotonic()
    assert [record.value for record in consumer.poll(timeout_s=5)] == [b"1"]
    assert time.monotonic() - begun < 0.5


def test_the_others_are_read_in_order_with_the_next_that_is_heeded(
    log: EmbeddedLog, consumer: EmbeddedConsumer
) -> None:
    put(log, b"1", "other")
    assert consumer.poll(timeout_s=0.05) == []
    put(log, b"2", "wanted")
    assert [record.value for record in consumer.poll(timeout_s=5)] == [b"1", b"2"]


def test_the_others_alone_are_read_within_a_second(log: EmbeddedLog, consumer: EmbeddedConsumer) -> None:
    put(log, b"1", "other")
    begun = time.monotonic()
    assert [record.value for record in consumer.poll(timeout_s=5)] == [b"1"]
    assert time.monotonic() - begun < 1.5


def test_an_append_of_several_types_wakes_whoever_heeds_one_of_them(
    log: EmbeddedLog, consumer: EmbeddedConsumer
) -> None:
    log.append(TOPIC.name, [Record("a", b"1", type="other"), Record("a", b"2", type="wanted")])
    begun = time.monotonic()
    assert [record.value for record in consumer.poll(timeout_s=5)] == [b"1", b"2"]
    assert time.monotonic() - begun < 0.5


def test_who_heeds_nothing_wakes_for_everything(log: EmbeddedLog) -> None:
    consumer = log.subscribe("all", [TOPIC.name])
    assert consumer.poll(timeout_s=0.01) == []
    put(log, b"1", "other")
    begun = time.monotonic()
    assert [record.value for record in consumer.poll(timeout_s=5)] == [b"1"]
    assert time.monotonic() - begun < 0.5
