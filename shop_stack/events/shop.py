"""What happens in the shop: the contracts of the services that own an aggregate."""

from datetime import datetime

import msgspec

from shop_stack.events.topics import ACTIONS, CATALOG, CUSTOMERS, INVENTORY, ORDERS, PAYMENTS, SHIPPING, Event


class Line(msgspec.Struct, frozen=True):
    """One product of an order or a cart: how many, at which price each."""

    product_id: str
    quantity: int
    unit_price_minor: int


class Quantity(msgspec.Struct, frozen=True):
    """One product and a number of it."""

    product_id: str
    quantity: int


# Customers (aggregate: customer)


class CustomerRegistered(Event, frozen=True, kw_only=True):
    """A person opened an account; name, address, country and e-mail stay in the customers service.

    `country` is no longer published: what a person writes there is theirs. Old events may bear it.
    """

    type = "shop.customer.registered.v1"
    topic = CUSTOMERS
    customer_id: str
    country: str | None = None


class CustomerSignedIn(Event, frozen=True, kw_only=True):
    """A registered customer got a session; `guest_id` is the guest they were before, if any."""

    type = "shop.customer.signed-in.v1"
    topic = CUSTOMERS
    customer_id: str
    guest_id: str | None = None


class CustomerErased(Event, frozen=True, kw_only=True):
    """What the shop knew of a person is erased, at their wish or by law: whoever holds anything of them drops it.

    A person who was a guest before is erased under each of their ids, with one `erasure_id`. Each holder answers
    by PersonScrubbed.
    """

    type = "shop.customer.erased.v1"
    topic = CUSTOMERS
    customer_id: str
    erasure_id: str


# Catalog (aggregate: product)


class ProductAdded(Event, frozen=True, kw_only=True):
    """A product came into the catalog at a list price."""

    type = "shop.product.added.v1"
    topic = CATALOG
    product_id: str
    name: str
    category: str
    list_price_minor: int
    popularity: float = 1.0
    opening_stock: int = 0


class PriceChanged(Event, frozen=True, kw_only=True):
    """A product's list price changed."""

    type = "shop.product.price-changed.v1"
    topic = CATALOG
    product_id: str
    list_price_minor: int
    previous_minor: int


# Inventory (aggregates: stock item by product; reservation by order)


class StockReceived(Event, frozen=True, kw_only=True):
    """Units arrived in the warehouse."""

    type = "shop.stock.received.v1"
    topic = INVENTORY
    product_id: str
    quantity: int


class StockLevelChanged(Event, frozen=True, kw_only=True):
    """A stock item's levels after a change: available + reserved + sold = received."""

    type = "shop.stock.level-changed.v1"
    topic = INVENTORY
    product_id: str
    available: int
    reserved: int
    sold: int


class StockReserved(Event, frozen=True, kw_only=True):
    """All of an order's units are held until `expires_at`."""

    type = "shop.stock.reserved.v1"
    topic = INVENTORY
    order_id: str
    expires_at: datetime


class ReservationRejected(Event, frozen=True, kw_only=True):
    """An order's units are not all there; nothing is held. `short` lists what was missing."""

    type = "shop.stock.reservation-rejected.v1"
    topic = INVENTORY
    order_id: str
    short: list[Quantity]


class ReservationReleased(Event, frozen=True, kw_only=True):
    """A reservation was given back: `requested` by orders, or `expired`."""

    type = "shop.stock.reservation-released.v1"
    topic = INVENTORY
    order_id: str
    reason: str


class StockSold(Event, frozen=True, kw_only=True):
    """A reservation became a sale: the units are handed to shipping, for this customer's parcel.

    Older ones bear no `customer_id`; then shipping had been asked for the parcel by orders itself.
    """

    type = "shop.stock.sold.v1"
    topic = INVENTORY
    order_id: str
    customer_id: str | None = None


# Orders (aggregate: order)


class OrderPlaced(Event, frozen=True, kw_only=True):
    """A shopper's checkout was accepted at the list prices of that moment."""

    type = "shop.order.placed.v1"
    topic = ORDERS
    order_id: str
    customer_id: str
    cart_id: str
    lines: list[Line]
    total_minor: int


class ReservationRequested(Event, frozen=True, kw_only=True):
    """Orders asks inventory to hold the units."""

    type = "shop.order.reservation-requested.v1"
    topic = ORDERS
    order_id: str
    lines: list[Quantity]


class AuthorisationRequested(Event, frozen=True, kw_only=True):
    """Orders asks payments to authorise the total."""

    type = "shop.order.authorisation-requested.v1"
    topic = ORDERS
    order_id: str
    customer_id: str
    amount_minor: int


class CaptureRequested(Event, frozen=True, kw_only=True):
    """Orders asks payments to take the authorised money: the pivot of the checkout."""

    type = "shop.order.capture-requested.v1"
    topic = ORDERS
    order_id: str
    amount_minor: int


class DispatchRequested(Event, frozen=True, kw_only=True):
    """Orders asks inventory to book the units as sold and to hand them to shipping, which sends the parcel.

    Refused by ReservationRejected when the reservation has run out and others have bought the units.
    """

    type = "shop.order.dispatch-requested.v1"
    topic = ORDERS
    order_id: str
    customer_id: str
    lines: list[Quantity]


class ReleaseRequested(Event, frozen=True, kw_only=True):
    """Compensation: orders asks inventory to give the units back."""

    type = "shop.order.release-requested.v1"
    topic = ORDERS
    order_id: str


class VoidRequested(Event, frozen=True, kw_only=True):
    """Compensation: orders asks payments to drop the authorisation."""

    type = "shop.order.void-requested.v1"
    topic = ORDERS
    order_id: str


class RefundRequested(Event, frozen=True, kw_only=True):
    """Compensation: orders asks payments to give captured money back."""

    type = "shop.order.refund-requested.v1"
    topic = ORDERS
    order_id: str
    amount_minor: int


class OrderAdvanced(Event, frozen=True, kw_only=True):
    """An order reached `reserved`, `authorised`, `captured` or `shipped`."""

    type = "shop.order.advanced.v1"
    topic = ORDERS
    order_id: str
    state: str


class OrderCompleted(Event, frozen=True, kw_only=True):
    """The parcel was delivered: the order's good end. `seconds` is the time since it was placed."""

    type = "shop.order.completed.v1"
    topic = ORDERS
    order_id: str
    customer_id: str
    lines: list[Line]
    total_minor: int
    seconds: float


class OrderRejected(Event, frozen=True, kw_only=True):
    """The order ended: `out_of_stock`, `declined` or `suspected_fraud`; what was taken for it was refunded."""

    type = "shop.order.rejected.v1"
    topic = ORDERS
    order_id: str
    reason: str


class OrderCancelled(Event, frozen=True, kw_only=True):
    """The order was called off by `deadline` or `customer`, and its steps were compensated."""

    type = "shop.order.cancelled.v1"
    topic = ORDERS
    order_id: str
    reason: str


# Payments (aggregate: payment by order)


class PaymentAuthorised(Event, frozen=True, kw_only=True):
    """The provider holds the amount on the shopper's card."""

    type = "shop.payment.authorised.v1"
    topic = PAYMENTS
    order_id: str
    amount_minor: int
    provider_reference: str


class PaymentDeclined(Event, frozen=True, kw_only=True):
    """The provider refused the authorisation for good."""

    type = "shop.payment.declined.v1"
    topic = PAYMENTS
    order_id: str
    reason: str


class PaymentCaptured(Event, frozen=True, kw_only=True):
    """The money was taken."""

    type = "shop.payment.captured.v1"
    topic = PAYMENTS
    order_id: str
    amount_minor: int


class PaymentVoided(Event, frozen=True, kw_only=True):
    """The authorisation was dropped, or none will ever be asked for."""

    type = "shop.payment.voided.v1"
    topic = PAYMENTS
    order_id: str


class PaymentRefunded(Event, frozen=True, kw_only=True):
    """Captured money was given back."""

    type = "shop.payment.refunded.v1"
    topic = PAYMENTS
    order_id: str
    amount_minor: int


# Shipping (aggregate: shipment by order)


class LabelCreated(Event, frozen=True, kw_only=True):
    """A parcel has its label; the address was fetched from customers at that moment and is not in here."""

    type = "shop.shipment.label-created.v1"
    topic = SHIPPING
    order_id: str
    parcel_id: str


class ShipmentDispatched(Event, frozen=True, kw_only=True):
    """The parcel left the warehouse."""

    type = "shop.shipment.dispatched.v1"
    topic = SHIPPING
    order_id: str
    parcel_id: str


class ShipmentDelivered(Event, frozen=True, kw_only=True):
    """The parcel reached the shopper."""

    type = "shop.shipment.delivered.v1"
    topic = SHIPPING
    order_id: str
    parcel_id: str


# Everyone who holds anything of a person


class PersonScrubbed(Event, frozen=True, kw_only=True):
    """`place` (a service, or analytics) has dropped what it held of an erased person, its write-ahead log included.

    `erased` counts rows by what they were; `kept` says in words what stays under the id alone, and why.
    """

    type = "ops.person.scrubbed.v1"
    topic = ACTIONS
    customer_id: str
    erasure_id: str
    place: str
    erased: dict[str, int]
    kept: list[str]
