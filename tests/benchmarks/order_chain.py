"""What the services say of one order, from its placing to its end, with plausible pauses between."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from shop_stack.events import (
    AuthorisationRequested,
    CaptureRequested,
    DispatchRequested,
    Event,
    LabelCreated,
    OrderAdvanced,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    ReleaseRequested,
    ReservationRejected,
    ReservationReleased,
    ReservationRequested,
    ShipmentDelivered,
    ShipmentDispatched,
    StockLevelChanged,
    StockReserved,
    StockSold,
    VoidRequested,
)
from shop_stack.events.shop import Quantity

_OUT_OF_STOCK, _DECLINED, _CANCELLED = 0.03, 0.07, 0.10  # cumulated shares of the orders
_SOURCES = {
    "shop.orders": "/orders",
    "shop.inventory": "/inventory",
    "shop.payments": "/payments",
    "shop.shipping": "/shipping",
}
_EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    """An event before it has an id; `at` is in seconds since the beginning."""

    at: float
    source: str
    subject: str
    event: Event
    sequence: int | None = None
    order_id: str | None = None
    cause: str | None = None


def chain(placed: OrderPlaced, at: float, random: np.random.Generator) -> Iterator[Told]:
    """All that is said of an order: 3% are out of stock, 4% are declined, 3% called off, the others delivered."""
    sequences: dict[str, int] = {}
    for event in _events(placed, float(random.random())):
        at += _pause(event, random)
        source = _SOURCES[event.topic.name]
        subject = event.product_id if isinstance(event, StockLevelChanged) else placed.order_id
        sequences[source] = sequences.get(source, 0) + 1
        yield Told(at, source, subject, event, sequences[source], placed.order_id, placed.order_id)


def _pause(event: Event, random: np.random.Generator) -> float:
    if isinstance(event, ShipmentDispatched):
        return float(random.exponential(600))
    if isinstance(event, ShipmentDelivered):
        return float(random.exponential(7200))
    return float(random.exponential(0.02))


def _events(placed: OrderPlaced, dice: float) -> Iterator[Event]:
    order = placed.order_id
    wanted = [Quantity(line.product_id, line.quantity) for line in placed.lines]
    yield placed
    yield ReservationRequested(order_id=order, lines=wanted)
    if dice < _OUT_OF_STOCK:
        yield ReservationRejected(order_id=order, short=wanted)
        yield OrderRejected(order_id=order, reason="out_of_stock")
        return
    yield StockReserved(order_id=order, expires_at=_EXPIRES)
    yield from _levels(wanted, 0)
    yield OrderAdvanced(order_id=order, state="reserved")
    yield AuthorisationRequested(order_id=order, customer_id=placed.customer_id, amount_minor=placed.total_minor)
    if dice < _DECLINED:
        yield PaymentDeclined(order_id=order, reason="insufficient funds")
    else:
        yield PaymentAuthorised(order_id=order, amount_minor=placed.total_minor, provider_reference=f"r-{order}")
        yield OrderAdvanced(order_id=order, state="authorised")
    if dice < _CANCELLED:
        yield from _given_back(order, wanted, declined=dice < _DECLINED)
        return
    yield CaptureRequested(order_id=order, amount_minor=placed.total_minor)
    yield PaymentCaptured(order_id=order, amount_minor=placed.total_minor)
    yield OrderAdvanced(order_id=order, state="captured")
    yield DispatchRequested(order_id=order, customer_id=placed.customer_id, lines=wanted)
    yield StockSold(order_id=order, customer_id=placed.customer_id)
    yield from _levels(wanted, 1)
    yield LabelCreated(order_id=order, parcel_id=f"p-{order}")
    yield ShipmentDispatched(order_id=order, parcel_id=f"p-{order}")
    yield OrderAdvanced(order_id=order, state="shipped")
    yield ShipmentDelivered(order_id=order, parcel_id=f"p-{order}")
    yield OrderCompleted(order_id=order, customer_id=placed.customer_id, lines=placed.lines,
                         total_minor=placed.total_minor, seconds=7200.0)  # fmt: skip


def _given_back(order: str, wanted: list[Quantity], declined: bool) -> Iterator[Event]:
    if not declined:
        yield VoidRequested(order_id=order)
        yield PaymentVoided(order_id=order)
    yield ReleaseRequested(order_id=order)
    yield ReservationReleased(order_id=order, reason="requested")
    yield from _levels(wanted, 0)
    if declined:
        yield OrderRejected(order_id=order, reason="declined")
    else:
        yield OrderCancelled(order_id=order, reason="customer")


def _levels(wanted: list[Quantity], sold: int) -> Iterator[Event]:
    for one in wanted:
        yield StockLevelChanged(product_id=one.product_id, available=1000, reserved=one.quantity, sold=sold)
