"""The recommendations' database: baskets not counted yet, and each product's orders and neighbours."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
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
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from shop_stack.hosting.statements import Prepared
from shop_stack.services.recommendations.rules import best_neighbours

METADATA = MetaData()

_baskets = Table(
    "baskets",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("products", Text, nullable=False),
    Column("kept_us", BigInteger, nullable=False),
)
_products = Table(
    "products",
    METADATA,
    Column("product_id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("popularity", Float, nullable=False),
    Column("orders", Integer, nullable=False),
    Column("neighbours", Text, nullable=False),  # JSON: orders held together, by the other product's id
    Index("products_by_orders", "orders", "popularity"),
)
_names = msgspec.json.Decoder(list[str])
_counts = msgspec.json.Decoder(dict[str, int])
_IDS_AT_ONCE = 500
_ADD_BASKET = Prepared(_baskets.insert(), columns=("products", "kept_us"))
_WAITING = Prepared(
    select(func.count(), func.min(_baskets.c.kept_us), func.max(_baskets.c.kept_us)).select_from(_baskets)
)


@dataclass(frozen=True)
class Neighbour:
    """A product bought together with another: in `together` orders, of `orders` that hold it at all."""

    product_id: str
    name: str
    together: int
    orders: int


def add_basket(connection: Connection, product_ids: list[str], now_us: int) -> None:
    """Keep a basket until it is counted."""
    _ADD_BASKET.change(connection, {"products": msgspec.json.encode(product_ids).decode(), "kept_us": now_us})


def take_baskets(connection: Connection, at_most: int) -> list[list[str]]:
    """Remove the oldest baskets and return them."""
    oldest = select(_baskets.c.id).order_by(_baskets.c.id).limit(at_most).scalar_subquery()
    taken = delete(_baskets).where(_baskets.c.id.in_(oldest)).returning(_baskets.c.products)
    return [_names.decode(products) for products in connection.execute(taken).scalars()]


def waiting(connection: Connection) -> tuple[int, int, int]:
    """How many baskets are not counted yet, and when the oldest and the newest were kept (0 when there is none)."""
    row = _WAITING.first(connection) or (0, None, None)
    return int(row[0]), int(row[1] or 0), int(row[2] or 0)


def name_product(connection: Connection, product_id: str, name: str, popularity: float) -> None:
    """Note what a product is called, and the popularity it came with."""
    known = update(_products).where(_products.c.product_id == product_id)
    if connection.execute(known.values(name=name, popularity=popularity)).rowcount == 0:
        row = {"product_id": product_id, "name": name, "popularity": popularity, "orders": 0, "neighbours": "{}"}
        connection.execute(_products.insert().values(row))


def count(connection: Connection, products: Mapping[str, int], neighbours: Mapping[str, Counter[str]]) -> None:
    """Add to the orders and the neighbours of products (see rules.counted); the best neighbours are kept."""
    names = list(products)
    for start in range(0, len(names), _IDS_AT_ONCE):
        some = names[start : start + _IDS_AT_ONCE]
        known = _known(connection, some)
        rows = []
        for product_id in some:
            orders, held = known.get(product_id, (0, {}))
            held = best_neighbours(held, neighbours.get(product_id, Counter()))
            rows.append(_row(product_id, orders + products[product_id], held))
        connection.execute(_upsert(connection), rows)


def _known(connection: Connection, product_ids: list[str]) -> dict[str, tuple[int, dict[str, int]]]:
    held = select(_products.c.product_id, _products.c.orders, _products.c.neighbours)
    rows = connection.execute(held.where(_products.c.product_id.in_(product_ids)).with_for_update())
    return {row[0]: (row[1], _counts.decode(row[2])) for row in rows}


def _row(product_id: str, orders: int, neighbours: dict[str, int]) -> dict[str, Any]:
    kept = msgspec.json.encode(neighbours).decode()
    return {"product_id": product_id, "name": "", "popularity": 0.0, "orders": orders, "neighbours": kept}


def _upsert(connection: Connection) -> Any:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(_products)
    changed = {name: insert.excluded[name] for name in ("orders", "neighbours")}
    return insert.on_conflict_do_update(index_elements=[_products.c.product_id], set_=changed)


def orders_of(connection: Connection, product_id: str) -> int:
    """In how many counted orders a product stood."""
    return connection.execute(select(_products.c.orders).where(_products.c.product_id == product_id)).scalar() or 0


def neighbours(connection: Connection, product_id: str) -> list[Neighbour]:
    """The products most often bought together with this one, of those that the catalog has named."""
    held = connection.execute(select(_products.c.neighbours).where(_products.c.product_id == product_id)).scalar()
    together = _counts.decode(held or "{}")
    found = select(_products.c.product_id, _products.c.name, _products.c.orders)
    named = found.where(_products.c.product_id.in_(list(together)), _products.c.name != "")
    return [Neighbour(row[0], row[1], together[row[0]], row[2]) for row in connection.execute(named)]


def popular(connection: Connection, at_most: int) -> list[tuple[str, str]]:
    """Ids and names of the products in most orders; where none has sold, by the popularity they came with."""
    found = select(_products.c.product_id, _products.c.name).where(_products.c.name != "")
    best = found.order_by(_products.c.orders.desc(), _products.c.popularity.desc(), _products.c.product_id)
    return [(row[0], row[1]) for row in connection.execute(best.limit(at_most))]
