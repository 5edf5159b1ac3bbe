"""What orders holds of a person: shown for an export, and what is dropped at their erasure."""

from datetime import datetime

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler

from shop_stack.envelope import Envelope
from shop_stack.events import CustomerErased, Line
from shop_stack.hosting.service import ServiceContext, Transaction
from shop_stack.services import scrubbing
from shop_stack.services.answers import PathId
from shop_stack.services.orders import rules, store

_KEPT = ["orders under the id alone (products, amounts, times), because books are to be kept"]


class OrderOfPerson(msgspec.Struct):
    """An order as an export tells it; amounts in minor units."""

    order_id: str
    customer_id: str
    state: str
    placed_at: datetime
    total_minor: int
    lines: list[Line]
    reason: str | None


class OrdersOfPerson(msgspec.Struct):
    """All orders of a person, and how many of them are not over yet."""

    open_orders: int
    orders: list[OrderOfPerson]


def person_route(context: ServiceContext) -> HTTPRouteHandler:
    """For customers, by the mesh alone: the gateway has no route to it."""

    @get("/v1/people/{customer_id:str}/orders", sync_to_thread=True)
    def show_person(customer_id: PathId) -> OrdersOfPerson:
        """What is held of a person; nothing of an unknown one."""
        with context.read() as connection:
            found = store.of_customer(connection, customer_id)
        return OrdersOfPerson(sum(map(rules.is_open, found)), [_told(order) for order in found])

    return show_person


def forget_person(transaction: Transaction, envelope: Envelope[CustomerErased], context: ServiceContext) -> None:
    """Drop the kept answers to the person's requests; the orders bear nothing of them but the id."""
    answers = scrubbing.forget_requests(transaction.connection, envelope.data.customer_id)
    scrubbing.note(transaction, envelope.data, {"kept answers": answers} if answers else {}, _KEPT)


def _told(order: rules.Order) -> OrderOfPerson:
    return OrderOfPerson(
        order_id=order.order_id,
        customer_id=order.customer_id,
        state=order.state,
        placed_at=order.placed_at,
        total_minor=order.total_minor,
        lines=order.lines,
        reason=order.reason,
    )
