"""The storefront's database: carts, each of one shopper."""

from dataclasses import dataclass

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from shop_stack.eventlog.outbox import OUTBOX
from shop_stack.events import BEHAVIOUR
from shop_stack.hosting.statements import Prepared
from shop_stack.services import scrubbing

METADATA = MetaData()
NOTES = scrubbing.notes_in(METADATA)

_carts = Table(
    "carts",
    METADATA,
    Column("cart_id", String(64), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("lines", Text, nullable=False),  # JSON: units by product id, in the shopper's order
    Column("changed_us", BigInteger, nullable=False),
    Index("carts_by_subject", "subject"),
    Index("carts_by_change", "changed_us"),
)
_GET = Prepared(select(_carts.c.cart_id, _carts.c.subject, _carts.c.lines).where(_carts.c.cart_id == bindparam("cart")))
_ADD = Prepared(insert(_carts))
_CHANGE = Prepared(
    update(_carts)
    .where(_carts.c.cart_id == bindparam("cart"), _carts.c.subject == bindparam("owner"))
    .values(lines=bindparam("new_lines"), changed_us=bindparam("now_us"))
)
_lines = msgspec.json.Decoder(dict[str, int])


@dataclass(frozen=True)
class Cart:
    """A shopper's cart: units by product id."""

    cart_id: str
    subject: str
    lines: dict[str, int]


def cart(connection: Connection, cart_id: str) -> Cart | None:
    """The cart of this id, whoever's it is."""
    row = _GET.first(connection, {"cart": cart_id})
    return Cart(row[0], row[1], _lines.decode(row[2])) if row else None


def add(connection: Connection, new: Cart, now_us: int) -> None:
    """Store a new cart. Raises IntegrityError when its id is taken."""
    values = {"cart_id": new.cart_id, "subject": new.subject, "lines": _text(new), "changed_us": now_us}
    _ADD.change(connection, values)


def change(connection: Connection, changed: Cart, now_us: int) -> None:
    """Replace the lines of a cart."""
    values = {"cart": changed.cart_id, "owner": changed.subject, "new_lines": _text(changed), "now_us": now_us}
    _CHANGE.change(connection, values)


def adopt(connection: Connection, guest_id: str, customer_id: str) -> None:
    """Give a guest's carts to the customer they turned out to be."""
    connection.execute(update(_carts).where(_carts.c.subject == guest_id).values(subject=customer_id))


def of_subject(connection: Connection, subject: str) -> list[Cart]:
    """A shopper's carts, the one changed last first."""
    mine = select(_carts.c.cart_id, _carts.c.subject, _carts.c.lines).where(_carts.c.subject == subject)
    rows = connection.execute(mine.order_by(_carts.c.changed_us.desc()))
    return [Cart(cart_id, owner, _lines.decode(lines)) for cart_id, owner, lines in rows]


def behaviour_of(connection: Connection, subject: str, most: int) -> list[bytes]:
    """The newest events that were published of a session, as CloudEvents, newest first."""
    mine = select(OUTBOX.c.payload).where(OUTBOX.c.aggregateid == subject, OUTBOX.c.topic == BEHAVIOUR.name)
    return list(connection.execute(mine.order_by(OUTBOX.c.ordinal.desc()).limit(most)).scalars())


def forget_subject(connection: Connection, subject: str) -> int:
    """Drop a shopper's carts; how many."""
    return connection.execute(delete(_carts).where(_carts.c.subject == subject)).rowcount


def forget(connection: Connection, before_us: int) -> None:
    """Drop carts not changed since then."""
    connection.execute(delete(_carts).where(_carts.c.changed_us < before_us))


def _text(of: Cart) -> str:
    return msgspec.json.encode(of.lines).decode()
