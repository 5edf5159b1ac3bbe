"""How a parcel goes: what stands on its label, and when it arrives."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from shop_stack.events import LabelCreated, ShipmentDelivered, ShipmentDispatched

State = Literal["wanted", "dispatched", "delivered"]
Destination = Literal["address", "parcel_shop"]


class Shipment(msgspec.Struct, frozen=True, kw_only=True):
    """An order's parcel. `destination` says only what kind of address the label bears; the address is not kept.

    `version` counts the events published of it, `attempts` the tries to make its label.
    """

    order_id: str
    customer_id: str
    state: State
    parcel_id: str
    destination: Destination | None = None
    version: int = 0
    attempts: int = 0


def wanted(order_id: str, customer_id: str) -> Shipment:
    """A parcel that is to be sent; its number follows from the order, so that one order has one parcel."""
    return Shipment(order_id=order_id, customer_id=customer_id, state="wanted", parcel_id=f"P-{order_id}")


def attempted(shipment: Shipment) -> Shipment:
    """The parcel once another try to make its label is under way."""
    return msgspec.structs.replace(shipment, attempts=shipment.attempts + 1)


def destination(address_status: int) -> Destination | None:
    """Where a parcel goes by the customers' answer: 200 an address, 404 (a guest) a parcel shop, else unknown yet."""
    return {200: "address", 404: "parcel_shop"}.get(address_status)  # type: ignore[return-value]


def dispatch(shipment: Shipment, goes_to: Destination) -> tuple[Shipment, list[LabelCreated | ShipmentDispatched]]:
    """The parcel gets its label and leaves the warehouse with it."""
    gone = msgspec.structs.replace(
        shipment, state="dispatched", destination=goes_to, version=shipment.version + 2, attempts=0
    )
    return gone, [
        LabelCreated(order_id=shipment.order_id, parcel_id=shipment.parcel_id),
        ShipmentDispatched(order_id=shipment.order_id, parcel_id=shipment.parcel_id),
    ]


def deliver(shipment: Shipment) -> tuple[Shipment, ShipmentDelivered]:
    """The parcel reaches the shopper."""
    arrived = msgspec.structs.replace(shipment, state="delivered", version=shipment.version + 1)
    return arrived, ShipmentDelivered(order_id=shipment.order_id, parcel_id=shipment.parcel_id)


def arrives(dispatched: datetime, delivery_seconds: float) -> datetime:
    """When a parcel that leaves now reaches the shopper."""
    return dispatched + timedelta(seconds=delivery_seconds)


def wait_s(attempts: int) -> float:
    """Seconds before a label is tried again: 0.2, doubled each time, at most 5."""
    return min(0.2 * 2.0 ** min(max(attempts - 1, 0), 16), 5.0)
