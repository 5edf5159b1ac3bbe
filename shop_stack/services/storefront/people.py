"""What the storefront holds of a person: shown for an export, and what is dropped at their erasure."""

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler

from shop_stack.envelope import Envelope
from shop_stack.events import CustomerErased, Quantity
from shop_stack.hosting.service import ServiceContext, Transaction
from shop_stack.services import scrubbing
from shop_stack.services.answers import PathId
from shop_stack.services.storefront import store

_MOST_EVENTS = 10_000
_KEPT = ["events of what was looked at, under the id alone, for as long as the log keeps them"]


class CartOfPerson(msgspec.Struct):
    """A cart as an export tells it."""

    cart_id: str
    lines: list[Quantity]


class StorefrontOfPerson(msgspec.Struct):
    """A person's carts, and the newest ten thousand events of what they looked at (CloudEvents)."""

    carts: list[CartOfPerson]
    behaviour: list[msgspec.Raw]


def person_route(context: ServiceContext) -> HTTPRouteHandler:
    """For customers, by the mesh alone: the gateway has no route to it."""

    @get("/v1/people/{customer_id:str}/shopping", sync_to_thread=True)
    def show_person(customer_id: PathId) -> StorefrontOfPerson:
        """What is held of a person; nothing of an unknown one."""
        with context.read() as connection:
            carts = store.of_subject(connection, customer_id)
            behaviour = store.behaviour_of(connection, customer_id, _MOST_EVENTS)
        lines = [[Quantity(product, units) for product, units in cart.lines.items()] for cart in carts]
        told = [CartOfPerson(cart.cart_id, content) for cart, content in zip(carts, lines, strict=True)]
        return StorefrontOfPerson(told, [msgspec.Raw(event) for event in behaviour])

    return show_person


def forget_person(transaction: Transaction, envelope: Envelope[CustomerErased], context: ServiceContext) -> None:
    """Drop the person's carts, and the kept answers to their requests."""
    carts = store.forget_subject(transaction.connection, envelope.data.customer_id)
    answers = scrubbing.forget_requests(transaction.connection, envelope.data.customer_id)
    dropped = {what: rows for what, rows in (("carts", carts), ("kept answers", answers)) if rows}
    scrubbing.note(transaction, envelope.data, dropped, _KEPT)
