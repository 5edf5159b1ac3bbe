"""How far a group is behind, over a log in memory: what waits and what flows, orders, money, hot partitions."""

from datetime import UTC, datetime

import pytest

from shop_stack.envelope import Envelope, encode
from shop_stack.errors import PositionBelowStart
from shop_stack.eventlog.interface import Backlog, Record
from shop_stack.eventlog.records import partition_of
from shop_stack.events import AuthorisationRequested, Event, OrderPlaced, StockLevelChanged
from shop_stack.operations import waiting
from shop_stack.operations.backlogs import Backlogs, up_to_date
from shop_stack.trials.memory_log import MemoryLog

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)


class Stand:
    """A log whose clock is set by hand, a group that reads orders, and what operations sees of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.log = MemoryLog(seconds=lambda: self.now)
        self.consumer = self.log.subscribe("payments", ["shop.orders"])
        self.consumer.poll()
        self.backlogs = Backlogs()

    def look(self, after_s: float = 1.0) -> None:
        self.now += after_s
        self.backlogs.look(self.log, self.now)

    def append(self, event: Event, subject: str, correlation: str | None = None) -> None:
        envelope = Envelope(id=f"id-{self.now}-{subject}", source="/orders", subject=subject, time=NOW, data=event,
                            sequence=1, correlationid=correlation)  # fmt: skip
        self.log.append(event.topic.name, [Record(subject, encode(envelope))])

    def place(self, order_id: str, total_minor: int) -> None:
        placed = OrderPlaced(order_id=order_id, customer_id="c", cart_id="b", lines=[], total_minor=total_minor)
        self.append(placed, order_id, order_id)

    def process(self) -> None:
        records = self.consumer.poll()
        self.consumer.commit({(r.topic, r.partition): r.position + 1 for r in records})


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_what_came_since_the_last_look_flows_and_what_stays_waits(stand: Stand) -> None:
    stand.look()
    stand.place("one", 500)
    stand.look(2.0)
    flows = stand.backlogs.group("payments")
    assert flows is not None
    assert (flows.lag, flows.seconds, flows.orders_waiting) == (1, 0.0, 0)
    assert stand.backlogs.anything_unread
    stand.look(3.0)
    waits = stand.backlogs.group("payments")
    assert waits is not None
    assert (waits.lag, waits.seconds, waits.orders_waiting, waits.waiting_minor) == (1, 5.0, 1, 500)
    assert waits.orders_whole
    stand.process()
    stand.look()
    done = stand.backlogs.group("payments")
    assert done is not None
    assert (done.lag, done.seconds, done.drain.state) == (0, 0.0, "nothing_waits")
    assert not stand.backlogs.anything_unread


def test_orders_count_once_with_their_totals_and_stock_is_no_order(stand: Stand) -> None:
    stand.consumer = stand.log.subscribe("payments", ["shop.orders", "shop.inventory"])
    stand.place("one", 500)
    stand.place("two", 250)
    stand.append(AuthorisationRequested(order_id="one", customer_id="c", amount_minor=500), "one", "one")
    changed = StockLevelChanged(product_id="p", available=1, reserved=1, sold=0)
    stand.append(changed, "p", "one")
    stand.append(AuthorisationRequested(order_id="lost", customer_id="c", amount_minor=9), "lost", "lost")
    stand.look()
    stand.look()
    found = stand.backlogs.group("payments")
    assert found is not None
    assert (found.lag, found.orders_waiting, found.waiting_minor) == (5, 3, 750)
    assert not found.orders_whole, "nobody knows the total of an order whose placing is not in the log"


def test_totals_are_known_of_orders_that_were_placed_before_anything_waited(stand: Stand) -> None:
    stand.place("one", 500)
    stand.process()
    stand.look()
    stand.append(AuthorisationRequested(order_id="one", customer_id="c", amount_minor=500), "one", "one")
    stand.look()
    stand.look()
    found = stand.backlogs.group("payments")
    assert found is not None
    assert (found.orders_waiting, found.waiting_minor, found.orders_whole) == (1, 500, True)


def test_a_hot_partition_is_named_and_an_even_backlog_names_none(stand: Stand) -> None:
    for _ in range(60):
        stand.append(AuthorisationRequested(order_id="hot", customer_id="c", amount_minor=5), "hot", "hot")
    stand.look()
    stand.look()
    found = stand.backlogs.group("payments")
    assert found is not None
    assert found.hot == f"shop.orders/{partition_of('hot', 6)}"
    assert max(row.share for row in found.partitions) == 1.0
    for number in range(600):
        stand.place(f"order-{number}", 100)
    stand.look()
    found = stand.backlogs.group("payments")
    assert found is not None
    assert found.hot is None


def test_a_large_backlog_is_read_in_portions_and_said_to_be_at_least(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "READ_AT_ONCE", 60)
    for number in range(100):
        stand.place(f"order-{number}", 100)
    stand.look()
    counts = []
    for _ in range(8):
        stand.look()
        found = stand.backlogs.group("payments")
        assert found is not None
        counts.append((found.orders_waiting, found.orders_whole))
    assert 0 < counts[0][0] < 100
    assert not counts[0][1]
    assert counts[-1] == (100, True)
    assert found.waiting_minor == 10_000


def test_no_more_is_kept_than_allowed_and_the_oldest_is_told_all_the_same(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "KEPT", 30)
    other = stand.log.subscribe("shipping", ["shop.orders"])
    for number in range(100):
        stand.place(f"order-{number}", 100)
    records = other.poll()
    other.commit({(r.topic, r.partition): r.position for r in records})
    for _ in range(5):
        stand.look()
    slow, fast = stand.backlogs.group("payments"), stand.backlogs.group("shipping")
    assert slow is not None
    assert fast is not None
    assert slow.orders_waiting <= 30
    assert not slow.orders_whole
    assert slow.seconds == fast.seconds == 5.0


def test_what_retention_removed_has_no_age(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.place("one", 500)
    stand.look()

    def gone(*_: object) -> None:
        raise PositionBelowStart("removed")

    monkeypatch.setattr(stand.log, "read", gone)
    stand.look()
    found = stand.backlogs.group("payments")
    assert found is not None
    assert (found.lag, found.seconds, found.orders_whole) == (1, 0.0, False)


def test_the_slope_and_the_drain_come_from_the_looks(stand: Stand) -> None:
    for number in range(400):
        stand.place(f"order-{number}", 100)
    stand.look()
    records = stand.consumer.poll(500)
    done: dict[tuple[str, int], int] = {}
    for second in range(12):
        for record in records[second * 20 : second * 20 + 20]:
            where = (record.topic, record.partition)
            done[where] = max(done.get(where, 0), record.position + 1)
        stand.consumer.commit(done)
        stand.look()
    found = stand.backlogs.group("payments")
    assert found is not None
    assert found.rates is not None
    assert found.rates.slope == pytest.approx(-found.rates.processed)
    assert found.drain.state == "drains"
    assert found.drain.seconds == pytest.approx(found.lag / found.rates.processed, rel=0.2)


def test_positions_of_right_now_keep_what_the_last_look_found(stand: Stand) -> None:
    stand.place("one", 500)
    stand.look()
    stand.look(4.0)
    known = stand.backlogs.group("payments")
    where = ("shop.orders", partition_of("one", 6))
    found = up_to_date(known, "payments", {where: Backlog(0, 7)})
    assert (found.lag, found.seconds, found.orders_waiting) == (7, 5.0, 1)
    found = up_to_date(known, "payments", {where: Backlog(7, 7)})
    assert (found.lag, found.seconds) == (0, 0.0)
    assert up_to_date(None, "new", {where: Backlog(0, 2)}).drain.state == "unknown"
