"""A toy service for the tests of delivery and hosting: a counter that people add to and events add to."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from shop_stack.envelope import Envelope
from shop_stack.errors import MeshError
from shop_stack.events import ProductAdded, StockReceived
from shop_stack.hosting.service import Answer, Service, ServiceContext, Timer, Transaction
from shop_stack.services.answers import IdempotencyKey, Subject, answer_of, respond

TABLES = MetaData()
COUNTS = Table("counts", TABLES, Column("name", Text, primary_key=True), Column("value", Integer, nullable=False))
SEEN = Table(
    "seen", TABLES, Column("ordinal", Integer, primary_key=True), Column("event_id", Text), Column("name", Text)
)


class Addition(msgspec.Struct):
    """How much to add."""

    amount: int


def add(transaction: Transaction, name: str, amount: int) -> int:
    """Add to a count; its new value."""
    dialect = postgresql if transaction.connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(COUNTS).values(name=name, value=amount)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"value": COUNTS.c.value + amount})
    return int(transaction.connection.execute(statement.returning(COUNTS.c.value)).scalar_one())


def value_of(context: ServiceContext, name: str) -> int:
    """A count."""
    with context.read() as connection:
        return connection.execute(select(COUNTS.c.value).where(COUNTS.c.name == name)).scalar() or 0


def count_product(transaction: Transaction, envelope: Envelope[Any], context: ServiceContext) -> None:
    """Add the opening stock.

    A `poison` product fails until a file `cured` lies in the home folder, a `toxic` one always, a `weak` one for a
    passing reason while a file of that name lies in the home folder, and a `deadly` one kills the process, once,
    after its effect and before the commit.
    """
    data: ProductAdded = envelope.data
    transaction.connection.execute(insert(SEEN).values(event_id=envelope.id, name=data.product_id))
    add(transaction, data.product_id, data.opening_stock)
    if data.name == "toxic" or (data.name == "poison" and not (context.settings.home.path / "cured").exists()):
        raise ValueError(f"this product is {data.name}")
    flag = context.settings.home.path / data.name
    if data.name == "weak" and flag.exists():
        raise MeshError("catalog cannot be reached")
    if data.name == "deadly" and flag.exists():
        flag.unlink()
        os.kill(os.getpid(), 9)


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The toy's HTTP handlers."""

    @get("/v1/counts/{name:str}", sync_to_thread=True)
    def show(name: str) -> dict[str, int]:
        return {"value": value_of(context, name)}

    @post("/v1/counts/{name:str}", sync_to_thread=True)
    def change(
        name: str, data: Addition, body: bytes, subject: Subject, idempotency_key: IdempotencyKey
    ) -> Response[bytes]:
        def work(transaction: Transaction) -> Answer:
            value = add(transaction, name, data.amount)
            sequence = add(transaction, f"version of {name}", 1)
            event = StockReceived(product_id=name, quantity=data.amount)
            transaction.publish(event, subject=name, sequence=sequence, correlation="toy")
            transaction.wake("tally")
            return answer_of(201, {"value": value})

        return respond(context.once(idempotency_key, subject, "POST", f"/v1/counts/{name}", body, work))

    @get("/v1/broken", sync_to_thread=True)
    def broken() -> dict[str, int]:
        raise ValueError("jane@example.com broke it")

    return [show, change, broken]


def tally(context: ServiceContext) -> bool:
    """Timer: count its own turns."""
    with context.write() as transaction:
        add(transaction, "tally", 1)
    return False


CARD = Service(
    name="toy",
    routes=routes,
    subscriptions={ProductAdded: count_product},
    publications=frozenset({StockReceived}),
    store=TABLES,
    timers=(Timer("tally", every_s=3600, run=tally),),
)
