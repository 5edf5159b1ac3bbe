"""Recommendations at work: orders kept as baskets, baskets counted many at a time, and the two answers."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from sqlalchemy import Connection

from shop_stack.envelope import Envelope
from shop_stack.events import Line, OrderCompleted, PastOrderRecorded, ProductAdded
from shop_stack.hosting.service import ServiceContext, Transaction
from shop_stack.services.answers import to_us
from shop_stack.services.recommendations import rules, store

_ANSWER_GOOD_FOR_US = 30_000_000
_MOST = 20
_KEPT_ANSWERS = 5000
_PRODUCTS = "products"
"""What who writes products holds first: baskets are counted by one replica at a time, into many rows."""
HowMany = Annotated[int, QueryParameter(ge=1, le=_MOST)]
PathId = Annotated[str, PathParameter(min_length=1, max_length=64)]
ForSubject = Annotated[str | None, QueryParameter(max_length=64)]


class Recommended(msgspec.Struct):
    """A product, and why: `bought_together` with a cosine of 0..1, or `popular`."""

    product_id: str
    name: str
    because: str
    score: float


class Recommendations(msgspec.Struct):
    """The best first; empty when nothing is known yet."""

    items: list[Recommended]


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The recommendations' HTTP handlers."""
    kept = _Kept(context)

    @get("/v1/recommendations/{product_id:str}", sync_to_thread=True)
    def with_product(product_id: PathId, n: HowMany = 6) -> Recommendations:
        return Recommendations(kept.beside(product_id)[:n])

    @get("/v1/recommendations", sync_to_thread=True)
    def for_shopper(n: HowMany = 6, subject: ForSubject = None) -> Recommendations:
        """Popular products. What a named shopper has bought is not given away on this public path."""
        return Recommendations(kept.beside("")[:n])

    return [with_product, for_shopper]


class _Kept:
    """Answers of one process, each good for half a minute: what is bought together changes slowly."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._answers: dict[str, tuple[int, list[Recommended]]] = {}

    def beside(self, product_id: str) -> list[Recommended]:
        """What goes with a product, filled up with what is popular; only the latter for the empty id."""
        now_us = to_us(self._context.now())
        kept = self._answers.get(product_id)
        if kept is not None and now_us - kept[0] < _ANSWER_GOOD_FOR_US:
            return kept[1]
        with self._context.read() as connection:
            answer = recommend(connection, product_id)
        if len(self._answers) >= _KEPT_ANSWERS:
            self._answers = {}
        if answer:
            self._answers[product_id] = (now_us, answer)
        return answer


def recommend(connection: Connection, product_id: str) -> list[Recommended]:
    """Up to 20 products that go with this one, by cosine, then popular ones."""
    orders = store.orders_of(connection, product_id)
    beside = [
        Recommended(n.product_id, n.name, "bought_together", round(rules.cosine(n.together, orders, n.orders), 4))
        for n in (store.neighbours(connection, product_id) if orders else [])
    ]
    best = sorted(beside, key=lambda item: (-item.score, item.product_id))[:_MOST]
    shown = {item.product_id for item in best} | {product_id}
    popular = [Recommended(*found, "popular", 0.0) for found in store.popular(connection, 2 * _MOST + 1)]
    return (best + [item for item in popular if item.product_id not in shown])[:_MOST]


def learn_product(transaction: Transaction, event: Envelope[ProductAdded], context: ServiceContext) -> None:
    """Note a new product's name and popularity."""
    added = event.data
    transaction.hold(_PRODUCTS)
    store.name_product(transaction.connection, added.product_id, added.name, added.popularity)


def learn_order(transaction: Transaction, event: Envelope[OrderCompleted], context: ServiceContext) -> None:
    """Keep a completed order's basket."""
    _keep(transaction, event.data.order_id, event.data.lines)


def learn_past_order(transaction: Transaction, event: Envelope[PastOrderRecorded], context: ServiceContext) -> None:
    """Keep the basket of an order from before; of simulated ones a sample."""
    past = event.data
    if rules.learns_from(past.order_id, past.origin):
        _keep(transaction, past.order_id, past.lines)


def _keep(transaction: Transaction, order_id: str, lines: Sequence[Line]) -> None:
    held = rules.basket(order_id, (line.product_id for line in lines))
    if held:
        store.add_basket(transaction.connection, held, to_us(transaction.now))


def fold_baskets(context: ServiceContext) -> bool:
    """Timer: count the oldest baskets into products and their neighbours."""
    with context.read() as connection:
        if not rules.fold_is_due(*store.waiting(connection), to_us(context.now())):
            return False
    with context.write() as transaction:
        transaction.hold(_PRODUCTS)
        baskets = store.take_baskets(transaction.connection, rules.MAX_FOLD)
        store.count(transaction.connection, *rules.counted(baskets))
    return len(baskets) == rules.MAX_FOLD
