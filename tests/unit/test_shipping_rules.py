"""The shipping's rules: one parcel an order, no address kept, and every step counted."""

from datetime import UTC, datetime, timedelta

import pytest

from shop_stack.events import LabelCreated, ShipmentDelivered, ShipmentDispatched
from shop_stack.services.shipping import rules

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(("status", "goes_to"), [(200, "address"), (404, "parcel_shop"), (429, None), (401, None)])
def test_a_guest_without_an_address_gets_a_parcel_shop(status: int, goes_to: str | None) -> None:
    assert rules.destination(status) == goes_to


def test_a_parcel_is_labelled_dispatched_and_delivered() -> None:
    parcel = rules.wanted("order-1", "customer-1")
    gone, published = rules.dispatch(parcel, "address")
    assert published == [
        LabelCreated(order_id="order-1", parcel_id="P-order-1"),
        ShipmentDispatched(order_id="order-1", parcel_id="P-order-1"),
    ]
    assert (gone.state, gone.version) == ("dispatched", 2)
    delivered, event = rules.deliver(gone)
    assert event == ShipmentDelivered(order_id="order-1", parcel_id="P-order-1")
    assert (delivered.state, delivered.version) == ("delivered", 3)
    assert rules.arrives(NOW, 1.5) == NOW + timedelta(seconds=1.5)


def test_waits_for_an_address_grow_to_five_seconds() -> None:
    waits = [rules.wait_s(attempts) for attempts in range(1, 30)]
    assert waits[0] == 0.2
    assert waits == sorted(waits)
    assert waits[-1] == 5.0
