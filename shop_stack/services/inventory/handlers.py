"""Inventory at work: stock over HTTP, and the units that orders hold, give back and sell."""

from collections.abc import Sequence
from datetime import datetime, timedelta
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
    ProductAdded,
    Quantity,
    ReleaseRequested,
    ReservationRequested,
    StockLevelChanged,
    StockReceived,
)
from shop_stack.hosting.service import Answer, ServiceContext, Transaction
from shop_stack.services.answers import IdempotencyKey, Subject, answer_of, answers_with, respond
from shop_stack.services.inventory import rules, store
from shop_stack.services.inventory.rules import Change, Level, Move, Reservation

_EXPIRIES_AT_ONCE = 50
_MOST_IDS = 500
_UNITS = "units"
"""What who moves units holds first: transactions of several events would else lock products crosswise."""
_Id = Annotated[str, Meta(min_length=1, max_length=64)]
# Visible ASCII, so that even when each character is escaped the address stays below the server's 64 KiB.
_Ids = Annotated[str, QueryParameter(min_length=1, max_length=20_000, pattern="^[!-~]+$")]


class Received(msgspec.Struct, forbid_unknown_fields=True):
    """Units of one product that arrived."""

    product_id: _Id
    quantity: Annotated[int, Meta(ge=1, le=10_000_000)]


class Receipt(msgspec.Struct, forbid_unknown_fields=True):
    """A delivery to the warehouse; `receipt_id` names it, so that it is booked once."""

    receipt_id: _Id
    lines: Annotated[list[Received], Meta(min_length=1, max_length=_MOST_IDS)]


class Booked(msgspec.Struct):
    """A delivery that was booked, with so many products."""

    receipt_id: str
    lines: int


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
    def show_stock(ids: _Ids) -> StockList:
        return stock(context, ids.split(","))

    @post("/v1/receipts", sync_to_thread=True, responses=answers_with(201, Booked))
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
        transaction.hold(_UNITS)
        known = store.levels_held(transaction.connection, [line.product_id for line in lines])
        unknown = [line.product_id for line in lines if line.product_id not in known]
        if unknown:
            raise HTTPException(status_code=422, detail=f"no such products: {', '.join(unknown[:5])}; add them first")
        if not store.add_receipt(transaction.connection, receipt.receipt_id, transaction.now):
            raise HTTPException(status_code=409, detail=f"receipt {receipt.receipt_id} was booked before")
        for line in lines:
            _receive(transaction, line)
        return answer_of(201, Booked(receipt.receipt_id, len(lines)))

    return context.once(key, subject, "POST", "/v1/receipts", body, work)


def open_stock(transaction: Transaction, envelope: Envelope[ProductAdded], context: ServiceContext) -> None:
    """A new product: its stock item, with the opening stock as its first receipt."""
    product = envelope.data
    transaction.hold(_UNITS)
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
    transaction.hold(_UNITS)
    if store.get_held(transaction.connection, order_id) is not None:
        return
    lines = rules.merged(envelope.data.lines)
    expires = transaction.now + timedelta(seconds=context.stack.checkout.reservation_s)
    _keep(transaction, None, rules.reserve(order_id, lines, _available(transaction, lines), expires), expires)


def release(transaction: Transaction, envelope: Envelope[ReleaseRequested], context: ServiceContext) -> None:
    """Give an order's units back. For an order not seen yet a mark is left, so that a late request holds nothing."""
    order_id = envelope.data.order_id
    transaction.hold(_UNITS)
    held = store.get_held(transaction.connection, order_id)
    change = rules.release(held, order_id)
    if change is not None:
        _keep(transaction, held, change)


def sell(transaction: Transaction, envelope: Envelope[DispatchRequested], context: ServiceContext) -> None:
    """Book an order's units as sold and hand them to shipping, or refuse when they went to others."""
    wanted = envelope.data
    transaction.hold(_UNITS)
    held = store.get_held(transaction.connection, wanted.order_id)
    lines = rules.merged(wanted.lines)
    available = _available(transaction, lines) if held is None or held.state == "released" else {}
    _keep(transaction, held, rules.sell(held, wanted.order_id, lines, available, wanted.customer_id))


def expire(context: ServiceContext) -> bool:
    """Timer: give back what was held for too long; whichever replica comes first takes it."""
    with context.read() as connection:
        if not store.is_any_expired(connection, context.now()):
            return False
    with context.write() as transaction:
        transaction.hold(_UNITS)
        late = store.expired(transaction.connection, transaction.now, _EXPIRIES_AT_ONCE)
        for held in late:
            _keep(transaction, held, rules.expire(held))
    return len(late) == _EXPIRIES_AT_ONCE


def _available(transaction: Transaction, lines: list[Quantity]) -> dict[str, int]:
    """The units on the shelf of these products, held by this transaction until it ends."""
    found = store.levels_held(transaction.connection, [line.product_id for line in lines])
    return {product_id: level.available for product_id, level in found.items()}


def _keep(
    transaction: Transaction, before: Reservation | None, change: Change, expires: datetime | None = None
) -> None:
    """Store what a reservation has become and publish it, then the levels that moved with it."""
    settled = change.reservation
    if before is None:
        store.add(transaction.connection, settled, expires if settled.state == "reserved" else None)
    else:
        store.change(transaction.connection, settled, before.version)
    transaction.publish(change.event, subject=settled.order_id, sequence=settled.version, correlation=settled.order_id)
    for move in change.moves:
        _publish_level(transaction, store.move(transaction.connection, move, 1), settled.order_id)


def _receive(transaction: Transaction, line: Quantity) -> None:
    level = store.move(transaction.connection, Move(line.product_id, available=line.quantity), 2)
    received = StockReceived(product_id=line.product_id, quantity=line.quantity)
    transaction.publish(received, subject=line.product_id, sequence=level.version - 1)
    _publish_level(transaction, level, None)


def _publish_level(transaction: Transaction, level: Level, order_id: str | None) -> None:
    changed = StockLevelChanged(
        product_id=level.product_id, available=level.available, reserved=level.reserved, sold=level.sold
    )
    transaction.publish(changed, subject=level.product_id, sequence=level.version, correlation=order_id)
