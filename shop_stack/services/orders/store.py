"""The orders' database: one row an order, written only at the version that was read."""

from datetime import datetime

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    update,
)

from shop_stack.errors import Conflict
from shop_stack.events import Line
from shop_stack.hosting.statements import Prepared, Row
from shop_stack.moments import micros, moment
from shop_stack.services import scrubbing
from shop_stack.services.orders.rules import Order, State

METADATA = MetaData()
NOTES = scrubbing.notes_in(METADATA)

ORDERS = Table(
    "orders",
    METADATA,
    Column("order_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("cart_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("lines", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("placed_us", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("stock_open", Boolean, nullable=False),
    Column("money_open", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("deadline_us", BigInteger),
)
Index(
    "orders_by_deadline",
    ORDERS.c.deadline_us,
    sqlite_where=ORDERS.c.deadline_us.is_not(None),
    postgresql_where=ORDERS.c.deadline_us.is_not(None),
)
Index("orders_by_customer", ORDERS.c.customer_id)

_ORDER = (
    ORDERS.c.order_id, ORDERS.c.customer_id, ORDERS.c.cart_id, ORDERS.c.state, ORDERS.c.lines, ORDERS.c.total_minor,
    ORDERS.c.placed_us, ORDERS.c.version, ORDERS.c.reason, ORDERS.c.stock_open, ORDERS.c.money_open, ORDERS.c.attempts,
)  # fmt: skip
_ADD = Prepared(insert(ORDERS))
_BY_ID = select(*_ORDER).where(ORDERS.c.order_id == bindparam("order"))
_GET = Prepared(_BY_ID)
_GET_HELD = Prepared(_BY_ID.with_for_update())
_CHANGE = Prepared(
    update(ORDERS)
    .where(ORDERS.c.order_id == bindparam("order"), ORDERS.c.version == bindparam("read_version"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in ("state", "reason", "version", "stock_open", "money_open", "attempts", "deadline_us")
        }
    )
)
_IS_DUE = Prepared(select(ORDERS.c.order_id).where(ORDERS.c.deadline_us <= bindparam("now_us")).limit(1))
_DUE = Prepared(
    select(*_ORDER)
    .where(ORDERS.c.deadline_us <= bindparam("now_us"))
    .order_by(ORDERS.c.deadline_us)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_OPEN = Prepared(
    select(ORDERS.c.state, ORDERS.c.money_open, func.count(), func.min(ORDERS.c.placed_us))
    .where(ORDERS.c.deadline_us.is_not(None))
    .group_by(ORDERS.c.state, ORDERS.c.money_open)
)
_FORGET_DEADLINE = Prepared(update(ORDERS).where(ORDERS.c.order_id == bindparam("order")).values(deadline_us=None))
_lines = msgspec.json.Decoder(list[Line])


def add(connection: Connection, order: Order, deadline: datetime | None) -> None:
    """Store a new order."""
    _ADD.change(
        connection,
        {
            "order_id": order.order_id,
            "customer_id": order.customer_id,
            "cart_id": order.cart_id,
            "lines": msgspec.json.encode(order.lines).decode(),
            "total_minor": order.total_minor,
            "placed_us": micros(order.placed_at),
            **_changing(order, deadline, ""),
        },
    )


def get(connection: Connection, order_id: str) -> Order | None:
    """The order of that id, if there is one."""
    row = _GET.first(connection, {"order": order_id})
    return _order(row) if row else None


def get_held(connection: Connection, order_id: str) -> Order | None:
    """The order of that id, held by this transaction until it ends."""
    row = _GET_HELD.first(connection, {"order": order_id})
    return _order(row) if row else None


def of_customer(connection: Connection, customer_id: str) -> list[Order]:
    """All orders of a person, oldest first."""
    mine = select(*_ORDER).where(ORDERS.c.customer_id == customer_id).order_by(ORDERS.c.placed_us)
    return [_order(tuple(row)) for row in connection.execute(mine)]


def change(connection: Connection, order: Order, read_version: int, deadline: datetime | None) -> None:
    """Store an order anew. Raises Conflict when another replica has changed it since it was read."""
    values = {"order": order.order_id, "read_version": read_version, **_changing(order, deadline, "new_")}
    if _CHANGE.change(connection, values) != 1:
        raise Conflict(f"order {order.order_id} is no longer at version {read_version}; it is tried again")


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Whether a deadline has passed."""
    return _IS_DUE.first(connection, {"now_us": micros(now)}) is not None


def due(connection: Connection, now: datetime, most: int) -> list[Order]:
    """Orders whose deadline has passed, the oldest deadline first; held by this transaction against other replicas."""
    return [_order(row) for row in _DUE.rows(connection, {"now_us": micros(now), "most": most})]


def open_by_step(connection: Connection) -> list[tuple[State, bool, int, datetime]]:
    """Orders that await an answer: state, whether money is to come back, how many, and when the first was placed."""
    return [(state, bool(money), count, moment(first)) for state, money, count, first in _OPEN.rows(connection)]


def forget_deadline(connection: Connection, order_id: str) -> None:
    """The order waits for nothing any more."""
    _FORGET_DEADLINE.change(connection, {"order": order_id})


def _changing(order: Order, deadline: datetime | None, prefix: str) -> dict[str, object]:
    return {
        f"{prefix}state": order.state,
        f"{prefix}reason": order.reason,
        f"{prefix}version": order.version,
        f"{prefix}stock_open": order.stock_open,
        f"{prefix}money_open": order.money_open,
        f"{prefix}attempts": order.attempts,
        f"{prefix}deadline_us": micros(deadline) if deadline else None,
    }


def _order(row: Row) -> Order:
    order_id, customer_id, cart_id, state, lines, total, placed, version, reason, stock, money, attempts = row
    return Order(
        order_id=order_id,
        customer_id=customer_id,
        cart_id=cart_id,
        state=state,
        lines=_lines.decode(lines),
        total_minor=total,
        placed_at=moment(placed),
        version=version,
        reason=reason,
        stock_open=stock,
        money_open=money,
        attempts=attempts,
    )
