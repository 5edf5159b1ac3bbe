"""The inventory's database: stock items, whose units never go below zero, reservations and receipts."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from shop_stack.errors import Conflict
from shop_stack.events import Quantity
from shop_stack.hosting.statements import Prepared, Row
from shop_stack.moments import micros
from shop_stack.services.inventory.rules import Level, Move, Reservation

METADATA = MetaData()

STOCK = Table(
    "stock_items",
    METADATA,
    Column("product_id", String, primary_key=True),
    Column("available", BigInteger, CheckConstraint("available >= 0"), nullable=False),
    Column("reserved", BigInteger, CheckConstraint("reserved >= 0"), nullable=False),
    Column("sold", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
)
RESERVATIONS = Table(
    "reservations",
    METADATA,
    Column("order_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("lines", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("expires_us", BigInteger),
)
Index(
    "reservations_by_expiry",
    RESERVATIONS.c.expires_us,
    sqlite_where=RESERVATIONS.c.expires_us.is_not(None),
    postgresql_where=RESERVATIONS.c.expires_us.is_not(None),
)
RECEIPTS = Table(
    "receipts",
    METADATA,
    Column("receipt_id", String, primary_key=True),
    Column("received_us", BigInteger, nullable=False),
)

_LEVEL = (STOCK.c.product_id, STOCK.c.available, STOCK.c.reserved, STOCK.c.sold, STOCK.c.version)
_OF_PRODUCTS = select(*_LEVEL).where(STOCK.c.product_id.in_(bindparam("products", expanding=True)))
_LEVELS = Prepared(_OF_PRODUCTS)
_LEVELS_HELD = Prepared(_OF_PRODUCTS.order_by(STOCK.c.product_id).with_for_update())
_ADD_ITEM = Prepared(insert(STOCK))
_MOVE = Prepared(
    update(STOCK)
    .where(
        STOCK.c.product_id == bindparam("product"),
        STOCK.c.available + bindparam("d_available") >= 0,
        STOCK.c.reserved + bindparam("d_reserved") >= 0,
    )
    .values(
        available=STOCK.c.available + bindparam("d_available"),
        reserved=STOCK.c.reserved + bindparam("d_reserved"),
        sold=STOCK.c.sold + bindparam("d_sold"),
        version=STOCK.c.version + bindparam("d_version"),
    )
    .returning(*_LEVEL)
)
_RESERVATION = (RESERVATIONS.c.order_id, RESERVATIONS.c.state, RESERVATIONS.c.lines, RESERVATIONS.c.version)
_GET = Prepared(select(*_RESERVATION).where(RESERVATIONS.c.order_id == bindparam("order")).with_for_update())
_ADD = Prepared(insert(RESERVATIONS))
_CHANGE = Prepared(
    update(RESERVATIONS)
    .where(RESERVATIONS.c.order_id == bindparam("order"), RESERVATIONS.c.version == bindparam("read_version"))
    .values(state=bindparam("new_state"), version=bindparam("new_version"), expires_us=None)
)
_IS_EXPIRED = Prepared(select(RESERVATIONS.c.order_id).where(RESERVATIONS.c.expires_us <= bindparam("now_us")).limit(1))
_EXPIRED = Prepared(
    select(*_RESERVATION)
    .where(RESERVATIONS.c.expires_us <= bindparam("now_us"))
    .order_by(RESERVATIONS.c.expires_us)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_GET_RECEIPT = Prepared(select(RECEIPTS.c.receipt_id).where(RECEIPTS.c.receipt_id == bindparam("receipt")))
_ADD_RECEIPT = Prepared(insert(RECEIPTS))
_lines = msgspec.json.Decoder(list[Quantity])


def levels(connection: Connection, products: Iterable[str]) -> dict[str, Level]:
    """The stock items of these products, by id; unknown ones are not in it."""
    return _levels(_LEVELS.rows(connection, {"products": list(products)}))


def levels_held(connection: Connection, products: Iterable[str]) -> dict[str, Level]:
    """As `levels`, held by this transaction until it ends."""
    return _levels(_LEVELS_HELD.rows(connection, {"products": list(products)}))


def add_item(connection: Connection, product_id: str) -> None:
    """A stock item without units."""
    empty = {"product_id": product_id, "available": 0, "reserved": 0, "sold": 0, "version": 0}
    _ADD_ITEM.change(connection, empty)


def move(connection: Connection, change: Move, events: int) -> Level:
    """Move units of one product and count its published events up. Raises Conflict when units are not there."""
    row = _MOVE.first(
        connection,
        {
            "product": change.product_id,
            "d_available": change.available,
            "d_reserved": change.reserved,
            "d_sold": change.sold,
            "d_version": events,
        },
    )
    if row is None:
        raise Conflict(f"the units of product {change.product_id} have gone since they were read; it is tried again")
    return _level(row)


def get_held(connection: Connection, order_id: str) -> Reservation | None:
    """An order's reservation, held by this transaction until it ends."""
    row = _GET.first(connection, {"order": order_id})
    return _reservation(row) if row else None


def add(connection: Connection, reservation: Reservation, expires: datetime | None) -> None:
    """Store a new reservation; it counts as held until `expires`."""
    _ADD.change(
        connection,
        {
            "order_id": reservation.order_id,
            "state": reservation.state,
            "lines": msgspec.json.encode(reservation.lines).decode(),
            "version": reservation.version,
            "expires_us": micros(expires) if expires else None,
        },
    )


def change(connection: Connection, reservation: Reservation, read_version: int) -> None:
    """Store a reservation's new state; it no longer expires. Raises Conflict when it has moved on."""
    values = {
        "order": reservation.order_id,
        "read_version": read_version,
        "new_state": reservation.state,
        "new_version": reservation.version,
    }
    if _CHANGE.change(connection, values) != 1:
        raise Conflict(f"the reservation of order {reservation.order_id} has moved on; it is tried again")


def is_any_expired(connection: Connection, now: datetime) -> bool:
    """Whether a held reservation has run out."""
    return _IS_EXPIRED.first(connection, {"now_us": micros(now)}) is not None


def expired(connection: Connection, now: datetime, most: int) -> list[Reservation]:
    """Held reservations that have run out, the oldest first; held by this transaction against other replicas."""
    return [_reservation(row) for row in _EXPIRED.rows(connection, {"now_us": micros(now), "most": most})]


def add_receipt(connection: Connection, receipt_id: str, now: datetime) -> bool:
    """Note a receipt; False when it was booked before."""
    if _GET_RECEIPT.first(connection, {"receipt": receipt_id}) is not None:
        return False
    _ADD_RECEIPT.change(connection, {"receipt_id": receipt_id, "received_us": micros(now)})
    return True


def _levels(rows: Iterable[Row]) -> dict[str, Level]:
    return {row[0]: _level(row) for row in rows}


def _level(row: Row) -> Level:
    product_id, available, reserved, sold, version = row
    return Level(product_id=product_id, available=available, reserved=reserved, sold=sold, version=version)


def _reservation(row: Row) -> Reservation:
    order_id, state, lines, version = row
    return Reservation(order_id=order_id, state=state, lines=_lines.decode(lines), version=version)
