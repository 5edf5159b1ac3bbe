"""The outbox and its relay: what commits is sent, in order within each aggregate, and nothing else is."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shop_stack.errors import Conflict
from shop_stack.eventlog import outbox
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog
from shop_stack.events import PriceChanged, StockReceived
from shop_stack.hosting.context import Context
from shop_stack.hosting.service import Cause
from tests.contracts.toy_parts import Clock, FitfulLog, driver_of, on_log, receive, relay_of, sequences, toy_context
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


def unmarked(context: Context) -> int:
    """Rows that are not marked as published."""
    count = "SELECT count(*) FROM outbox WHERE published IS NULL"
    return int(driver_of(context).execute(count).fetchone()[0])


def test_a_rolled_back_transaction_sends_nothing(context: Context, log: EventLog) -> None:
    relay = relay_of(context, log)

    def fail_after_publishing() -> None:
        with context.write() as transaction:
            transaction.publish(StockReceived(product_id="a", quantity=1), subject="a", sequence=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_publishing()
    receive(context, "b")
    relay.turn()
    assert sequences(log) == {"b": [1]}


@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_a_wrong_sequence_fails_loudly_and_takes_its_transaction_with_it(context: Context, wrong: int) -> None:
    receive(context, "a")

    def publish_both() -> None:
        with context.write() as transaction:
            transaction.publish(StockReceived(product_id="b", quantity=1), subject="b", sequence=1)
            transaction.publish(StockReceived(product_id="a", quantity=1), subject="a", sequence=wrong)

    with pytest.raises(Conflict, match="the next of its aggregate is 2"):
        publish_both()
    assert unmarked(context) == 1


def test_the_database_itself_refuses_a_version_twice(context: Context) -> None:
    receive(context, "a")
    driver = driver_of(context)
    with pytest.raises(Exception, match=r"(?i)unique"):
        driver.execute("INSERT INTO outbox SELECT ordinal + 100, 'x', aggregatetype, aggregateid, type, payload, "
                       "sequence, topic, key, traceparent, created, published FROM outbox")  # fmt: skip


def test_what_the_card_does_not_list_cannot_be_published(context: Context) -> None:
    event = PriceChanged(product_id="a", list_price_minor=2, previous_minor=1)
    with pytest.raises(TypeError, match="PriceChanged"), context.write() as transaction:
        transaction.publish(event, subject="a", sequence=1)


def test_rows_are_marked_after_the_acknowledgement_and_sent_once(context: Context, log: EventLog) -> None:
    relay = relay_of(context, log)
    receive(context, "a")
    assert relay.age_s() > 0
    relay.turn()
    assert (len(on_log(log)), unmarked(context), relay.age_s()) == (1, 1, 0.0)
    receive(context, "a")
    relay.turn()
    relay.mark_acknowledged()
    assert (len(on_log(log)), unmarked(context)) == (2, 0)


def test_the_next_commit_carries_the_marks_of_what_was_sent_before(context: Context, log: EventLog) -> None:
    relay = relay_of(context, log)
    receive(context, "a")
    relay.turn()
    receive(context, "a")
    assert unmarked(context) == 1, "only the new row"
    relay.turn()
    assert [event.sequence for event in on_log(log)] == [1, 2]


def test_the_relay_waits_for_the_log_and_keeps_the_order(context: Context, log: EventLog) -> None:
    fitful = FitfulLog(log)
    fitful.failures = ["before", "after", "before"]
    relay = relay_of(context, fitful)
    relay.start()
    for _ in range(5):
        receive(context, "a")
        receive(context, "b")
    wait_until(lambda: sequences(log) == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 4, 5]}, "all events in order")
    relay.stop()
    assert unmarked(context) == 0


def test_an_event_that_the_log_refuses_blocks_its_aggregate_and_no_other(context: Context, log: EventLog) -> None:
    relay = relay_of(context, log)
    receive(context, "giant")
    with context.write() as transaction:
        giant = StockReceived(product_id="x" * 1_000_000, quantity=1)
        transaction.publish(giant, subject="giant", sequence=2)
    receive(context, "a")
    with context.write() as transaction:
        transaction.publish(StockReceived(product_id="giant", quantity=1), subject="giant", sequence=3)
    relay.turn()
    assert sequences(log) == {"giant": [1], "a": [1]}
    assert "900 KiB" in relay.blocked()["giant"] or "RecordTooLarge" in relay.blocked()["giant"]
    receive(context, "a")
    relay.turn()
    assert sequences(log) == {"giant": [1], "a": [1, 2]}
    assert relay.age_s() > 0


def test_what_a_dead_replica_left_is_swept_by_another_and_only_repeated(tmp_path: Path, log: EventLog) -> None:
    clock = Clock()
    dead, alive = toy_context(tmp_path, clock), toy_context(tmp_path, clock)
    relay = relay_of(dead, log, "toy-1")
    receive(dead, "a")
    relay.turn()  # sent, and the process dies before it marks
    dead.relay = None
    receive(dead, "a")  # committed, never sent nor marked
    sweeper = relay_of(alive, log, "toy-2")
    sweeper.turn()
    assert sequences(log) == {"a": [1]}, "what another replica has just committed is left to it"
    clock.forward(2)
    sweeper = relay_of(alive, log, "toy-2")
    sweeper.turn()
    assert [event.sequence for event in on_log(log)] == [1, 1, 2]
    assert unmarked(alive) == 0


def test_a_holder_that_lost_the_lease_marks_nothing(tmp_path: Path, log: EventLog) -> None:
    clock = Clock()
    context = toy_context(tmp_path, clock)
    slow, quick = relay_of(context, log, "toy-1"), relay_of(context, log, "toy-2")
    receive(context, "a")
    now = int(clock.at.timestamp() * 1_000_000)
    generation = slow.take_lease(now)
    assert generation is not None
    assert quick.take_lease(now) is None, "the lease is held"
    later = now + 6_000_000
    taken = quick.take_lease(later)
    assert taken is not None
    assert taken > generation
    assert not slow.mark_fenced([1], generation)
    assert unmarked(context) == 1
    assert quick.mark_fenced([1], taken)
    assert unmarked(context) == 0


def test_two_replicas_that_share_aggregates_keep_every_order(tmp_path: Path, log: EventLog) -> None:
    contexts = [toy_context(tmp_path), toy_context(tmp_path)]
    relays = [relay_of(context, log, f"toy-{number}") for number, context in enumerate(contexts)]
    for relay in relays:
        relay.start()

    def work(context: Context) -> None:
        for turn in range(60):
            receive(context, f"shared-{turn % 5}")

    threads = [threading.Thread(target=work, args=(context,)) for context in contexts for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for relay in relays:
        relay.stop()
    assert sequences(log) == {f"shared-{number}": list(range(1, 49)) for number in range(5)}


def test_rows_are_forgotten_only_when_the_log_has_forgotten_them(context: Context, log: EventLog) -> None:
    relay = relay_of(context, log)
    for _ in range(3):
        receive(context, "a")
    relay.turn()
    relay.mark_acknowledged()
    with context.store.write() as session:
        session.driver.execute("UPDATE outbox SET topic='shop.behaviour' WHERE sequence < 3")
        session.driver.execute("UPDATE outbox SET published = 5 WHERE sequence = 1")
        assert outbox.forget(session.driver, ["shop.behaviour"], 6) == 1
        assert outbox.forget(session.driver, ["shop.behaviour"], 6) == 0


def test_an_event_carries_its_cause(context: Context, log: EventLog) -> None:
    relay = relay_of(context, log)
    cause = Cause(causation="request-1", correlation="order-1", traceparent="00-ab-cd-01")
    with context.write(cause) as transaction:
        transaction.publish(StockReceived(product_id="a", quantity=1), subject="a", sequence=1)
    relay.turn()
    event = on_log(log)[0]
    told = (event.source, event.causationid, event.correlationid, event.traceparent)
    assert told == ("/toy", "request-1", "order-1", "00-ab-cd-01")
