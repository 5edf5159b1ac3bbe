"""The checkout end to end over the embedded log and real stores, in one process group and in eight."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_stack.operations.journeys import read_log
from shop_stack.settings import TopologyName
from tests.flows.shop_at_work import Shop, gaps, names, until

pytestmark = pytest.mark.embedded

LAST = {"OrderCompleted", "PaymentCaptured", "ShipmentDelivered", "StockSold"}


@pytest.fixture(scope="module", params=["monolith", "microservices", "microservices on PostgreSQL"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    topology: TopologyName = "monolith" if request.param == "monolith" else "microservices"
    folder: Path = tmp_path_factory.mktemp(topology)
    on_postgres = "PostgreSQL" in request.param
    running = Shop(folder, topology, postgres=request.getfixturevalue("postgres") if on_postgres else None)
    try:
        running.add_products({"tea": 1000, "cup": 1000, "last": 1, "pot": 5})
        yield running
    finally:
        running.close()


def test_an_order_is_reserved_paid_sent_and_delivered(shop: Shop) -> None:
    order_id = shop.order({"tea": 2, "cup": 1})
    assert shop.until_state(order_id, "completed")["total_minor"] == 1500
    assert shop.accounts()[order_id]["captured_minor"] == 1500
    published = until(lambda: _all_events(shop, order_id), what="all events")
    assert names(published, "orders") == [
        "OrderPlaced", "ReservationRequested", "OrderAdvanced", "AuthorisationRequested", "OrderAdvanced",
        "CaptureRequested", "OrderAdvanced", "DispatchRequested", "OrderAdvanced", "OrderCompleted",
    ]  # fmt: skip
    assert names(published, "payments") == ["PaymentAuthorised", "PaymentCaptured"]
    assert names(published, "shipping") == ["LabelCreated", "ShipmentDispatched", "ShipmentDelivered"]
    reservation = [event for event in published if event.subject == order_id]
    assert names(reservation, "inventory") == ["StockReserved", "StockSold"]
    assert {event.data.product_id for event in published if hasattr(event.data, "product_id")} == {"tea", "cup"}
    assert all(event.correlationid == order_id for event in published)


def test_the_log_alone_tells_the_whole_journey_stock_levels_included(shop: Shop) -> None:
    order_id, other = shop.order({"tea": 2, "cup": 1}), shop.order({"tea": 1, "cup": 4})
    for one in (order_id, other):
        shop.until_state(one, "completed")
        until(lambda one=one: _all_events(shop, one), what="all events")  # type: ignore[misc]
    known = {event.id for event in shop.events(order_id)}
    assert {step.event_id for step in read_log(shop.log, order_id)} == known
    assert names(shop.events(order_id)).count("StockLevelChanged") == 4


def test_out_of_stock_is_rejected_and_holds_nothing(shop: Shop) -> None:
    before = shop.levels(["pot", "tea"])
    order_id = shop.order({"pot": 6, "tea": 1})
    shown = shop.until_state(order_id, "rejected")
    assert shown["reason"] == "out_of_stock"
    assert shop.levels(["pot", "tea"]) == before
    assert order_id not in shop.accounts()


def test_a_declined_payment_is_rejected_and_gives_the_units_back(shop: Shop) -> None:
    before = shop.levels(["cup"])["cup"]["available"]
    shop.behave(decline_rate=1.0)
    try:
        order_id = shop.order({"cup": 3})
        shown = shop.until_state(order_id, "rejected")
    finally:
        shop.behave(decline_rate=0.0)
    assert shown["reason"] in ("declined", "suspected_fraud")
    assert shop.levels(["cup"])["cup"]["available"] == before
    assert shop.accounts()[order_id]["captured_minor"] == 0


def test_a_lost_answer_is_asked_for_again_and_paid_once(shop: Shop) -> None:
    shop.behave(lost_rate=1.0)
    try:
        order_id = shop.order({"tea": 1})
        shop.until_state(order_id, "completed")
    finally:
        shop.behave(lost_rate=0.0)
    assert shop.accounts()[order_id]["captured_minor"] == 500
    paid = shop.ask("payments", "GET", f"/v1/payments/{order_id}").json()
    assert (paid["state"], paid["attempts"]) == ("captured", 0)


def test_a_changed_total_an_empty_cart_and_a_foreign_one_are_refused(shop: Shop) -> None:
    cart_id = shop.fill_cart("anna", {"tea": 1})
    wrong = shop.ask("orders", "POST", "/v1/orders", {"cart_id": cart_id, "expected_total": 499}, "anna")
    assert wrong.status == 409
    assert "500" in wrong.json()["detail"]
    empty = shop.fill_cart("anna", {})
    assert shop.ask("orders", "POST", "/v1/orders", {"cart_id": empty, "expected_total": 0}, "anna").status == 422
    foreign = shop.ask("orders", "POST", "/v1/orders", {"cart_id": cart_id, "expected_total": 500}, "berta")
    assert foreign.status == 404


def test_the_same_key_places_one_order_even_after_the_cart_has_changed(shop: Shop) -> None:
    cart_id = shop.fill_cart("carl", {"tea": 1})
    wanted = {"cart_id": cart_id, "expected_total": 500}
    first = shop.ask("orders", "POST", "/v1/orders", wanted, "carl", key="once")
    shop.ask("storefront", "PUT", f"/v1/carts/{cart_id}", {"lines": []}, "carl")
    again = shop.ask("orders", "POST", "/v1/orders", wanted, "carl", key="once")
    assert (first.status, again) == (202, first)
    other = shop.ask("orders", "POST", "/v1/orders", {**wanted, "expected_total": 1}, "carl", key="once")
    assert other.status == 422


def test_an_order_is_its_shoppers_alone(shop: Shop) -> None:
    order_id = shop.order({"tea": 1}, subject="dora")
    assert shop.ask("orders", "GET", f"/v1/orders/{order_id}", subject="emil").status == 404
    assert shop.ask("orders", "POST", f"/v1/orders/{order_id}/cancellation", subject="emil").status == 404
    shop.until_state(order_id, "completed", subject="dora")
    late = shop.ask("orders", "POST", f"/v1/orders/{order_id}/cancellation", subject="dora")
    assert late.status == 409


def test_operators_see_payment_and_parcel(shop: Shop) -> None:
    order_id = shop.order({"tea": 1})
    shop.until_state(order_id, "completed")
    assert shop.ask("payments", "GET", f"/v1/payments/{order_id}").json()["state"] == "captured"
    parcel = shop.ask("shipping", "GET", f"/v1/shipments/{order_id}").json()
    assert (parcel["state"], parcel["destination"]) == ("delivered", "parcel_shop")
    assert shop.ask("payments", "GET", "/v1/payments/unknown").status == 404
    assert shop.ask("shipping", "GET", "/v1/shipments/unknown").status == 404


def test_a_receipt_is_booked_once(shop: Shop) -> None:
    before = shop.levels(["pot"])["pot"]["available"]
    receipt = {"receipt_id": "delivery-1", "lines": [{"product_id": "pot", "quantity": 4}]}
    assert shop.ask("inventory", "POST", "/v1/receipts", receipt, "operator", key="r1").status == 201
    assert shop.ask("inventory", "POST", "/v1/receipts", receipt, "operator", key="r1").status == 201
    assert shop.ask("inventory", "POST", "/v1/receipts", receipt, "operator", key="r2").status == 409
    assert shop.levels(["pot"])["pot"]["available"] == before + 4
    unknown = {"receipt_id": "delivery-2", "lines": [{"product_id": "nothing", "quantity": 4}]}
    assert shop.ask("inventory", "POST", "/v1/receipts", unknown, "operator").status == 422


def test_no_aggregate_has_a_gap(shop: Shop) -> None:
    order_id = shop.order({"tea": 1, "cup": 2})
    shop.until_state(order_id, "completed")
    until(lambda: not gaps(shop.events()), what=f"gapless sequences: {gaps(shop.events())}")


def _all_events(shop: Shop, order_id: str) -> list:  # type: ignore[type-arg]
    """The completed order's events of two products once each service's last is on the log; empty before.

    Topics are read one after the other: that the last of one is there says nothing of those read before it.
    """
    found = shop.events(order_id)
    levels = sum(type(event.data).__name__ == "StockLevelChanged" for event in found)
    return found if LAST.issubset(names(found)) and levels == 4 else []
