"""Orders that are stuck for one cause are one incident, which names the outage; each stays known by its own."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import Event, IncidentOpened, IncidentResolved
from shop_stack.ids import uuid7
from shop_stack.operations.model import IncidentView
from tests.flows.test_actions import published
from tests.flows.test_outages import START, Watch
from tests.operations_stand import Stand, make_home

pytestmark = pytest.mark.embedded


class Shop:
    """What `orders` tells of its orders, and what is listed then; `at` is in seconds from the start."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.watch = Watch(stand)

    def tell(self, at: float, *events: IncidentOpened | IncidentResolved) -> None:
        now = START + timedelta(seconds=at)
        log = self.stand.engine.link.log()
        log.append("ops.incidents", [_record(event, now) for event in events])
        self.stand.engine.views.projection.follow(log)

    def listed(self, at: float) -> list[IncidentView]:
        return self.watch.look(at)

    def single(self, order_id: str) -> IncidentView:
        found = self.stand.engine.store.incident(f"order-{order_id}")
        assert found is not None
        return found[0]


def _record(event: IncidentOpened | IncidentResolved, at: datetime) -> Record:
    subject = event.incident_id
    envelope: Envelope[Event] = Envelope(id=uuid7(at), source="/orders", subject=subject, time=at, data=event)
    return Record(key=subject, value=encode(envelope))


def stuck(order_id: str, *waits_for: str, amount: int | None = 1000) -> IncidentOpened:
    return IncidentOpened(
        incident_id=f"order-{order_id}",
        kind="checkout_stuck",
        service="orders",
        summary=f"order {order_id} is stuck",
        subject=order_id,
        waits_for=list(waits_for),
        amount_minor=amount,
    )


def over(order_id: str) -> IncidentResolved:
    return IncidentResolved(incident_id=f"order-{order_id}")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Stand(make_home(tmp_path / "home"))
    made.engine.link.turn()
    yield Shop(made)
    made.engine.stop()


def test_an_outage_is_two_incidents_however_many_orders_it_stops(shop: Shop) -> None:
    shop.stand.runtime.scale("inventory", 0)
    shop.listed(0)
    [outage] = shop.listed(20)
    shop.tell(88, stuck("o-1", "shipping", "inventory"), stuck("o-2", "inventory"))
    shop.tell(90, *(stuck(f"m-{n}", "payments", "inventory") for n in range(50)))
    group, listed_outage = sorted(shop.listed(91), key=lambda view: view.kind)
    assert listed_outage == outage
    assert (group.kind, group.service) == ("checkout_stuck", "orders")
    assert group.stuck is not None
    assert (group.stuck.orders, group.stuck.amount_minor, group.stuck.whole) == (52, 52_000, True)
    assert (group.stuck.oldest, group.stuck.outage) == (["o-1", "o-2", "m-0"], outage.incident_id)
    assert group.stuck.since == START + timedelta(seconds=88)
    assert "52 orders worth GBP 520.00 wait for inventory, the first since " in group.summary
    assert "no replica of inventory is ready" in group.summary
    assert shop.single("m-49").order is not None
    shop.stand.engine.link.turn()
    announced = [e.data for e in published(shop.stand, "ops.incidents") if isinstance(e.data, IncidentOpened)]
    assert [one.summary for one in announced if one.kind == "checkout_stuck" and one.subject is None] == [
        "orders are stuck and wait for inventory; no replica of inventory is ready, which is an incident of its own"
    ], "the words of the event, which is sent once, say nothing that changes"
    assert [one.waits_for for one in announced if one.kind == "checkout_stuck" and one.subject is None] == [
        ["inventory"]
    ]


def test_the_incident_follows_its_orders_and_ends_with_the_last(shop: Shop) -> None:
    shop.tell(0, stuck("o-1", "payments"), stuck("o-2", "payments", amount=None), stuck("o-3", "delivery"))
    listed = {view.stuck.oldest[0]: view for view in shop.listed(1) if view.stuck}
    assert set(listed) == {"o-1", "o-3"}
    assert "2 orders worth GBP 10.00 or more wait for payments" in listed["o-1"].summary
    assert "1 order worth GBP 10.00 waits for delivery" in listed["o-3"].summary
    shop.tell(2, over("o-1"))
    [left] = [view for view in shop.listed(3) if view.incident_id == listed["o-1"].incident_id]
    assert left.stuck is not None
    assert (left.stuck.oldest, left.resolved_at) == (["o-2"], None)
    shop.tell(4, over("o-2"), over("o-3"))
    assert all(view.resolved_at for view in shop.listed(5))
    assert shop.single("o-2").resolved_at == START + timedelta(seconds=4)


def test_the_cause_stays_when_the_service_is_back_before_its_orders_are(shop: Shop) -> None:
    shop.stand.runtime.scale("inventory", 0)
    shop.listed(0)
    shop.listed(20)
    shop.tell(88, stuck("o-1", "shipping", "inventory"))
    [before] = [view for view in shop.listed(89) if view.stuck]
    shop.stand.runtime.scale("inventory", 1)
    [after] = [view for view in shop.listed(90) if view.stuck]
    assert (after.incident_id, after.resolved_at) == (before.incident_id, None)
    assert after.stuck is not None
    assert after.stuck.outage is None
    again = Shop(shop.stand)
    assert [view for view in again.listed(91) if view.stuck] == [after], "also over a restart of operations"


def test_an_order_may_be_stuck_again_and_an_old_event_ends_nothing(shop: Shop) -> None:
    shop.tell(0, stuck("o-1", "payments"))
    shop.listed(1)
    shop.tell(2, over("o-1"))
    shop.listed(3)
    shop.tell(4, stuck("o-1", "inventory"))
    [open_one] = [view for view in shop.listed(5) if view.resolved_at is None]
    assert "waits for inventory" in open_one.summary
    shop.tell(2, over("o-1"))
    assert [view for view in shop.listed(6) if view.resolved_at is None] == [open_one], "it ended the first time"
