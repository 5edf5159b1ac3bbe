"""The checkout's objective: how accepted orders end, read from the log, counted by minute, an incident by edges."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.events import Event, OrderCancelled, OrderCompleted, OrderRejected
from shop_stack.operations.completions import Completions, Judged
from shop_stack.operations.sampling import Snapshot
from tests.analytics_stand import placed, record
from tests.operations_stand import Stand, make_home

pytestmark = pytest.mark.embedded
START = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


def completed(order: str) -> OrderCompleted:
    return OrderCompleted(order_id=order, customer_id="c", lines=[], total_minor=500, seconds=1.0)


class Orders:
    """A log, and a clock in seconds from the start."""

    def __init__(self, log: EmbeddedLog, start: datetime = START) -> None:
        self.log, self.start, self.seconds = log, start, 0.0
        self.judge = Completions(60.0, self.now)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def put(self, event: Event, seconds: float | None = None) -> None:
        at = self.now() if seconds is None else self.start + timedelta(seconds=seconds)
        self.log.append(event.topic.name, [record(event, at)])

    def judged(self, seconds: float) -> Judged:
        self.seconds = seconds
        self.judge.follow(self.log)
        return self.judge.take()


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Orders]:
    with EmbeddedLog(tmp_path) as log:
        yield Orders(log)


def test_an_order_is_judged_once_when_it_ends_or_when_its_time_is_over(orders: Orders) -> None:
    for number in range(5):
        orders.put(placed(f"o{number}"), seconds=number)
    assert orders.judged(5) == (0, 0)
    orders.put(completed("o0"), seconds=40)
    orders.put(OrderRejected(order_id="o1", reason="declined"), seconds=41)
    orders.put(OrderCancelled(order_id="o2", reason="customer"), seconds=42)
    assert orders.judged(43) == (3, 0)
    assert orders.judged(63) == (0, 0), "o3 has until 63"
    assert orders.judged(65) == (2, 2)
    orders.put(completed("o3"), seconds=70)
    orders.put(placed("o0"), seconds=0)
    orders.put(completed("o0"), seconds=40)
    assert orders.judged(200) == (0, 0), "too late, and repeats"


def test_what_the_shop_gave_up_at_a_deadline_has_not_ended_well(orders: Orders) -> None:
    orders.put(placed("o0"), seconds=0)
    orders.put(OrderCancelled(order_id="o0", reason="deadline"), seconds=20)
    assert orders.judged(21) == (1, 1)


def test_while_the_log_is_not_read_nobodys_time_is_over(orders: Orders) -> None:
    orders.put(placed("in time"), seconds=1)
    orders.put(placed("late"), seconds=2)
    assert orders.judged(3) == (0, 0)
    orders.put(completed("in time"), seconds=30)
    orders.put(completed("late"), seconds=90)
    orders.seconds = 500
    assert orders.judge.take() == (0, 0)
    assert orders.judged(501) == (2, 1)


def test_what_was_decided_before_operations_began_is_not_counted_again(orders: Orders) -> None:
    orders.put(placed("over"), seconds=-300)
    orders.put(placed("hangs"), seconds=-200)
    orders.put(completed("over"), seconds=-260)
    orders.put(placed("on its way"), seconds=-10)
    orders.log.append("shop.orders", [Record("x", b'{"type":"shop.order.placed.v1"}')])
    assert orders.judged(1) == (0, 0)
    assert orders.judged(51) == (1, 1)


def test_a_checkout_that_hangs_opens_an_incident_and_its_recovery_closes_it(tmp_path: Path) -> None:
    stand = Stand(make_home(tmp_path / "home"))
    engine = stand.engine
    engine.link.turn()
    log = engine.link.log()
    assert isinstance(log, EmbeddedLog)
    start = datetime.now(UTC).replace(second=0, microsecond=0)
    orders = Orders(log, start)
    engine.burning._completions = orders.judge

    def minutes(first: int, number: int, ends: bool) -> None:
        for minute in range(first, first + number):
            batch = []
            for n in range(12):
                at = start + timedelta(minutes=minute, seconds=n)
                batch.append(record(placed(f"o{minute}-{n}"), at))
                if ends:
                    batch.append(record(completed(f"o{minute}-{n}"), at + timedelta(seconds=30)))
            for one in batch:
                log.append("shop.orders", [one])
            for second in (45, 59):
                orders.seconds = minute * 60 + second
                orders.judge.follow(log)
                engine.burning.observe(None, orders.now())
                engine.incidents.watch(Snapshot(observation=stand.runtime.observe()), orders.now())

    try:
        minutes(0, 30, ends=True)
        assert engine.store.incidents() == []
        minutes(30, 12, ends=False)
        [incident] = engine.store.incidents()
        assert (incident.kind, incident.service, incident.resolved_at) == ("objective_completion", "checkout", None)
        assert "promised: 99% of orders ended within 35 s" in incident.summary
        [view] = [one for one in engine.burning.views(orders.now()) if one.kind == "completion"]
        assert (view.service, view.burns, view.budget_left < 1) == ("checkout", True, True)
        minutes(42, 9, ends=True)
        [incident] = engine.store.incidents()
        assert incident.resolved_at is not None
    finally:
        engine.stop()
