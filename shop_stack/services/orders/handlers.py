"""Orders at work: the checkout over HTTP, the participants' answers, and the deadlines."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Meta

from shop_stack.envelope import Envelope
from shop_stack.events import Line, WorkInHand
from shop_stack.hosting.service import Answer, Cause, ServiceContext, Transaction
from shop_stack.ids import uuid7
from shop_stack.leads import Lead, leads_to
from shop_stack.services.answers import SAME_SUBJECT, IdempotencyKey, Subject, answer_of, answers_with, respond
from shop_stack.services.orders import rules, store
from shop_stack.services.orders.cart import Refusal, read_priced_cart
from shop_stack.services.orders.people import person_route

_DEADLINES_AT_ONCE = 50


class OrderWanted(msgspec.Struct, forbid_unknown_fields=True):
    """A checkout: the cart, and the total in minor units that the shopper has agreed to."""

    cart_id: Annotated[str, Meta(min_length=1, max_length=64)]
    expected_total: Annotated[int, Meta(ge=0)]


class OrderAccepted(msgspec.Struct):
    """An order that is committed and goes on by itself; the total in minor units."""

    order_id: str
    state: str
    total_minor: int


class OrderView(msgspec.Struct):
    """An order as its shopper sees it; `reason` says why it was rejected or cancelled."""

    order_id: str
    state: str
    total_minor: int
    lines: list[Line]
    reason: str | None


_ORDER = {"path.order_id": "$response.body#/order_id"}
_FROM_AN_ORDER = leads_to(
    Lead("get", "/v1/orders/{order_id}", {**SAME_SUBJECT, **_ORDER}),
    Lead("post", "/v1/orders/{order_id}/cancellation", {**SAME_SUBJECT, **_ORDER}),
    Lead("get", "/v1/payments/{order_id}", _ORDER),
    Lead("get", "/v1/shipments/{order_id}", _ORDER),
)


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The orders' HTTP handlers."""

    @post(
        "/v1/orders",
        sync_to_thread=True,
        status_code=202,
        responses=answers_with(202, OrderAccepted),
        opt=_FROM_AN_ORDER,
    )
    def place_order(
        data: OrderWanted, body: bytes, subject: Subject, idempotency_key: IdempotencyKey
    ) -> Response[bytes]:
        return respond(place(context, data, body, subject, idempotency_key))

    @get("/v1/orders/{order_id:str}", sync_to_thread=True)
    def show_order(order_id: FromPath[str], subject: Subject) -> OrderView:
        return _view(own_order(context, order_id, subject))

    @post("/v1/orders/{order_id:str}/cancellation", status_code=202, sync_to_thread=True)
    def cancel_order(order_id: FromPath[str], subject: Subject) -> OrderView:
        return _view(cancel(context, order_id, subject))

    return [place_order, show_order, cancel_order, person_route(context)]


def place(context: ServiceContext, wanted: OrderWanted, body: bytes, subject: str, key: str) -> Answer:
    """Place an order over the cart at today's prices; 202 once it and its first events are committed.

    The mesh is read before the transaction, and what it says against the order is raised inside, where a repeat
    of a request that was already answered never comes. Raises HTTPException: 404, 409 (another total), 422, 503.
    """
    priced = read_priced_cart(context.mesh, wanted.cart_id, subject)

    def work(transaction: Transaction) -> Answer:
        if isinstance(priced, Refusal):
            raise HTTPException(status_code=priced.status, detail=priced.detail, headers=priced.headers)
        total = rules.total_minor(priced)
        if total != wanted.expected_total:
            raise HTTPException(
                status_code=409,
                detail=f"the total is now {total} minor units, not {wanted.expected_total}; agree and order again",
                extra={"total_minor": total},
            )
        order_id = uuid7(transaction.now)
        step = rules.place(order_id, subject, wanted.cart_id, priced, transaction.now, _patience(context))
        _keep(transaction, step, None)
        return answer_of(202, OrderAccepted(order_id, step.order.state, total))

    return context.once(key, subject, "POST", "/v1/orders", body, work)


def own_order(context: ServiceContext, order_id: str, subject: str) -> rules.Order:
    """The subject's own order. Raises HTTPException 404 for any other."""
    with context.read() as connection:
        return _own(store.get(connection, order_id), subject)


def cancel(context: ServiceContext, order_id: str, subject: str) -> rules.Order:
    """Call the subject's own order off; calling off twice is calling off once.

    Raises HTTPException: 404 for a foreign order, 409 once the money was taken.
    """
    with context.write(Cause(correlation=order_id)) as transaction:
        order = _own(store.get_held(transaction.connection, order_id), subject)
        if order.state in ("cancelling", "cancelled"):
            return order
        step = rules.advance(order, rules.CancellationAsked(), transaction.now, _patience(context))
        if step is None:
            raise HTTPException(
                status_code=409, detail=f"the order is {order.state} already and can no longer be called off"
            )
        _keep(transaction, step, order)
        return step.order


def advance(transaction: Transaction, envelope: Envelope[Any], context: ServiceContext) -> None:
    """A participant has answered: take the order's next step. An order that is not ours changes nothing."""
    order = store.get_held(transaction.connection, envelope.data.order_id)
    if order is None:
        return
    step = rules.advance(order, envelope.data, transaction.now, _patience(context))
    if step is not None:
        _keep(transaction, step, order)


def pass_deadlines(context: ServiceContext) -> bool:
    """Timer: move every order whose step took too long; whichever replica comes first takes it.

    A process that has only just begun waits for half a step: answers that came while nobody read may lie in the log,
    and an order is not to be called off for those.
    """
    if context.now() - context.began < timedelta(seconds=context.stack.checkout.step_deadline_s / 2):
        return False
    with context.read() as connection:
        if not store.is_any_due(connection, context.now()):
            return False
    with context.write() as transaction:
        late = store.due(transaction.connection, transaction.now, _DEADLINES_AT_ONCE)
        for order in late:
            _pass_deadline(transaction, order, _patience(context))
    return len(late) == _DEADLINES_AT_ONCE


def work_in_hand(context: ServiceContext) -> list[WorkInHand]:
    """The open orders by whom they wait for; their age is counted from when they were placed."""
    with context.read() as connection:
        found = store.open_by_step(connection)
    waiting: dict[str, WorkInHand] = {}
    for state, money_open, count, first in found:
        asked = rules.answers_next(state, money_open)
        if asked is not None:
            items, oldest_s = count, (context.now() - first).total_seconds()
            if before := waiting.get(asked):
                items, oldest_s = items + before.items, max(oldest_s, before.oldest_s)
            waiting[asked] = WorkInHand(kind="order", waits_for=asked, items=items, oldest_s=oldest_s)
    return list(waiting.values())


def _patience(context: ServiceContext) -> rules.Patience:
    checkout, delivery_s = context.stack.checkout, context.settings.delivery_seconds
    return rules.Patience(checkout.step_deadline_s, checkout.delivery_seconds if delivery_s is None else delivery_s)


def _pass_deadline(transaction: Transaction, order: rules.Order, patience: rules.Patience) -> None:
    step = rules.advance(order, rules.DeadlinePassed(), transaction.now, patience)
    if step is None:
        store.forget_deadline(transaction.connection, order.order_id)
    else:
        _keep(transaction, step, order)


def _keep(transaction: Transaction, step: rules.Step, before: rules.Order | None) -> None:
    """Store an order's step and publish its events under the versions that follow the order's last."""
    order = step.order
    deadline = transaction.now + timedelta(seconds=step.wait_s) if step.wait_s is not None else None
    if before is None:
        store.add(transaction.connection, order, deadline)
    else:
        store.change(transaction.connection, order, before.version, deadline)
    version = before.version if before else 0
    for event in step.events:
        subject, sequence = order.order_id, None
        if rules.takes_version(event):
            version += 1
            sequence = version
        else:
            subject = rules.incident_id(order)
        transaction.publish(event, subject=subject, sequence=sequence, correlation=order.order_id)


def _own(order: rules.Order | None, subject: str) -> rules.Order:
    if order is None or order.customer_id != subject:
        raise HTTPException(status_code=404, detail="you have no order of this id")
    return order


def _view(order: rules.Order) -> OrderView:
    return OrderView(order.order_id, order.state, order.total_minor, order.lines, order.reason)
