"""Pages of search results, encoded once for each revision of the catalog."""

import msgspec
from sqlalchemy import Connection

from shop_stack.hosting.service import Answer
from shop_stack.services.answers import answer_of
from shop_stack.services.catalog import store
from shop_stack.services.catalog.rules import Product, query_words

_KEPT_PAGES = 2000


class ItemView(msgspec.Struct):
    """A product as shoppers see it."""

    product_id: str
    name: str
    category: str
    list_price_minor: int
    currency: str
    popularity: float


class ItemPage(msgspec.Struct):
    """A page (from 1) of products; `words` are the query's words that stand in the catalog's vocabulary."""

    items: list[ItemView]
    page: int
    size: int
    total: int
    words: list[str]


def item_view(product: Product, currency: str) -> ItemView:
    """A product as shoppers see it, its price in `currency`."""
    return ItemView(
        product.product_id, product.name, product.category, product.list_price_minor, currency, product.popularity
    )


class Pages:
    """Search results of one process; they are good for one revision, which is read from the shared store each time."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._kept: tuple[int, dict[tuple[str, int, int], Answer]] = (-1, {})

    def search(self, connection: Connection, query: str, page: int, size: int) -> Answer:
        """A page of products for a query; all products when it has no word."""
        revision = store.revision(connection)
        at, kept = self._kept
        if at != revision or len(kept) >= _KEPT_PAGES:
            kept = {}
            self._kept = (revision, kept)
        words = query_words(query)
        key = (" ".join(words), page, size)
        answer = kept.get(key)
        if answer is None:
            answer = kept[key] = self._read(connection, words, page, size)
        return answer

    def _read(self, connection: Connection, words: list[str], page: int, size: int) -> Answer:
        found, total = store.search(connection, words, page, size)
        items = [item_view(product, self._currency) for product in found]
        known = store.known_words(connection, words) if words else []
        return answer_of(200, ItemPage(items=items, page=page, size=size, total=total, words=known))
