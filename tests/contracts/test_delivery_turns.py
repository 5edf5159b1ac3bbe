"""Delivery driven turn by turn over a log in memory: when it may rest, and which failures stop an aggregate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from shop_stack.eventlog import delivery as delivery_module
from shop_stack.eventlog import inbox
from shop_stack.eventlog.delivery import ATTEMPTS, IDLE_POLL_S, types_of
from shop_stack.eventlog.records import partition_of
from shop_stack.events import ProductAdded
from shop_stack.hosting.context import Context
from shop_stack.trials.memory_log import MemoryLog
from tests import toy_service
from tests.contracts.toy_parts import delivery_of, driver_of, product, send, toy_context

pytestmark = pytest.mark.embedded
TOPICS, _ = types_of(toy_service.CARD.subscriptions)


class Seconds:
    """Stands in for the module `time` in delivery."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    made = Seconds()
    monkeypatch.setattr(delivery_module, "time", made)
    return made


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = toy_context(tmp_path)
    yield made
    made.store.close()


def turns(delivery: Any, consumer: Any, seconds: Seconds, number: int) -> None:
    for _ in range(number):
        seconds.at += delivery.patience_s()
        delivery.turn(consumer)


def test_a_member_whose_partitions_went_to_another_rests_again(context: Context, seconds: Seconds) -> None:
    log = MemoryLog()
    delivery, consumer = delivery_of(context, log), log.subscribe("toy", TOPICS)
    delivery.begin(consumer)
    send(log, *(product(f"p{number}") for number in range(40)))
    turns(delivery, consumer, seconds, 5)
    assert sum(log.lag("toy").values()) == 0
    names = [f"q{number}" for number in range(40)]
    send(log, *(product(name) for name in names if partition_of(name, log.partitions(TOPICS[0])) % 2))
    delivery.turn(consumer)
    log.subscribe("toy", TOPICS)  # the odd partitions go to it, and with them all that is not committed
    turns(delivery, consumer, seconds, 5)
    assert {partition % 2 for _, partition in consumer.assignment()} == {0}
    assert delivery.patience_s() == IDLE_POLL_S


def test_a_member_whose_partition_went_and_came_back_rests_again(context: Context, seconds: Seconds) -> None:
    log = MemoryLog()
    delivery, consumer = delivery_of(context, log), log.subscribe("toy", TOPICS)
    delivery.begin(consumer)
    names = [name for name in map(str, range(40)) if partition_of(name, log.partitions(TOPICS[0])) == 1]
    send(log, *(product(name) for name in names))
    delivery.turn(consumer)
    other = log.subscribe("toy", TOPICS)  # partition 1 goes to it
    send(log, *(product(f"{name} again") for name in names), product(names[0], 2))
    found = other.poll()
    other.commit({(record.topic, record.partition): record.position + 1 for record in found})
    other.close()
    turns(delivery, consumer, seconds, 6)
    assert delivery.patience_s() == IDLE_POLL_S
    assert sum(log.lag("toy").values()) == 0


def test_passing_failures_are_no_reason_to_stop_an_aggregate(context: Context, seconds: Seconds) -> None:
    log = MemoryLog()
    delivery, consumer = delivery_of(context, log), log.subscribe("toy", TOPICS)
    delivery.begin(consumer)
    flag = context.settings.home.path / "weak"
    flag.touch()
    send(log, product("a", 2, name="weak"), product("a", 1, name="poison"))
    turns(delivery, consumer, seconds, 3 * ATTEMPTS)
    flag.unlink()
    seconds.at += 10.0
    delivery.turn(consumer)
    assert toy_service.value_of(context, "a") == 2
    assert inbox.stopped(driver_of(context)) == []
    (context.settings.home.path / "cured").touch()
    seconds.at += 10.0
    delivery.turn(consumer)
    assert toy_service.value_of(context, "a") == 3


def test_passing_failures_before_a_failure_do_not_count_with_it(
    context: Context, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryLog()
    delivery, consumer = delivery_of(context, log), log.subscribe("toy", TOPICS)
    delivery.begin(consumer)
    (context.settings.home.path / "weak").touch()
    send(log, product("a", 2, name="weak"))
    turns(delivery, consumer, seconds, 4 * ATTEMPTS)
    assert delivery.progress.waiting == 1
    attempts = 0

    def fail(*_: Any) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError("it fails for good now")

    monkeypatch.setitem(cast(dict[Any, Any], context.card.subscriptions), ProductAdded, fail)
    turns(delivery, consumer, seconds, 10 * ATTEMPTS)
    assert attempts == ATTEMPTS
    assert len(inbox.stopped(driver_of(context))) == 1
