"""The catalog's database: products, the words that find them, and a revision that counts the changes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    func,
    select,
    update,
)

from shop_stack.hosting.statements import Prepared
from shop_stack.services.catalog.rules import LAST, Product, product_words

METADATA = MetaData()

_products = Table(
    "products",
    METADATA,
    Column("product_id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("category", String(100), nullable=False),
    Column("list_price_minor", BigInteger, nullable=False),
    Column("popularity", Float, nullable=False),
    Column("opening_stock", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Index("products_by_popularity", "popularity", "product_id"),
)
# Prefixes are compared as ranges of code points, whatever the database's own collation.
_word = String(40).with_variant(String(40, collation="C"), "postgresql")
_words = Table(
    "words",
    METADATA,
    Column("word", _word, primary_key=True),
    Column("product_id", String(64), primary_key=True),
)
_revision = Table("revision", METADATA, Column("id", Integer, primary_key=True), Column("revision", BigInteger))

_FIELDS = [_products.c[name] for name in Product.__dataclass_fields__]
_REVISION = Prepared(select(_revision.c.revision))
_GET = Prepared(select(*_FIELDS).where(_products.c.product_id == bindparam("product")))
_GET_SOME = Prepared(select(*_FIELDS).where(_products.c.product_id.in_(bindparam("products", expanding=True))))
_by_popularity = (_products.c.popularity.desc(), _products.c.product_id)


def prepare(connection: Connection) -> None:
    """Write the revision's row into a new store."""
    if connection.execute(select(_revision.c.id)).first() is None:
        connection.execute(_revision.insert().values(id=1, revision=0))


def revision(connection: Connection) -> int:
    """How often the catalog has changed; the same number means the same answers."""
    row = _REVISION.first(connection)
    return row[0] if row else 0


def raise_revision(connection: Connection) -> None:
    """Note that the catalog changed."""
    connection.execute(update(_revision).values(revision=_revision.c.revision + 1))


def product(connection: Connection, product_id: str) -> Product | None:
    """One product."""
    row = _GET.first(connection, {"product": product_id})
    return Product(*row) if row else None


def products(connection: Connection, product_ids: Sequence[str]) -> dict[str, Product]:
    """The products of these ids that there are."""
    rows = _GET_SOME.rows(connection, {"products": list(product_ids)})
    return {row[0]: Product(*row) for row in rows}


def add(connection: Connection, added: Sequence[Product]) -> None:
    """Store new products with the words that find them."""
    if not added:
        return
    connection.execute(_products.insert(), [vars(product) for product in added])
    found_by = [{"word": word, "product_id": p.product_id} for p in added for word in product_words(p)]
    if found_by:
        connection.execute(_words.insert(), found_by)


def change_price(connection: Connection, product_id: str, price_minor: int, version: int) -> bool:
    """Set a list price on the product's `version`; False when it has moved on."""
    at_version = update(_products).where(_products.c.product_id == product_id, _products.c.version == version)
    return connection.execute(at_version.values(list_price_minor=price_minor, version=version + 1)).rowcount == 1


def search(connection: Connection, words: Sequence[str], page: int, size: int) -> tuple[list[Product], int]:
    """A page (from 1) of the products that each word begins a word of, popular ones first; and how many there are.

    Words are bound as parameters and compared as ranges: nothing in them is an operator or a wildcard.
    """
    matching = _matching(select(*_FIELDS), words)
    rows = connection.execute(matching.order_by(*_by_popularity).limit(size).offset((page - 1) * size))
    found = [Product(*row) for row in rows]
    total = connection.execute(_matching(select(func.count()).select_from(_products), words)).scalar_one()
    return found, int(total)


def _matching(query: Select[Any], words: Sequence[str]) -> Select[Any]:
    for word in words:
        having = select(_words.c.product_id).where(_words.c.word >= word, _words.c.word < word + LAST)
        query = query.where(_products.c.product_id.in_(having))
    return query


def known_words(connection: Connection, words: Sequence[str]) -> list[str]:
    """Those of the words that stand in the catalog's vocabulary, whole."""
    known = set(connection.execute(select(_words.c.word).where(_words.c.word.in_(words)).distinct()).scalars())
    return [word for word in words if word in known]
