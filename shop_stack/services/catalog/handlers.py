"""HTTP of the catalog: reading and searching for everyone, adding and pricing for operators."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import get, post, put
from litestar.exceptions import HTTPException, NotFoundException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter, RawBody
from litestar.response import Response
from msgspec import Meta

from shop_stack.events import PriceChanged, ProductAdded
from shop_stack.hosting.service import Answer, ServiceContext, Transaction
from shop_stack.leads import Lead, leads_to
from shop_stack.services.answers import IdempotencyKey, MaybeSubject, answer_of, answers_with, respond
from shop_stack.services.catalog import store
from shop_stack.services.catalog.pages import ItemPage, ItemView, Pages, item_view
from shop_stack.services.catalog.rules import Product, Verdict, judge_addition

MAX_BATCH = 500
MAX_IDS = 200
_CHANGES = "changes"
"""What who changes the catalog holds first: the revision counts one change after the other."""
ProductId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~:-]{1,64}$")]  # safe in paths and in comma lists
Price = Annotated[int, Meta(ge=1, le=10**12)]


class NewProduct(msgspec.Struct, forbid_unknown_fields=True):
    """A product to add; `list_price_minor` in minor units, `popularity` a relative weight."""

    product_id: ProductId
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    category: Annotated[str, Meta(max_length=100)]
    list_price_minor: Price
    popularity: Annotated[float, Meta(ge=0, le=1e9)] = 1.0
    opening_stock: Annotated[int, Meta(ge=0, le=10**12)] = 0

    def product(self) -> Product:
        """As the catalog keeps it."""
        return Product(**msgspec.structs.asdict(self))


class NewProducts(msgspec.Struct, forbid_unknown_fields=True):
    """Up to 500 products at once, all or none."""

    products: Annotated[list[NewProduct], Meta(min_length=1, max_length=MAX_BATCH)]


class Outcome(msgspec.Struct):
    """What an addition came to, in products."""

    added: int = 0
    unchanged: int = 0
    repriced: int = 0


class NewPrice(msgspec.Struct, forbid_unknown_fields=True):
    """A list price in minor units."""

    list_price_minor: Price


PageNumber = Annotated[int, QueryParameter(ge=1, le=1_000_000)]
PageSize = Annotated[int, QueryParameter(ge=1, le=100)]
Query = Annotated[str, QueryParameter(max_length=200)]
# Visible ASCII, so that even when each character is escaped the address stays below the server's 64 KiB.
Ids = Annotated[str | None, QueryParameter(max_length=16_000, pattern="^[!-~]*$")]

_FIRST, _NEW = "$response.body#/items/0/product_id", "$request.body#/product_id"
_FROM_A_PAGE = leads_to(
    Lead("get", "/v1/products/{product_id}", {"path.product_id": _FIRST}),
    Lead("get", "/v1/pages/products/{product_id}", {"path.product_id": _FIRST}),
    Lead("get", "/v1/stock", {"query.ids": _FIRST}),
    Lead("put", "/v1/carts/{cart_id}", body={"lines": [{"product_id": _FIRST, "quantity": 1}]}),
)
_FROM_A_NEW_PRODUCT = leads_to(
    Lead("get", "/v1/products/{product_id}", {"path.product_id": _NEW}),
    Lead("put", "/v1/products/{product_id}/price", {"path.product_id": _NEW}),
    Lead("post", "/v1/receipts", body={"receipt_id": _NEW, "lines": [{"product_id": _NEW, "quantity": 1}]}),
    Lead("put", "/v1/carts/{cart_id}", body={"lines": [{"product_id": _NEW, "quantity": 1}]}),
)


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The catalog's HTTP handlers."""
    currency = context.stack.currency
    pages = Pages(currency)

    @get("/v1/products", sync_to_thread=True, responses=answers_with(200, ItemPage), opt=_FROM_A_PAGE)
    def list_products(q: Query = "", page: PageNumber = 1, size: PageSize = 20, ids: Ids = None) -> Response[bytes]:
        if ids is not None:
            return respond(_by_ids(context, ids))
        with context.read() as connection:
            return respond(pages.search(connection, q, page, size))

    @get("/v1/products/{product_id:str}", sync_to_thread=True)
    def read_product(product_id: FromPath[str]) -> ItemView:
        with context.read() as connection:
            product = store.product(connection, product_id)
        if product is None:
            raise NotFoundException("the catalog has no product of this id")
        return item_view(product, currency)

    @post("/v1/products", sync_to_thread=True, responses=answers_with(201, Outcome), opt=_FROM_A_NEW_PRODUCT)
    def add_product(
        data: JSONBody[NewProduct], body: RawBody, idempotency_key: IdempotencyKey, subject: MaybeSubject = None
    ) -> Response[bytes]:
        work = _adding([data.product()])
        return respond(context.once(idempotency_key, subject or "", "POST", "/v1/products", body, work))

    @post("/v1/products/batch", sync_to_thread=True, responses=answers_with(201, Outcome))
    def add_products(
        data: JSONBody[NewProducts], body: RawBody, idempotency_key: IdempotencyKey, subject: MaybeSubject = None
    ) -> Response[bytes]:
        work = _adding([new.product() for new in data.products])
        return respond(context.once(idempotency_key, subject or "", "POST", "/v1/products/batch", body, work))

    @put("/v1/products/{product_id:str}/price", sync_to_thread=True)
    def change_price(product_id: FromPath[str], data: JSONBody[NewPrice]) -> ItemView:
        return _change_price(context, product_id, data.list_price_minor)

    return [list_products, read_product, add_product, add_products, change_price]


def prepare(transaction: Transaction, context: ServiceContext) -> None:
    """Make a new store ready."""
    store.prepare(transaction.connection)


def _by_ids(context: ServiceContext, ids: str) -> Answer:
    asked = list(dict.fromkeys(name for name in ids.split(",") if name))
    if len(asked) > MAX_IDS:
        raise ValidationException(f"ids: {len(asked)} products were asked for at once; ask for at most {MAX_IDS}")
    with context.read() as connection:
        known = store.products(connection, asked)
    items = [item_view(known[product_id], context.stack.currency) for product_id in asked if product_id in known]
    return answer_of(200, ItemPage(items=items, page=1, size=len(asked), total=len(items), words=[]))


def _adding(asked: Sequence[Product]) -> "_Addition":
    if len({product.product_id for product in asked}) < len(asked):
        raise HTTPException(status_code=422, detail="products: a product_id stands twice in this batch; send each once")
    return _Addition(asked)


class _Addition:
    """The work of one addition: all products or none."""

    def __init__(self, asked: Sequence[Product]) -> None:
        self._asked = asked

    def __call__(self, transaction: Transaction) -> Answer:
        transaction.hold(_CHANGES)
        known = store.products(transaction.connection, [product.product_id for product in self._asked])
        judged = [(judge_addition(known.get(p.product_id), p), p) for p in self._asked]
        different = [product.product_id for verdict, product in judged if verdict is Verdict.DIFFERENT]
        if different:
            raise HTTPException(status_code=409, detail=_difference(different), extra={"product_ids": different})
        new = [product for verdict, product in judged if verdict is Verdict.NEW]
        repriced = [product for verdict, product in judged if verdict is Verdict.NEW_PRICE]
        store.add(transaction.connection, new)
        for product in new:
            _publish_added(transaction, product)
        for product in repriced:
            _reprice(transaction, known[product.product_id], product.list_price_minor)
        if new or repriced:
            store.raise_revision(transaction.connection)
        outcome = Outcome(added=len(new), unchanged=len(judged) - len(new) - len(repriced), repriced=len(repriced))
        return answer_of(201, outcome)


def _difference(product_ids: Sequence[str]) -> str:
    shown = ", ".join(product_ids[:5]) + (", ..." if len(product_ids) > 5 else "")
    return f"{len(product_ids)} products are in the catalog with other facts ({shown}); only a price may differ"


def _publish_added(transaction: Transaction, product: Product) -> None:
    facts = {name: value for name, value in vars(product).items() if name != "version"}
    transaction.publish(ProductAdded(**facts), subject=product.product_id, sequence=1)


def _reprice(transaction: Transaction, product: Product, price_minor: int) -> None:
    if not store.change_price(transaction.connection, product.product_id, price_minor, product.version):
        raise HTTPException(status_code=409, detail="the product was changed at the same moment; send this again")
    changed = PriceChanged(
        product_id=product.product_id, list_price_minor=price_minor, previous_minor=product.list_price_minor
    )
    transaction.publish(changed, subject=product.product_id, sequence=product.version + 1)


def _change_price(context: ServiceContext, product_id: str, price_minor: int) -> ItemView:
    with context.write() as transaction:
        transaction.hold(_CHANGES)
        product = store.product(transaction.connection, product_id)
        if product is None:
            raise NotFoundException("the catalog has no product of this id")
        if product.list_price_minor != price_minor:
            _reprice(transaction, product, price_minor)
            store.raise_revision(transaction.connection)
            product = store.product(transaction.connection, product_id) or product
    return item_view(product, context.stack.currency)
