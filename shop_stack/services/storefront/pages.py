"""Pages composed of what several services answer; a slow or dead one is missing from the page and named on it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextvars import copy_context
from typing import TypeVar
from urllib.parse import quote

import msgspec

from shop_stack.errors import MeshError
from shop_stack.hosting.service import Answer, Mesh

CATALOG_S = 0.8
ASIDE_S = 0.3  # for what a page can do without
_PARALLEL = 16
T = TypeVar("T")


class ItemView(msgspec.Struct):
    """A product as the catalog shows it."""

    product_id: str
    name: str
    category: str
    list_price_minor: int
    currency: str


class StockView(msgspec.Struct):
    """How many units can be bought now."""

    available: int


class Recommended(msgspec.Struct):
    """A product that goes with the one shown."""

    product_id: str
    name: str


class ProductPage(msgspec.Struct):
    """A product's page; `degraded` names the services whose part is missing."""

    product: ItemView | None
    stock: StockView | None
    recommendations: list[Recommended]
    degraded: list[str]


class SearchPage(msgspec.Struct):
    """A page of search results; `degraded` is ["catalog"] when it did not answer."""

    items: list[ItemView]
    page: int
    size: int
    total: int
    degraded: list[str]
    words: list[str] = []


class _Stock(msgspec.Struct):
    product_id: str
    available: int


class _Stocks(msgspec.Struct):
    items: list[_Stock]


class _Items(msgspec.Struct):
    items: list[ItemView]
    page: int
    size: int
    total: int
    words: list[str] = []


class _Recommendations(msgspec.Struct):
    items: list[Recommended]


class NoSuchProduct(Exception):
    """The catalog answered that there is no such product."""


class Composer:
    """Asks other services on a few threads of its own, with the trace of the request."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="page-part")

    def product_page(self, product_id: str, subject: str) -> ProductPage:
        """The page of a product, within about a second. Raises NoSuchProduct when the catalog says so."""
        name = quote(product_id, safe="")
        stock = self._aside("inventory", f"/v1/stock?ids={name}", subject)
        others = self._aside("recommendations", f"/v1/recommendations/{name}?n=6", subject)
        degraded: list[str] = []
        shown = _part("catalog", degraded, lambda: self._product(name, subject))
        stocks = _part("inventory", degraded, lambda: _read(stock.result(ASIDE_S), _Stocks).items)
        recommended = _part("recommendations", degraded, lambda: _read(others.result(ASIDE_S), _Recommendations).items)
        available = next((s.available for s in stocks or [] if s.product_id == product_id), 0)
        return ProductPage(
            product=shown,
            stock=None if stocks is None else StockView(available),
            recommendations=recommended or [],
            degraded=degraded,
        )

    def search_page(self, query: str, page: int, size: int, subject: str) -> SearchPage:
        """A page (from 1) of what the catalog finds; empty and degraded when it does not answer."""
        degraded: list[str] = []
        path = f"/v1/products?q={quote(query, safe='')}&page={page}&size={size}"
        found = _part(
            "catalog",
            degraded,
            lambda: _read(self._mesh.get("catalog", path, deadline_s=CATALOG_S, subject=subject), _Items),
        )
        if found is None:
            return SearchPage([], page, size, 0, degraded)
        return SearchPage(found.items, found.page, found.size, found.total, degraded, found.words)

    def prices(self, product_ids: list[str], subject: str) -> dict[str, int]:
        """List prices (minor units) of those products that are sold. Raises MeshError."""
        ids = ",".join(quote(product_id, safe="") for product_id in product_ids)
        answer = self._mesh.get("catalog", f"/v1/products?ids={ids}", subject=subject)
        try:
            return {item.product_id: item.list_price_minor for item in _read(answer, _Items).items}
        except _Unusable as error:
            raise MeshError(f"the catalog's prices cannot be read: {error}") from error

    def _product(self, name: str, subject: str) -> ItemView:
        answer = self._mesh.get("catalog", f"/v1/products/{name}", deadline_s=CATALOG_S, subject=subject)
        if answer.status == 404:
            raise NoSuchProduct
        return _read(answer, ItemView)

    def _aside(self, service: str, path: str, subject: str) -> "Future[Answer]":
        def ask() -> Answer:
            return self._mesh.get(service, path, deadline_s=ASIDE_S, subject=subject)

        return self._pool.submit(copy_context().run, ask)


class _Unusable(Exception):
    """A service answered something else than was asked for."""


def _read(answer: Answer, shape: type[T]) -> T:
    if answer.status != 200:
        raise _Unusable(f"HTTP {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except msgspec.MsgspecError as error:
        raise _Unusable(str(error)) from error


def _part(service: str, degraded: list[str], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (MeshError, FutureTimeout, _Unusable):
        degraded.append(service)
        return None
