"""The checkout's worst moments, with real services: units that went to others, orders away, a lost parcel, a mark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_stack.envelope import Envelope
from shop_stack.events import Event, Quantity, ReleaseRequested, ReservationRequested
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.group import Group
from shop_stack.services.inventory.handlers import expire
from shop_stack.services.orders.handlers import pass_deadlines
from tests.flows.shop_at_work import ENDS, Shop, gaps, names, until

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    running = Shop(tmp_path_factory.mktemp("fire"), "microservices")
    try:
        running.add_products({"tea": 1000, "vase": 2, "urn": 2, "cup": 100})
        yield running
    finally:
        running.close()


def pay_while_units_run_out(shop: Shop, product: str) -> str:
    """An order for two units that is paid while inventory is away for so long that they go back to the shelf."""
    shop.stop("payments")
    order_id = shop.order({product: 2})
    shop.until_state(order_id, "reserved")
    shop.stop("inventory")
    shop.start("payments")
    shop.until_ready()
    shop.until_state(order_id, "captured")
    shop.clock.forward(121)
    return order_id


def test_an_order_whose_units_went_to_others_is_refunded_and_no_parcel_leaves(shop: Shop) -> None:
    order_id = pay_while_units_run_out(shop, "vase")
    away = Group([card_of("inventory")], shop.settings, shop.stack, shop, clock=shop.clock)
    context = away.contexts["inventory"]
    expire(context)
    other = ReservationRequested(order_id="other", lines=[Quantity("vase", 1)])
    handle(away, other)
    away.stop()
    shop.start("inventory")
    shop.until_ready()
    shown = shop.until_state(order_id, *ENDS)
    assert (shown["state"], shown["reason"]) == ("rejected", "out_of_stock")
    account = shop.accounts()[order_id]
    assert (account["captured_minor"], account["refunded_minor"]) == (1000, 1000)
    assert shop.levels(["vase"])["vase"] == {"available": 1, "reserved": 1, "sold": 0}
    assert shop.ask("shipping", "GET", f"/v1/shipments/{order_id}").status == 404
    until(lambda: not gaps(shop.events()), what="gapless sequences")


def test_an_order_whose_units_ran_out_and_are_still_there_is_sent(shop: Shop) -> None:
    order_id = pay_while_units_run_out(shop, "urn")
    away = Group([card_of("inventory")], shop.settings, shop.stack, shop, clock=shop.clock)
    expire(away.contexts["inventory"])
    assert shop.ask("orders", "GET", f"/v1/orders/{order_id}", subject="shopper").json()["state"] == "captured"
    away.stop()
    shop.start("inventory")
    shop.until_ready()
    shop.until_state(order_id, "completed")
    assert shop.levels(["urn"])["urn"] == {"available": 0, "reserved": 0, "sold": 2}


def handle(group: Group, event: Event, order_id: str = "other") -> None:
    """The group's service handles an event that says nothing of its own place in the log."""
    (context,) = group.contexts.values()
    envelope = Envelope(id=f"{order_id}-{type(event).__name__}", source="/orders", subject=order_id,
                        time=context.now(), data=event, sequence=1)  # fmt: skip
    with context.write() as transaction:
        transaction.handle(envelope)


def test_a_release_that_overtakes_its_reservation_leaves_a_mark(shop: Shop) -> None:
    before = shop.levels(["cup"])
    inventory = Group([card_of("inventory")], shop.settings, shop.stack, shop, clock=shop.clock)
    handle(inventory, ReleaseRequested(order_id="early"), "early")
    handle(inventory, ReservationRequested(order_id="early", lines=[Quantity("cup", 7)]), "early")
    inventory.stop()
    assert shop.levels(["cup"]) == before
    answers = until(lambda: [event for event in shop.events() if event.subject == "early"], what="the answer")
    assert names(answers) == ["ReservationReleased"]


def test_answers_that_came_while_orders_was_away_count_although_the_deadlines_have_passed(shop: Shop) -> None:
    shop.stop("payments")
    placed = [shop.order({"tea": 1}) for _ in range(5)]
    for order_id in placed:
        shop.until_state(order_id, "reserved")
    shop.stop("orders")
    shop.start("payments")
    until(lambda: all(order_id in shop.accounts() for order_id in placed), what="the provider's holds")
    shop.clock.forward(40)
    shop.start("orders")
    pass_deadlines(shop.replica("orders").contexts["orders"])
    for order_id in placed:
        shop.until_state(order_id, "completed")


def test_a_parcel_that_does_not_arrive_calls_for_a_person_and_takes_that_back(tmp_path: Path) -> None:
    slow = Shop(tmp_path, "microservices", delivery_seconds=60)
    try:
        slow.add_products({"tea": 10})
        order_id = slow.order({"tea": 1})
        slow.until_state(order_id, "shipped")
        slow.stop("shipping")
        slow.clock.forward(79)
        pass_deadlines(slow.replica("orders").contexts["orders"])
        assert "IncidentOpened" not in names(slow.events(order_id))
        slow.clock.forward(2)
        until(lambda: "IncidentOpened" in names(slow.events(order_id)), what="the incident")
        assert slow.show(order_id)["state"] == "shipped"
        slow.start("shipping")
        slow.until_state(order_id, "completed")
        until(lambda: "IncidentResolved" in names(slow.events(order_id)), what="its end")
    finally:
        slow.close()
