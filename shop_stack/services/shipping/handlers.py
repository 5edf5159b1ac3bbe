"""Shipping at work: a request becomes a parcel, the parcel gets its label and leaves, and arrives in time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

import msgspec
from litestar import get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from shop_stack.envelope import Envelope
from shop_stack.errors import MeshError
from shop_stack.events import CustomerErased, LabelCreated, ShipmentDelivered, ShipmentDispatched, StockSold, WorkInHand
from shop_stack.hosting.service import Cause, ServiceContext, Transaction
from shop_stack.ids import age_s
from shop_stack.services import scrubbing
from shop_stack.services.handover import Handover
from shop_stack.services.shipping import rules, store
from shop_stack.services.shipping.rules import Destination

LABELS = "labels"
_ADDRESS_DEADLINE_S = 1.0
WORKERS = 4
_LEASE_S = 5.0
_HANDOVER = Handover(most=2 * WORKERS)
_DELIVERIES_AT_ONCE = 100
_KEPT = ["parcels under their order alone; addresses are fetched for a label and never kept"]


class ShipmentView(msgspec.Struct):
    """An order's parcel as operators see it."""

    order_id: str
    state: str
    parcel_id: str
    destination: str | None
    attempts: int


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The shipping's HTTP handlers."""

    @get("/v1/shipments/{order_id:str}", sync_to_thread=True)
    def show_shipment(order_id: FromPath[str]) -> ShipmentView:
        return view(context, order_id)

    return [show_shipment]


def view(context: ServiceContext, order_id: str) -> ShipmentView:
    """The order's parcel. Raises HTTPException 404 when none was ever asked for."""
    with context.read() as connection:
        kept = store.get(connection, order_id)
    if kept is None:
        raise HTTPException(status_code=404, detail="no parcel was asked for with this order id")
    parcel = kept.shipment
    return ShipmentView(order_id, parcel.state, parcel.parcel_id, parcel.destination, parcel.attempts)


def take_units(transaction: Transaction, envelope: Envelope[StockSold], context: ServiceContext) -> None:
    """Write down that a parcel is to be sent, now that inventory has handed its units over; once an order."""
    order_id, customer_id = envelope.data.order_id, envelope.data.customer_id
    if customer_id is None or store.get_held(transaction.connection, order_id) is not None:
        return
    shipment, due = rules.wanted(order_id, customer_id), transaction.now
    if _HANDOVER.offer(context, order_id, 1):
        shipment, due = rules.attempted(shipment), _lease(transaction.now)
    cause = Cause(envelope.id, envelope.correlationid, envelope.traceparent)
    store.add(transaction.connection, shipment, due, cause)
    transaction.wake(LABELS)


def forget_person(transaction: Transaction, envelope: Envelope[CustomerErased], context: ServiceContext) -> None:
    """Take the person's id from their parcels; no address of theirs is here."""
    parcels = store.forget_person(transaction.connection, envelope.data.customer_id)
    scrubbing.note(transaction, envelope.data, {"ids on parcels": parcels} if parcels else {}, _KEPT)


def make_label(context: ServiceContext) -> bool:
    """Timer: fetch the address for the parcel that waits longest, label it and hand it to the carrier."""
    claimed = _handed_over(context) or _claimed(context)
    if claimed is None:
        return False
    goes_to = _destination(context, claimed.shipment.customer_id)
    with context.write(claimed.cause) as transaction:
        _label(transaction, claimed.shipment.order_id, goes_to, _delivery_seconds(context))
    return True


def _handed_over(context: ServiceContext) -> store.Kept | None:
    """A parcel that this process has claimed when it wrote it, and that nobody has taken since."""
    for _ in range(_HANDOVER.waiting(context)):
        handed = _HANDOVER.take(context)
        if handed is None:
            return None
        with context.read() as connection:
            kept = store.get(connection, handed.row_id)
        if kept is None:
            _HANDOVER.put_back(context, handed)
        elif kept.shipment.state == "wanted" and kept.shipment.attempts == handed.attempt:
            return kept
    return None


def _claimed(context: ServiceContext) -> store.Kept | None:
    with context.read() as connection:
        if not store.is_any_due(connection, "wanted", context.now()):
            return None
    with context.write() as transaction:
        return store.claim(transaction.connection, "wanted", transaction.now, _lease(transaction.now))


def _lease(now: datetime) -> datetime:
    return now + timedelta(seconds=_LEASE_S)


def _destination(context: ServiceContext, customer_id: str) -> Destination | None:
    path = f"/v1/addresses/{quote(customer_id, safe='')}"
    try:
        return rules.destination(context.mesh.get("customers", path, deadline_s=_ADDRESS_DEADLINE_S).status)
    except MeshError:
        return None


def _label(transaction: Transaction, order_id: str, goes_to: Destination | None, delivery_s: float) -> None:
    kept = store.get_held(transaction.connection, order_id)
    if kept is None or kept.shipment.state != "wanted":
        return
    if goes_to is None:
        again = transaction.now + timedelta(seconds=rules.wait_s(kept.shipment.attempts))
        store.change(transaction.connection, kept.shipment, again)
        return
    gone, events = rules.dispatch(kept.shipment, goes_to)
    store.change(transaction.connection, gone, rules.arrives(transaction.now, delivery_s))
    for version, event in enumerate(events, kept.shipment.version + 1):
        _publish(transaction, event, version)


def deliver(context: ServiceContext) -> bool:
    """Timer: parcels whose time has come reach their shoppers; whichever replica comes first takes them."""
    with context.read() as connection:
        if not store.is_any_due(connection, "dispatched", context.now()):
            return False
    with context.write() as transaction:
        arrived = store.due(transaction.connection, "dispatched", transaction.now, _DELIVERIES_AT_ONCE)
        for kept in arrived:
            delivered, event = rules.deliver(kept.shipment)
            store.change(transaction.connection, delivered, None)
            _publish(transaction, event, delivered.version)
    return len(arrived) == _DELIVERIES_AT_ONCE


def work_in_hand(context: ServiceContext) -> list[WorkInHand]:
    """Parcels that wait for the address on their label, and those whose time to arrive has come."""
    now = context.now()
    with context.read() as connection:
        labels, oldest = store.without_label(connection)
        parcels, since = store.to_arrive(connection, now)
    late_s = (now - since).total_seconds()
    work = (
        WorkInHand(kind="label", waits_for="customers", items=labels, oldest_s=age_s(oldest, now)),
        WorkInHand(kind="parcel", waits_for="delivery", items=parcels, oldest_s=late_s),
    )
    return [one for one in work if one.items]


def _publish(
    transaction: Transaction, event: LabelCreated | ShipmentDispatched | ShipmentDelivered, version: int
) -> None:
    transaction.publish(event, subject=event.order_id, sequence=version, correlation=event.order_id)


def _delivery_seconds(context: ServiceContext) -> float:
    asked = context.settings.delivery_seconds
    return asked if asked is not None else context.stack.checkout.delivery_seconds
