"""Inventory at work: stock over HTTP, and the units that orders hold, give back and sell."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Meta

from shop_stack.envelope import Envelope
from shop_stack.events import (
    DispatchRequested,
    Event,
    ProductAdded,
    Quantity,
    ReleaseRequested,
    ReservationRejected,
    ReservationReleased,
    ReservationRequested,
    StockLevelChanged,
    StockReceived,
    StockReserved,
    StockSold,
)
from shop_stack.hosting.service import Answer, ServiceContext, Transaction
from shop_stack.services.answers import IdempotencyKey, Subject, answer_of, respond
from shop_stack.services.inventory import rules, store
from shop_stack.services.inventory.rules import Level, Move, Reservation

_EXPIRIES_AT_ONCE = 50
_MOST_IDS = 500
_Id = Annotated[str, Meta(min_length=1, max_length=64)]


class Received(msgspec.Struct, forbid_unknown_fields=True):
    """Units of one product that arrived."""

    product_id: _Id
    quantity: Annotated[int, Meta(ge=1, le=10_000_000)]


class Receipt(msgspec.Struct, forbid_unknown_fields=True):
    """A delivery to the warehouse; `receipt_id` names it, so that it is booked once."""

    receipt_id: _Id
    lines: Annotated[list[Received], Meta(min_length=1, max_length=_MOST_IDS)]


class StockView(msgspec.Struct):
    """One product's units."""

    product_id: str
    available: int
    reserved: int
    sold: int


class StockList(msgspec.Struct):
    """The products asked for; unknown ones are left out."""

    items: list[StockView]


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The inventory's HTTP handlers."""

    @get("/v1/stock", sync_to_thread=True)
    def show_stock(ids: Annotated[str, QueryParameter(min_length=1, max_length=40_000)]) -> StockList:
        return stock(context, ids.split(","))

    @post("/v1/receipts", sync_to_thread=True)
    def receive(data: Receipt, body: bytes, subject: Subject, idempotency_key: IdempotencyKey) -> Response[bytes]:
        return respond(book_receipt(context, data, body, subject, idempotency_key))

    return [show_stock, receive]


def stock(context: ServiceContext, products: list[str]) -> StockList:
    """The units of these products (at most 500). Raises HTTPException 400 for more."""
    if len(products) > _MOST_IDS:
        raise HTTPException(status_code=400, detail=f"ask for at most {_MOST_IDS} products at once")
    with context.read() as connection:
        found = store.levels(connection, products)
    return StockList([StockView(at.product_id, at.available, at.reserved, at.sold) for at in found.values()])


def book_receipt(context: ServiceContext, receipt: Receipt, body: bytes, subject: str, key: str) -> Answer:
    """Book a delivery once. Raises HTTPException 422 for an unknown product, 409 for a known receipt."""
    lines = rules.merged(Quantity(line.product_id, line.quantity) for line in receipt.lines)

    def work(transaction: Transaction) -> Answer:
        known = store.levels_held(transaction.connection, [line.product_id for line in lines])
        unknown = [line.product_id for line in lines if line.product_id not in known]
        if unknown:
            raise HTTPException(status_code=422, detail=f"no such products: {', '.join(unknown[:5])}; add them first")
        if not store.add_receipt(transaction.connection, receipt.receipt_id, transaction.now):
            raise HTTPException(status_code=409, detail=f"receipt {receipt.receipt_id} was booked before")
        for line in lines:
            _receive(transaction, line)
        return answer_of(201, {"receipt_id": receipt.receipt_id, "lines": len(lines)})

    return context.once(key, subject, "POST", "/v1/receipts", body, work)


def open_stock(transaction: Transaction, envelope: Envelope[ProductAdded], context: ServiceContext) -> None:
    """A new product: its stock item, with the opening stock as its first receipt."""
    product = envelope.data
    if store.levels_held(transaction.connection, [product.product_id]):
        return
    store.add_item(transaction.connection, product.product_id)
    if product.opening_stock > 0:
        _receive(transaction, Quantity(product.product_id, product.opening_stock))
    else:
        _publish_level(transaction, store.move(transaction.connection, Move(product.product_id), 1), None)


def reserve(transaction: Transaction, envelope: Envelope[ReservationRequested], context: ServiceContext) -> None:
    """Hold all of an order's units or none; an order that was called off before holds nothing."""
    order_id = envelope.data.order_id
    if store.get_held(transaction.connection, order_id) is not None:
        return
    lines = rules.merged(envelope.data.lines)
    found = store.levels_held(transaction.connection, [line.product_id for line in lines])
    missing = rules.short(lines, {product_id: level.available for product_id, level in found.items()})
    if missing:
        store.add(transaction.connection, _reservation(order_id, "rejected", lines), None)
        _publish(transaction, ReservationRejected(order_id=order_id, short=missing), order_id, 1)
        return
    expires = transaction.now + timedelta(seconds=context.stack.checkout.reservation_s)
    store.add(transaction.connection, _reservation(order_id, "reserved", lines), expires)
    _publish(transaction, StockReserved(order_id=order_id, expires_at=expires), order_id, 1)
    _move(transaction, rules.holding(lines), order_id)


def release(transaction: Transaction, envelope: Envelope[ReleaseRequested], context: ServiceContext) -> None:
    """Give an order's units back. For an order not seen yet a mark is left, so that a late request holds nothing."""
    order_id = envelope.data.order_id
    held = store.get_held(transaction.connection, order_id)
    if held is None:
        store.add(transaction.connection, _reservation(order_id, "released", []), None)
        _publish(transaction, ReservationReleased(order_id=order_id, reason="requested"), order_id, 1)
    elif held.state == "reserved":
        _give_back(transaction, held, "requested")


def sell(transaction: Transaction, envelope: Envelope[DispatchRequested], context: ServiceContext) -> None:
    """Book an order's units as sold: what it holds, or what is on the shelf when its reservation has run out."""
    order_id = envelope.data.order_id
    held = store.get_held(transaction.connection, order_id)
    if held is None or held.state in ("sold", "rejected"):
        return
    if held.state == "released":
        found = store.levels_held(transaction.connection, [line.product_id for line in held.lines])
        missing = rules.short(held.lines, {product_id: level.available for product_id, level in found.items()})
        if missing:
            _settle(transaction, held, "rejected", ReservationRejected(order_id=order_id, short=missing))
            return
    _settle(transaction, held, "sold", StockSold(order_id=order_id))
    _move(transaction, rules.selling(held.lines, held=held.state == "reserved"), order_id)


def expire(context: ServiceContext) -> bool:
    """Timer: give back what was held for too long; whichever replica comes first takes it."""
    with context.read() as connection:
        if not store.is_any_expired(connection, context.now()):
            return False
    with context.write() as transaction:
        late = store.expired(transaction.connection, transaction.now, _EXPIRIES_AT_ONCE)
        for held in late:
            _give_back(transaction, held, "expired")
    return len(late) == _EXPIRIES_AT_ONCE


def _give_back(transaction: Transaction, held: Reservation, reason: str) -> None:
    _settle(transaction, held, "released", ReservationReleased(order_id=held.order_id, reason=reason))
    _move(transaction, rules.giving_back(held.lines), held.order_id)


def _settle(transaction: Transaction, held: Reservation, state: rules.State, event: Event) -> None:
    settled = msgspec.structs.replace(held, state=state, version=held.version + 1)
    store.change(transaction.connection, settled, held.version)
    _publish(transaction, event, held.order_id, settled.version)


def _reservation(order_id: str, state: rules.State, lines: list[Quantity]) -> Reservation:
    return Reservation(order_id=order_id, state=state, lines=lines, version=1)


def _receive(transaction: Transaction, line: Quantity) -> None:
    level = store.move(transaction.connection, Move(line.product_id, available=line.quantity), 2)
    received = StockReceived(product_id=line.product_id, quantity=line.quantity)
    transaction.publish(received, subject=line.product_id, sequence=level.version - 1)
    _publish_level(transaction, level, None)


def _move(transaction: Transaction, moves: list[Move], order_id: str) -> None:
    for move in moves:
        _publish_level(transaction, store.move(transaction.connection, move, 1), order_id)


def _publish_level(transaction: Transaction, level: Level, order_id: str | None) -> None:
    changed = StockLevelChanged(
        product_id=level.product_id, available=level.available, reserved=level.reserved, sold=level.sold
    )
    transaction.publish(changed, subject=level.product_id, sequence=level.version, correlation=order_id)


def _publish(transaction: Transaction, event: Event, order_id: str, sequence: int) -> None:
    transaction.publish(event, subject=order_id, sequence=sequence, correlation=order_id)
