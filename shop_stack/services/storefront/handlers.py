"""HTTP of the storefront: pages, carts, priced checkouts; each tells the behaviour topic what the shopper did."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import get, post, put
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter, RawBody
from litestar.response import Response
from msgspec import Meta

from shop_stack.envelope import Envelope
from shop_stack.errors import MeshError
from shop_stack.events import (
    CartChanged,
    CheckoutStarted,
    CustomerSignedIn,
    Event,
    Line,
    ProductsSearched,
    ProductViewed,
    Quantity,
)
from shop_stack.hosting.service import Answer, ServiceContext, Transaction
from shop_stack.leads import Lead, leads_to
from shop_stack.services.answers import (
    SAME_SUBJECT,
    IdempotencyKey,
    PathId,
    Subject,
    answer_of,
    answers_with,
    respond,
    to_us,
)
from shop_stack.services.storefront import rules, store
from shop_stack.services.storefront.pages import Composer, NoSuchProduct, ProductPage, SearchPage
from shop_stack.services.storefront.people import person_route

_CARTS_KEPT = timedelta(days=30)
PageNumber = Annotated[int, QueryParameter(ge=1, le=1_000_000)]
PageSize = Annotated[int, QueryParameter(ge=1, le=100)]
Query = Annotated[str, QueryParameter(max_length=200)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
ProductId = Annotated[str, Meta(pattern="^[!-~]{1,64}$")]  # visible ASCII, of which the catalog's ids are made


class CartLine(msgspec.Struct, forbid_unknown_fields=True):
    """So many units of a product; 0 takes it out."""

    product_id: ProductId
    quantity: Annotated[int, Meta(ge=0, le=rules.MAX_QUANTITY)]


class CartContent(msgspec.Struct, forbid_unknown_fields=True):
    """All lines of a cart."""

    lines: Annotated[list[CartLine], Meta(max_length=2 * rules.MAX_LINES)]


class CartView(msgspec.Struct):
    """A shopper's cart."""

    cart_id: str
    lines: list[Quantity]


class CheckoutAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Which cart to price."""

    cart_id: Id


class Checkout(msgspec.Struct):
    """A cart at the list prices of this moment, in minor units."""

    cart_id: str
    total_minor: int
    lines: list[Line]


_CART = {**SAME_SUBJECT, "path.cart_id": "$response.body#/cart_id"}
_TO_CHECKOUT = Lead("post", "/v1/checkouts", SAME_SUBJECT, {"cart_id": "$response.body#/cart_id"})
_FROM_A_NEW_CART = leads_to(Lead("get", "/v1/carts/{cart_id}", _CART), _TO_CHECKOUT)
_FROM_A_CART = leads_to(
    Lead("put", "/v1/carts/{cart_id}", _CART, {"lines": "$response.body#/lines"}),
    _TO_CHECKOUT,
)
_FROM_A_CHECKOUT = leads_to(
    Lead(
        "post",
        "/v1/orders",
        SAME_SUBJECT,
        {"cart_id": "$response.body#/cart_id", "expected_total": "$response.body#/total_minor"},
    )
)


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The storefront's HTTP handlers."""
    composer = Composer(context.mesh)

    @get("/v1/pages/products/{product_id:str}", sync_to_thread=True)
    def product_page(product_id: PathId, subject: Subject) -> ProductPage:
        try:
            page = composer.product_page(product_id, subject)
        except NoSuchProduct:
            raise NotFoundException("the catalog has no product of this id") from None
        if page.product is not None:
            _tell(context, subject, ProductViewed(session_id=subject, product_id=product_id))
        return page

    @get("/v1/pages/search", sync_to_thread=True)
    def search_page(subject: Subject, q: Query = "", page: PageNumber = 1, size: PageSize = 20) -> SearchPage:
        found = composer.search_page(q, page, size, subject)
        if q.strip() and not found.degraded:
            searched = ProductsSearched(session_id=subject, words=found.words, results=found.total)
            _tell(context, subject, searched)
        return found

    @put("/v1/carts/{cart_id:str}", sync_to_thread=True, opt=_FROM_A_NEW_CART)
    def put_cart(cart_id: PathId, data: JSONBody[CartContent], subject: Subject) -> CartView:
        return _put_cart(context, cart_id, subject, data)

    @get("/v1/carts/{cart_id:str}", sync_to_thread=True, opt=_FROM_A_CART)
    def read_cart(cart_id: PathId, subject: Subject) -> CartView:
        return _view(_own_cart(context, cart_id, subject))

    @post(
        "/v1/checkouts",
        status_code=200,
        sync_to_thread=True,
        responses=answers_with(200, Checkout),
        opt=_FROM_A_CHECKOUT,
    )
    def check_out(
        data: JSONBody[CheckoutAsked], body: RawBody, subject: Subject, idempotency_key: IdempotencyKey
    ) -> Response[bytes]:
        return respond(_check_out(context, composer, data.cart_id, body, subject, idempotency_key))

    return [product_page, search_page, put_cart, read_cart, check_out, person_route(context)]


def _tell(context: ServiceContext, subject: str, event: Event) -> None:
    with context.write() as transaction:
        transaction.publish(event, subject=subject, sequence=None, correlation=subject)


def _put_cart(context: ServiceContext, cart_id: str, subject: str, content: CartContent) -> CartView:
    try:
        wanted = rules.merged(Quantity(line.product_id, line.quantity) for line in content.lines)
    except rules.CartRefused as error:
        raise HTTPException(status_code=422, detail=str(error)) from error
    cart = store.Cart(cart_id, subject, wanted)
    with context.write() as transaction:
        transaction.hold(f"cart {cart_id}")
        known = _owned(store.cart(transaction.connection, cart_id), subject)
        now_us = to_us(transaction.now)
        if known is None:
            store.add(transaction.connection, cart, now_us)
        elif known.lines != wanted:
            store.change(transaction.connection, cart, now_us)
        for product_id, quantity in rules.changes(known.lines if known else {}, wanted).items():
            changed = CartChanged(session_id=subject, cart_id=cart_id, product_id=product_id, quantity=quantity)
            transaction.publish(changed, subject=subject, sequence=None, correlation=subject)
    return _view(cart)


def _owned(cart: store.Cart | None, subject: str) -> store.Cart | None:
    if cart is not None and cart.subject != subject:
        raise NotFoundException("you have no cart of this id; choose another id for a new one")
    return cart


def _own_cart(context: ServiceContext, cart_id: str, subject: str) -> store.Cart:
    return _found(_cart_of(context, cart_id, subject))


def _cart_of(context: ServiceContext, cart_id: str, subject: str) -> store.Cart | None:
    with context.read() as connection:
        cart = store.cart(connection, cart_id)
    return cart if cart is not None and cart.subject == subject else None


def _found(cart: store.Cart | None) -> store.Cart:
    if cart is None:
        raise NotFoundException("you have no cart of this id")
    return cart


def _check_out(
    context: ServiceContext, composer: Composer, cart_id: str, body: bytes, subject: str, key: str
) -> Answer:
    """Price the cart; what stands against it is raised inside `work`, where an answered request never comes again."""
    cart = _cart_of(context, cart_id, subject)
    wanted = cart.lines if cart is not None else {}
    try:
        prices = composer.prices(list(wanted), subject) if wanted else {}
    except MeshError:
        raise HTTPException(
            status_code=503,
            detail="the catalog cannot price the cart just now; try again with the same key",
            headers={"retry-after": "1"},
        ) from None
    lines, unpriced = rules.priced(wanted, prices)

    def work(transaction: Transaction) -> Answer:
        if not _found(cart).lines:
            raise HTTPException(status_code=422, detail="the cart is empty; put something in first")
        if unpriced:
            detail = f"{len(unpriced)} products of the cart are no longer sold; take them out and try again"
            raise HTTPException(status_code=409, detail=detail, extra={"product_ids": unpriced})
        total = rules.total_minor(lines)
        started = CheckoutStarted(session_id=subject, cart_id=cart_id, total_minor=total)
        transaction.publish(started, subject=subject, sequence=None, correlation=subject)
        return answer_of(200, Checkout(cart_id, total, lines))

    return context.once(key, subject, "POST", "/v1/checkouts", body, work)


def _view(cart: store.Cart) -> CartView:
    return CartView(cart.cart_id, [Quantity(product_id, quantity) for product_id, quantity in cart.lines.items()])


def adopt_carts(transaction: Transaction, event: Envelope[CustomerSignedIn], context: ServiceContext) -> None:
    """A guest who signs in keeps the cart."""
    if event.data.guest_id is not None:
        store.adopt(transaction.connection, event.data.guest_id, event.data.customer_id)


def forget_old_carts(context: ServiceContext) -> bool:
    """Timer: drop carts that nobody has touched for thirty days."""
    with context.write() as transaction:
        store.forget(transaction.connection, to_us(transaction.now - _CARTS_KEPT))
    return False
