"""The recommendations' database: baskets not counted yet, orders by product, and orders by pair of products."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from shop_stack.services.recommendations.rules import Pair

METADATA = MetaData()

_baskets = Table(
    "baskets",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("products", Text, nullable=False),
)
_products = Table(
    "products",
    METADATA,
    Column("product_id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("popularity", Float, nullable=False),
    Column("orders", Integer, nullable=False),
    Index("products_by_orders", "orders", "popularity"),
)
_pairs = Table(
    "pairs",
    METADATA,
    Column("first_id", String(64), primary_key=True),
    Column("second_id", String(64), primary_key=True),
    Column("together", Integer, nullable=False),
    Index("pairs_by_second", "second_id"),
    sqlite_with_rowid=False,
)
_names = msgspec.json.Decoder(list[str])
_add_basket = _baskets.insert()


@dataclass(frozen=True)
class Neighbour:
    """A product bought together with another: in `together` orders, of `orders` that hold it at all."""

    product_id: str
    name: str
    together: int
    orders: int


def add_basket(connection: Connection, product_ids: list[str]) -> None:
    """Keep a basket until it is counted; about 20 us."""
    connection.execute(_add_basket, {"products": msgspec.json.encode(product_ids).decode()})


def take_baskets(connection: Connection, at_most: int) -> list[list[str]]:
    """Remove the oldest baskets and return them."""
    rows = connection.execute(select(_baskets).order_by(_baskets.c.id).limit(at_most)).all()
    if rows:
        connection.execute(delete(_baskets).where(_baskets.c.id <= rows[-1][0]))
    return [_names.decode(row[1]) for row in rows]


def baskets_wait(connection: Connection) -> bool:
    """Whether any basket is not counted yet."""
    return connection.execute(select(_baskets.c.id).limit(1)).first() is not None


def name_product(connection: Connection, product_id: str, name: str, popularity: float) -> None:
    """Note what a product is called, and the popularity it came with."""
    known = update(_products).where(_products.c.product_id == product_id)
    if connection.execute(known.values(name=name, popularity=popularity)).rowcount == 0:
        row = {"product_id": product_id, "name": name, "popularity": popularity, "orders": 0}
        connection.execute(_products.insert().values(row))


def count(connection: Connection, products: Mapping[str, int], pairs: Mapping[Pair, int]) -> None:
    """Add to the orders of products and of pairs."""
    seen = [{"product_id": p, "name": "", "popularity": 0.0, "orders": n} for p, n in products.items()]
    if seen:
        connection.execute(_adding(connection, _products, "orders"), seen)
    met = [{"first_id": a, "second_id": b, "together": n} for (a, b), n in pairs.items()]
    if met:
        connection.execute(_adding(connection, _pairs, "together"), met)


def _adding(connection: Connection, table: Table, counter: str) -> Any:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    total = table.c[counter] + insert.excluded[counter]
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_={counter: total})


def prune(connection: Connection, at_most: int) -> int:
    """Drop the rarest pairs until at most so many are left; returns the smallest number of orders kept.

    Lossy counting (Manku and Motwani 2002): a pair that matters is met again.
    """
    least = 1
    while connection.execute(select(func.count()).select_from(_pairs)).scalar_one() > at_most:
        connection.execute(delete(_pairs).where(_pairs.c.together <= least))
        least += 1
    return least


def orders_of(connection: Connection, product_id: str) -> int:
    """In how many counted orders a product stood."""
    return connection.execute(select(_products.c.orders).where(_products.c.product_id == product_id)).scalar() or 0


def neighbours(connection: Connection, product_id: str) -> list[Neighbour]:
    """All products ever bought together with this one that the catalog has named."""
    after = select(_pairs.c.second_id.label("other"), _pairs.c.together).where(_pairs.c.first_id == product_id)
    before = select(_pairs.c.first_id.label("other"), _pairs.c.together).where(_pairs.c.second_id == product_id)
    met = union_all(after, before).subquery()
    found = select(met.c.other, _products.c.name, met.c.together, _products.c.orders).join(
        _products, _products.c.product_id == met.c.other
    )
    return [Neighbour(*row) for row in connection.execute(found.where(_products.c.name != ""))]


def popular(connection: Connection, at_most: int) -> list[tuple[str, str]]:
    """Ids and names of the products in most orders; where none has sold, by the popularity they came with."""
    found = select(_products.c.product_id, _products.c.name).where(_products.c.name != "")
    best = found.order_by(_products.c.orders.desc(), _products.c.popularity.desc(), _products.c.product_id)
    return [(row[0], row[1]) for row in connection.execute(best.limit(at_most))]
