"""The erasures in the customers' database: who asked, how far each is, and who has answered; no personal data."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from shop_stack.events import PersonScrubbed
from shop_stack.services.customers.store import METADATA

# `due_us` says when to look again whether it can be done; None once it is.
_erasures = Table(
    "erasures",
    METADATA,
    Column("erasure_id", String(64), primary_key=True),
    Column("customer_id", String(64), nullable=False),
    Column("ids", Text, nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    Column("asked_by", String(64), nullable=False),
    Column("because", String(64), nullable=False),
    Column("looks", Integer, nullable=False),
    Column("open_orders", Integer, nullable=False),
    Column("due_us", BigInteger),
    Column("erased_us", BigInteger),
    Index("erasures_by_customer", "customer_id", "asked_us"),
    Index("erasures_by_due", "due_us"),
)
_answers = Table(
    "erasure_answers",
    METADATA,
    Column("erasure_id", String(64), primary_key=True),
    Column("customer_id", String(64), primary_key=True),
    Column("place", String(64), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("erased", Text, nullable=False),
    Column("kept", Text, nullable=False),
)
_ids = msgspec.json.Decoder(list[str])
_counts = msgspec.json.Decoder(dict[str, int])


@dataclass(frozen=True)
class Erasure:
    """One request to erase a person, under all `ids` that they had. Times are microseconds since 1970."""

    erasure_id: str
    customer_id: str
    ids: list[str]
    asked_us: int
    asked_by: str
    because: str
    looks: int = 0
    open_orders: int = 0
    due_us: int | None = None
    erased_us: int | None = None


@dataclass(frozen=True)
class Answered:
    """What a place said that it dropped and keeps under one id."""

    customer_id: str
    place: str
    at_us: int
    erased: dict[str, int]
    kept: list[str]


_FIELDS = [_erasures.c[name] for name in Erasure.__dataclass_fields__]


def add(connection: Connection, erasure: Erasure) -> None:
    """Keep a new request."""
    connection.execute(insert(_erasures).values({**vars(erasure), "ids": _json(erasure.ids)}))


def latest(connection: Connection, customer_id: str) -> Erasure | None:
    """The newest request for this person, under the id that it was made for."""
    mine = select(*_FIELDS).where(_erasures.c.customer_id == customer_id)
    row = connection.execute(mine.order_by(_erasures.c.asked_us.desc()).limit(1)).first()
    return _erasure(tuple(row)) if row else None


def is_any_due(connection: Connection, now_us: int) -> bool:
    """Whether a request is to be looked at."""
    return (
        connection.execute(select(_erasures.c.erasure_id).where(_erasures.c.due_us <= now_us).limit(1)).first()
        is not None
    )


def claim(connection: Connection, now_us: int, lease_until_us: int) -> Erasure | None:
    """Take the request that is due longest, for this worker alone until the lease ends; counts the look."""
    due = select(_erasures.c.erasure_id).where(_erasures.c.due_us <= now_us).order_by(_erasures.c.due_us).limit(1)
    taken = update(_erasures).where(_erasures.c.erasure_id == due.with_for_update(skip_locked=True).scalar_subquery())
    changed = taken.values(looks=_erasures.c.looks + 1, due_us=lease_until_us)
    row = connection.execute(changed.returning(*_FIELDS)).first()
    return _erasure(tuple(row)) if row else None


def wait(connection: Connection, erasure_id: str, open_orders: int, due_us: int) -> None:
    """It cannot be done yet: look again then."""
    waiting = update(_erasures).where(_erasures.c.erasure_id == erasure_id, _erasures.c.erased_us.is_(None))
    connection.execute(waiting.values(open_orders=open_orders, due_us=due_us))


def done(connection: Connection, erasure_id: str, ids: Sequence[str], now_us: int) -> bool:
    """It is done here, under these ids; False when another worker has done it."""
    open_ = update(_erasures).where(_erasures.c.erasure_id == erasure_id, _erasures.c.erased_us.is_(None))
    changed = open_.values(ids=_json(ids), open_orders=0, due_us=None, erased_us=now_us)
    return connection.execute(changed).rowcount == 1


def answered(connection: Connection, said: PersonScrubbed, at_us: int) -> None:
    """Keep what a place answered; the last answer counts."""
    key = {"erasure_id": said.erasure_id, "customer_id": said.customer_id, "place": said.place}
    connection.execute(delete(_answers).where(*(_answers.c[name] == value for name, value in key.items())))
    row = {**key, "at_us": at_us, "erased": _json(said.erased), "kept": _json(said.kept)}
    connection.execute(insert(_answers).values(row))


def answers(connection: Connection, erasure_id: str) -> list[Answered]:
    """All answers, in the order in which they came."""
    columns = [_answers.c[name] for name in Answered.__dataclass_fields__]
    rows = connection.execute(select(*columns).where(_answers.c.erasure_id == erasure_id).order_by(_answers.c.at_us))
    return [
        Answered(who, place, at, _counts.decode(erased), _ids.decode(kept)) for who, place, at, erased, kept in rows
    ]


def _erasure(row: tuple[object, ...]) -> Erasure:
    values = dict(zip(Erasure.__dataclass_fields__, row, strict=True))
    return Erasure(**{**values, "ids": _ids.decode(str(values["ids"]))})  # type: ignore[arg-type]  # the columns' types


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
