"""Delivery and relay in trouble: what breaks around an event delays it, and neither loses nor repeats its effect."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from shop_stack.errors import EventLogError, LogUnavailable, RecordTooLarge
from shop_stack.eventlog import delivery as delivery_module
from shop_stack.eventlog import inbox
from shop_stack.eventlog import relay as relay_module
from shop_stack.eventlog.delivery import Delivery
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Consumer, EventLog, Placed, Record
from shop_stack.events import BEHAVIOUR
from shop_stack.hosting.context import Context
from tests import toy_service
from tests.contracts.toy_parts import (
    Clock,
    FitfulLog,
    delivery_of,
    driver_of,
    lags,
    product,
    receive,
    relay_of,
    send,
    sequences,
    toy_context,
)
from tests.flows.shop_in_process import wait_until

pytestmark = pytest.mark.embedded


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with closing(EmbeddedLog(tmp_path / "log")) as opened:
        yield opened


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = toy_context(tmp_path)
    yield made
    made.store.close()


class Consumers:
    """An event log whose consumers fail: `polls` and `commits` are the errors of the next ones."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.polls: list[Exception] = []
        self.commits: list[Exception] = []
        self.joined = 0

    def subscribe(self, group: str, topics: Sequence[str]) -> Any:
        """Join."""
        self.joined += 1
        return _Failing(self, self._log.subscribe(group, topics))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class _Failing:
    def __init__(self, of: Consumers, consumer: Consumer) -> None:
        self._of, self._consumer = of, consumer

    def poll(self, timeout_s: float) -> Any:
        if self._of.polls:
            raise self._of.polls.pop(0)
        return self._consumer.poll(timeout_s=timeout_s)

    def commit(self, positions: Any) -> None:
        if self._of.commits:
            raise self._of.commits.pop(0)
        self._consumer.commit(positions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


@contextmanager
def following(context: Context, log: Any) -> Iterator[Delivery]:
    """The toy's subscription at work."""
    delivery = delivery_of(context, log)
    delivery.start()
    yield delivery
    delivery.stop()


def counted(context: Context, name: str) -> int:
    return toy_service.value_of(context, name)


def test_a_subscription_that_breaks_joins_again(context: Context, log: EventLog) -> None:
    consumers = Consumers(log)
    with following(context, consumers):
        send(log, product("a", 2))
        wait_until(lambda: counted(context, "a") == 2, "the first event")
        consumers.polls = [RuntimeError("a bug in a client"), RuntimeError("and again")]
        wait_until(lambda: consumers.joined == 3, "the subscription to join again, and again")
        send(log, product("a", 3))
        wait_until(lambda: counted(context, "a") == 5, "the event after")
    assert not lags(log)


def test_a_log_that_does_not_answer_a_poll_is_asked_again_by_the_same_member(context: Context, log: EventLog) -> None:
    consumers = Consumers(log)
    consumers.polls = [LogUnavailable("away")]
    with following(context, consumers):
        send(log, product("a", 2))
        wait_until(lambda: counted(context, "a") == 2, "the event")
    assert consumers.joined == 1


def test_positions_that_were_not_taken_are_committed_later(context: Context, log: EventLog) -> None:
    consumers = Consumers(log)
    consumers.commits = [EventLogError("the coordinator moves")]
    with following(context, consumers):
        send(log, product("a", 2))
        wait_until(lambda: not consumers.commits, "the refused commit")
        wait_until(lambda: not lags(log), "the next one")
    assert counted(context, "a") == 2


def test_no_more_is_read_while_too_much_waits(
    context: Context, log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "_MAX_WAITING", 3)
    (tmp_path / "weak").touch()
    with following(context, log) as delivery:
        send(log, product("a", 1, "weak"), product("a", 2), product("a", 4))
        wait_until(lambda: delivery.progress.waiting == 1, "the aggregate to wait")
        wait_until(lambda: len(next(iter(delivery._waiting.values())).queue) == 3, "all of it to wait")
        send(log, product("later", 1))
        wait_until(lambda: next(iter(delivery._waiting.values())).attempts > 3, "further turns")
        assert counted(context, "later") == 0, "what is not read is kept by the log"
        (tmp_path / "weak").unlink()
        wait_until(lambda: counted(context, "later") == 1, "what came later")
    assert counted(context, "a") == 7


def test_a_dead_letter_that_cannot_be_kept_waits_in_memory_with_its_aggregate(
    context: Context, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [sqlite3.OperationalError("database or disk is full")]
    park = inbox.park

    def parks(*given: Any) -> None:
        if failures:
            raise failures.pop()
        park(*given)

    monkeypatch.setattr(inbox, "park", parks)
    with following(context, log):
        send(log, product("bad", 1, "toxic"), product("bad", 2), product("good", 1))
        wait_until(lambda: not failures, "the failure to keep it")
        wait_until(lambda: counted(context, "good") == 1, "the neighbour")
        wait_until(lambda: len(inbox.stopped(driver_of(context))) == 1, "the dead letter")
    (one,) = inbox.stopped(driver_of(context))
    assert (one.aggregate, one.parked, one.error) == ("bad", 1, "ValueError: this product is toxic")
    assert counted(context, "bad") == 0
    assert not lags(log)


class OneByOne:
    """An event log that takes one record at a time."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def append(self, topic: str, records: Sequence[Record]) -> list[Placed]:
        """Append one record."""
        if len(records) > 1:
            raise RecordTooLarge("the batch is too large")
        return self._log.append(topic, records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def test_a_batch_that_is_refused_goes_out_one_by_one_in_order(context: Context, log: EventLog) -> None:
    relay = relay_of(context, OneByOne(log))
    for _ in range(3):
        receive(context, "a")
        receive(context, "b")
    relay.turn()
    assert sequences(log) == {"a": [1, 2, 3], "b": [1, 2, 3]}
    assert relay.blocked() == {}


def test_while_the_relay_rests_nothing_is_sent_and_then_all_in_order(
    context: Context, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda *_: 20.0)  # two seconds: longer than two transactions
    fitful = FitfulLog(log)
    fitful.failures = ["before"]
    relay = relay_of(context, fitful)
    receive(context, "a")
    relay.send(["a"])
    receive(context, "a")
    relay.send(["a"])
    assert sequences(log) == {}, "it rests after a failure, whoever sends"
    wait_until(lambda: relay.turn() or sequences(log) == {"a": [1, 2]}, "the rest to be over")


class SlowLog:
    """An event log whose appends wait until they are let go."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.began, self.go = threading.Event(), threading.Event()

    def append(self, topic: str, records: Sequence[Record]) -> list[Placed]:
        """Append when let go."""
        self.began.set()
        assert self.go.wait(20)
        return self._log.append(topic, records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def test_while_one_thread_sends_another_leaves_its_rows_to_the_relay(context: Context, log: EventLog) -> None:
    slow = SlowLog(log)
    relay = relay_of(context, slow)
    receive(context, "a")
    sender = threading.Thread(target=relay.send, args=(["a"],))
    sender.start()
    assert slow.began.wait(20)
    receive(context, "b")
    relay.send(["b"])
    assert sequences(log) == {}, "the first still waits for the log, and the second did not"
    slow.go.set()
    sender.join(20)
    wait_until(lambda: relay.turn() or sequences(log) == {"a": [1], "b": [1]}, "the rows of both")


def test_every_hour_the_outbox_forgets_what_its_topic_has_forgotten(
    tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    context = toy_context(tmp_path, clock)
    relay = relay_of(context, log)
    for _ in range(3):
        receive(context, "a")
    relay.turn()
    relay.mark_acknowledged()
    with context.store.write() as session:
        session.driver.execute("UPDATE outbox SET topic = ? WHERE sequence < 3", (BEHAVIOUR.name,))
    assert BEHAVIOUR.retention_days is not None
    clock.forward(BEHAVIOUR.retention_days * 86_400 + 60)
    relay_of(context, log).turn()
    assert kept(context) == [1, 2, 3], "not before an hour is over"
    monkeypatch.setattr(relay_module, "_FORGET_EVERY_S", 0.0)
    relay_of(context, log).turn()
    assert kept(context) == [3]
    context.store.close()


def kept(context: Context) -> list[int]:
    rows = driver_of(context).execute("SELECT sequence FROM outbox ORDER BY ordinal").fetchall()
    return [int(sequence) for (sequence,) in rows]
