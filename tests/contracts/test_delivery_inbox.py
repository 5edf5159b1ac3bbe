"""The inbox and the delivery loop: each event has its effect once, in order; a failing one holds up only its own."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from sqlalchemy import select

from shop_stack.errors import PositionPastEnd
from shop_stack.eventlog import inbox
from shop_stack.eventlog.delivery import Delivery
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.hosting.context import Context
from tests import toy_service
from tests.contracts.toy_parts import (
    delivery_of,
    driver_of,
    lags,
    on_log,
    product,
    receive,
    relay_of,
    send,
    taken,
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


@contextmanager
def following(context: Context, log: EventLog) -> Iterator[Delivery]:
    """The toy's subscription at work."""
    delivery = delivery_of(context, log)
    delivery.start()
    yield delivery
    delivery.stop()


def counted(context: Context, *names: str) -> list[int]:
    """The toy's counts."""
    return [toy_service.value_of(context, name) for name in names]


def seen(context: Context, name: str) -> list[str]:
    """Ids of the events that had their effect on a count, in order."""
    columns = toy_service.SEEN.c
    with context.read() as connection:
        rows = connection.execute(select(columns.event_id).where(columns.name == name).order_by(columns.ordinal))
        return [str(row[0]) for row in rows]


def stopped(context: Context) -> list[inbox.Stopped]:
    """The stopped aggregates."""
    return inbox.stopped(driver_of(context))


def test_an_event_that_comes_again_has_its_effect_once(context: Context, log: EventLog) -> None:
    with following(context, log) as delivery:
        send(log, product("a", 5), product("a", 5), product("b", 1))
        send(log, product("a", 5))
        wait_until(lambda: delivery.progress.repeated == 2, "the repeats")
    assert counted(context, "a", "b") == [5, 1]
    with following(context, log):
        send(log, product("a", 5), product("c", 1))
        wait_until(lambda: counted(context, "c") == [1], "the event after the restart")
    assert counted(context, "a", "b") == [5, 1]


def test_positions_are_committed_lazily_and_all_of_them_on_leaving(context: Context, log: EventLog) -> None:
    with following(context, log):
        send(log, *(product(f"p{number}") for number in range(50)))
        wait_until(lambda: counted(context, "p49") == [1], "the last event")
    assert not lags(log)


def test_a_poison_event_stops_its_aggregate_and_its_neighbours_flow(context: Context, log: EventLog) -> None:
    with following(context, log):
        send(log, product("bad", 1), product("bad", 2, "poison"), product("good", 1), product("bad", 3))
        send(log, product("bad", 4), product("good", 2))
        wait_until(lambda: stopped(context), "the aggregate to stop")
        send(log, product("bad", 5))
        wait_until(lambda: stopped(context)[0].parked == 3, "the later events to be kept")
    assert counted(context, "bad", "good") == [1, 3]
    one = stopped(context)[0]
    assert (one.aggregate, one.event_id, one.error) == ("bad", "e-bad-poison-2", "ValueError: this product is poison")
    kept = inbox.parked(driver_of(context), "toy", one.topic, "bad")
    assert [record.event_id for record in kept] == ["e-bad-poison-2", "e-bad-tea-3", "e-bad-tea-4", "e-bad-tea-5"]
    assert not lags(log), "a stopped aggregate holds no position back: it is kept in the database"


def test_a_stopped_aggregate_stays_stopped_for_the_next_replica(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    with following(context, log):
        send(log, product("bad", 2, "poison"))
        wait_until(lambda: stopped(context), "the aggregate to stop")
    other = toy_context(tmp_path)
    with following(other, log):
        send(log, product("bad", 3), product("good", 1))
        wait_until(lambda: counted(other, "good") == [1], "the neighbour")
        wait_until(lambda: stopped(other)[0].parked == 1, "the later event to be kept")
    assert counted(other, "bad") == [0]
    other.store.close()


def test_what_is_no_event_stops_its_aggregate_at_once(context: Context, log: EventLog) -> None:
    newer = product("v").value.replace(b".v1", b".v2")
    broken = product("w").value.replace(b'"opening_stock":1', b'"opening_stock":"one"')
    with following(context, log):
        send(log, Record("j", b"{not json"), Record("v", newer), Record("w", broken), Record(None, b"\xff"))
        send(log, product("j"), product("good"))
        wait_until(lambda: len(stopped(context)) == 4, "four stopped aggregates")
        wait_until(lambda: counted(context, "good") == [1], "the neighbour")
    assert counted(context, "j", "v", "w") == [0, 0, 0]
    words = {one.aggregate: one.error for one in stopped(context)}
    assert "another version" in words["v"]
    assert "BadEvent" in words["j"]


def test_events_that_nobody_subscribes_to_are_passed_over(context: Context, log: EventLog) -> None:
    foreign = product("x").value.replace(b"shop.product.added.v1", b"shop.product.dreamt-of.v1")
    with following(context, log) as delivery:
        send(log, Record("x", foreign), product("x"))
        wait_until(lambda: counted(context, "x") == [1], "the event after the foreign one")
    assert not stopped(context)
    assert sum(delivery.progress.handled.values()) == 1


def test_a_passing_failure_waits_in_order_while_neighbours_flow(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    (tmp_path / "weak").touch()
    with following(context, log) as delivery:
        send(log, product("a", 1, "weak"), product("a", 2), product("a", 3), product("good", 1))
        wait_until(lambda: counted(context, "good") == [1], "the neighbour")
        wait_until(lambda: delivery.progress.waiting == 1, "the aggregate to wait")
        assert counted(context, "a") == [0]
        (tmp_path / "weak").unlink()
        wait_until(lambda: counted(context, "a") == [6], "the aggregate to go on")
    assert seen(context, "a") == ["e-a-weak-1", "e-a-tea-2", "e-a-tea-3"]
    assert not stopped(context)
    assert not lags(log)


def test_what_still_waits_when_a_replica_leaves_comes_again(context: Context, log: EventLog, tmp_path: Path) -> None:
    (tmp_path / "weak").touch()
    with following(context, log) as delivery:
        send(log, product("a", 1, "weak"), product("a", 2), product("good", 1))
        wait_until(lambda: delivery.progress.waiting == 1, "the aggregate to wait")
        wait_until(lambda: counted(context, "good") == [1], "the neighbour")
    assert sum(lags(log).values()) >= 2
    (tmp_path / "weak").unlink()
    with following(context, log):
        wait_until(lambda: counted(context, "a") == [3], "the aggregate to go on")
    assert seen(context, "a") == ["e-a-weak-1", "e-a-tea-2"]


def test_a_store_that_is_taken_delays_and_loses_nothing(
    context: Context, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "write", lambda: context._transaction(wait_s=0.05))
    with following(context, log) as delivery:
        send(log, product("first"))
        wait_until(lambda: counted(context, "first") == [1], "the subscription to have its connection")
        with taken(context):
            send(log, product("a", 1), product("b", 1), product("a", 2))
            wait_until(lambda: delivery.progress.waiting == 2, "both aggregates to wait")
        wait_until(lambda: counted(context, "a", "b") == [3, 1], "both to go on")
    assert seen(context, "a") == ["e-a-tea-1", "e-a-tea-2"]


def test_what_a_handler_publishes_names_the_event_that_led_to_it(context: Context, log: EventLog) -> None:
    relay = relay_of(context, log)
    receive(context, "a")
    relay.turn()
    assert on_log(log)[0].causationid is None
    with context.write() as work:
        envelope = on_log(log)[0]
        with pytest.raises(KeyError):
            work.handle(envelope)
        assert work.cause.causation == envelope.id


class LostTail:
    """A log that says, at the first poll, that positions lie past its end."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def subscribe(self, group: str, topics: Sequence[str]) -> Any:
        """A member whose position is past the end."""
        consumer = self._log.subscribe(group, topics)

        def poll(max_records: int = 500, timeout_s: float = 1.0) -> NoReturn:
            raise PositionPastEnd("shop.catalog/0: position 9 lies past the end 3; rebuild the log")

        consumer.poll = poll  # type: ignore[method-assign]
        return consumer


def test_delivery_halts_where_the_log_has_lost_its_tail(context: Context, log: EventLog) -> None:
    with following(context, cast(EventLog, LostTail(log))) as delivery:
        wait_until(lambda: delivery.progress.halted, "the halt")
    assert delivery.progress.halted == "shop.catalog/0: position 9 lies past the end 3; rebuild the log"


def test_a_poll_of_many_events_is_handled_whole(context: Context, log: EventLog) -> None:
    send(log, *(product(f"p{number % 7}", 1, event_id=f"e{number}") for number in range(300)))
    with following(context, log) as delivery:
        wait_until(lambda: sum(delivery.progress.handled.values()) == 300, "all events")
    assert sum(counted(context, *(f"p{number}" for number in range(7)))) == 300
    at = driver_of(context).execute("SELECT count(DISTINCT handled), count(*) FROM inbox").fetchone()
    assert at[1] == 300
    assert at[0] <= 20, "a poll's events share a transaction, hence its time"
