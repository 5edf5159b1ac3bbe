"""The checkout when something is slow, gone, late or called off: everything is undone on both sides of the money."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shop_stack.envelope import Envelope
from shop_stack.events import AuthorisationRequested
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.group import Group
from shop_stack.services.inventory.handlers import expire
from shop_stack.services.orders.handlers import pass_deadlines
from tests.flows.shop_at_work import ENDS, Shop, gaps, names, until

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    running = Shop(tmp_path_factory.mktemp("failures"), "microservices")
    try:
        running.add_products({"tea": 1000, "rare": 5})
        yield running
    finally:
        running.close()


class Absent:
    """A service that is stopped, and comes back at the end."""

    def __init__(self, shop: Shop, service: str) -> None:
        self.shop, self.service = shop, service

    def __enter__(self) -> None:
        self.shop.stop(self.service)

    def __exit__(self, *_: object) -> None:
        self.shop.start(self.service)
        self.shop.until_ready()


class Slow:
    """A provider that acts at once and answers late."""

    def __init__(self, shop: Shop, seconds: float) -> None:
        self.shop, self.seconds = shop, seconds

    def __enter__(self) -> None:
        self.shop.behave(slow_rate=1.0, slow_s=self.seconds)

    def __exit__(self, *_: object) -> None:
        self.shop.behave(slow_rate=0.0)


def let_deadlines_pass(shop: Shop, seconds: float = 21) -> None:
    shop.clock.forward(seconds)
    pass_deadlines(shop.replica("orders").contexts["orders"])


def is_stuck(shop: Shop, order_id: str) -> bool:
    let_deadlines_pass(shop, 600)
    return "IncidentOpened" in names(shop.events(order_id))


def cancel(shop: Shop, order_id: str) -> int:
    return shop.ask("orders", "POST", f"/v1/orders/{order_id}/cancellation", subject="shopper").status


def assert_undone(shop: Shop, order_id: str, reason: str) -> None:
    """Cancelled for this reason, with no money and no units kept anywhere, and no gap in any sequence."""
    shown = shop.until_state(order_id, *ENDS)
    assert (shown["state"], shown["reason"]) == ("cancelled", reason)
    level = shop.levels(["tea"])["tea"]
    assert level["available"] + level["sold"] == 1000, level
    account: dict[str, Any] = shop.accounts().get(order_id, {"state": "none"})
    assert account["state"] in ("none", "voided", "refunded")
    if account["state"] == "refunded":
        assert account["captured_minor"] == account["refunded_minor"]
    until(lambda: "OrderCancelled" in names(shop.events(order_id)), what="the last event")
    until(lambda: not gaps(shop.events()), what="gapless sequences")


def test_a_reservation_that_comes_too_late_is_given_back(shop: Shop) -> None:
    with Absent(shop, "inventory"):
        order_id = shop.order({"tea": 1})
        let_deadlines_pass(shop)
        assert shop.show(order_id)["state"] == "cancelling"
    assert_undone(shop, order_id, "deadline")
    assert names(shop.events(order_id), "inventory")[:1] == ["StockReserved"]


def test_an_authorisation_that_was_never_asked_for_is_not_asked_for_later(shop: Shop) -> None:
    with Absent(shop, "payments"):
        order_id = shop.order({"tea": 1})
        shop.until_state(order_id, "reserved")
        let_deadlines_pass(shop)
    assert_undone(shop, order_id, "deadline")
    assert names(shop.events(order_id), "payments")[-1] == "PaymentVoided"


def test_an_authorisation_that_is_answered_too_late_is_voided(shop: Shop) -> None:
    with Slow(shop, 0.6):
        order_id = shop.order({"tea": 1})
        until(lambda: order_id in shop.accounts(), what="the provider's hold")
        let_deadlines_pass(shop)
        assert shop.show(order_id)["state"] == "cancelling"
        assert_undone(shop, order_id, "deadline")
    assert shop.accounts()[order_id]["state"] == "voided"


def test_a_capture_that_is_answered_too_late_is_refunded(shop: Shop) -> None:
    with Slow(shop, 0.6):
        order_id = shop.order({"tea": 1})
        until(lambda: shop.accounts().get(order_id, {}).get("state") == "captured", what="the provider's capture")
        let_deadlines_pass(shop)
        assert shop.show(order_id)["state"] == "cancelling"
        assert_undone(shop, order_id, "deadline")
    assert shop.accounts()[order_id]["state"] == "refunded"
    assert names(shop.events(order_id), "payments") == ["PaymentAuthorised", "PaymentCaptured", "PaymentRefunded"]


def test_a_parcel_that_does_not_leave_is_asked_for_again(shop: Shop) -> None:
    with Absent(shop, "shipping"):
        order_id = shop.order({"tea": 1})
        shop.until_state(order_id, "captured")
        let_deadlines_pass(shop)
    shop.until_state(order_id, "completed")
    assert names(shop.events(order_id), "orders").count("DispatchRequested") == 2
    until(lambda: names(shop.events(order_id), "shipping").count("ShipmentDelivered") == 1, what="one parcel")


@pytest.mark.parametrize(("absent", "state"), [("inventory", "placed"), ("payments", "reserved")])
def test_the_shopper_calls_an_order_off(shop: Shop, absent: str, state: str) -> None:
    with Absent(shop, absent):
        order_id = shop.order({"tea": 2})
        shop.until_state(order_id, state)
        assert cancel(shop, order_id) == 202
        assert cancel(shop, order_id) == 202
    assert_undone(shop, order_id, "customer")


def test_the_shopper_calls_an_order_off_while_it_is_being_paid(shop: Shop) -> None:
    with Slow(shop, 0.6):
        order_id = shop.order({"tea": 2})
        until(lambda: shop.accounts().get(order_id, {}).get("state") == "captured", what="the provider's capture")
        assert cancel(shop, order_id) == 202
        assert_undone(shop, order_id, "customer")
    assert shop.accounts()[order_id]["state"] == "refunded"


def test_units_that_were_held_for_too_long_are_given_back_and_the_order_is_called_off(shop: Shop) -> None:
    with Absent(shop, "payments"):
        order_id = shop.order({"tea": 3})
        shop.until_state(order_id, "reserved")
        with Absent(shop, "orders"):
            shop.clock.forward(121)
            expire(shop.replica("inventory").contexts["inventory"])
    assert_undone(shop, order_id, "deadline")


def test_a_compensation_that_does_not_finish_calls_for_a_person_and_then_takes_that_back(shop: Shop) -> None:
    with Absent(shop, "payments"):
        order_id = shop.order({"tea": 1})
        shop.until_state(order_id, "reserved")
        until(lambda: is_stuck(shop, order_id), what="the incident")
    assert_undone(shop, order_id, "deadline")
    assert names(shop.events(order_id)).count("IncidentResolved") == 1


def test_a_call_whose_process_died_before_making_it_is_made_by_another(shop: Shop) -> None:
    died = Group([card_of("payments")], shop.settings, shop.stack, shop, clock=shop.clock)
    wanted = AuthorisationRequested(order_id="orphan", customer_id="shopper", amount_minor=700)
    event = Envelope(id="orphan-1", source="/orders", subject="orphan", time=shop.clock(), data=wanted, sequence=1)
    with died.contexts["payments"].write() as transaction:
        transaction.handle(event)
    assert shop.ask("payments", "GET", "/v1/payments/orphan").json()["state"] == "wanted"
    assert "orphan" not in shop.accounts()
    shop.clock.forward(10)
    until(lambda: shop.accounts().get("orphan", {}).get("authorised_minor") == 700, what="the call")
    died.stop()


def test_concurrent_orders_at_several_replicas_never_oversell(shop: Shop) -> None:
    for service in ("inventory", "orders", "payments"):
        shop.start(service)
    shop.until_ready()
    with ThreadPoolExecutor(8) as shoppers:
        orders = list(shoppers.map(lambda _: shop.order({"rare": 1, "tea": 1}), range(14)))
    ended = [shop.until_state(order_id, *ENDS) for order_id in orders]
    completed = [shown for shown in ended if shown["state"] == "completed"]
    assert len(completed) == 5
    assert {shown["reason"] for shown in ended if shown["state"] != "completed"} == {"out_of_stock"}
    level = until(lambda: (found := shop.levels(["rare"])["rare"])["sold"] == 5 and found, what="five sold")
    assert level == {"available": 0, "reserved": 0, "sold": 5}
    taken = [account for order_id, account in shop.accounts().items() if order_id in orders]
    assert sum(account["captured_minor"] for account in taken) == 5 * 1000
    until(lambda: not gaps(shop.events()), what="gapless sequences")
