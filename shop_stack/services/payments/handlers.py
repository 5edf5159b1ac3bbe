"""Payments at work: requests become due provider calls, workers make them, their answers become events."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from shop_stack.envelope import Envelope
from shop_stack.events import AuthorisationRequested, CaptureRequested, RefundRequested, VoidRequested, WorkInHand
from shop_stack.hosting.service import Cause, ServiceContext, Transaction
from shop_stack.ids import age_s
from shop_stack.services.handover import Handover
from shop_stack.services.payments import provider, rules, store
from shop_stack.services.payments.rules import Answer, Call, Change, Payment
from shop_stack.telemetry import tracing

CALLS = "provider-calls"
WORKERS = 8
# Longer than the provider may take, so that two workers are at one call only after the first has died.
_LEASE_S = provider.TIMEOUT_S + 3
_HANDOVER = Handover(most=2 * WORKERS)


class PaymentView(msgspec.Struct):
    """An order's payment as operators see it; `goal` is where orders wants it."""

    order_id: str
    state: str
    goal: str
    amount_minor: int
    provider_reference: str | None
    attempts: int


class ProviderCallback(msgspec.Struct):
    """What the provider tells of its own accord: the outcome of a call, by the call's key."""

    id: str
    order_id: str
    step: Call
    status: str


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The payments' HTTP handlers; callbacks come by the mesh, the gateway has no route to them."""

    @get("/v1/payments/{order_id:str}", sync_to_thread=True)
    def show_payment(order_id: FromPath[str]) -> PaymentView:
        return view(context, order_id)

    @post("/v1/provider-callbacks", status_code=204, sync_to_thread=True)
    def hear_provider(data: JSONBody[ProviderCallback]) -> None:
        hear(context, data.order_id, data.step)

    return [show_payment, hear_provider]


def view(context: ServiceContext, order_id: str) -> PaymentView:
    """The order's payment. Raises HTTPException 404 when none was ever asked for."""
    with context.read() as connection:
        kept = store.get(connection, order_id)
    if kept is None:
        raise HTTPException(status_code=404, detail="no payment was asked for with this order id")
    paid = kept.payment
    return PaymentView(order_id, paid.state, paid.goal, paid.amount_minor, paid.reference, paid.attempts)


def hear(context: ServiceContext, order_id: str, step: Call) -> None:
    """The provider says that it has an outcome: ask for it now, under the call's own key, instead of later.

    News only while this payment waits to repeat that call. A callback that comes twice, late, early or from someone
    else changes nothing.
    """
    with context.read() as connection:
        if not _waits_for(store.get(connection, order_id), step):
            return
    with context.write() as transaction:
        kept = store.get_held(transaction.connection, order_id)
        if kept is not None and _waits_for(kept, step):
            store.change(transaction.connection, kept.payment, transaction.now, kept.cause)
            transaction.wake(CALLS)


def _waits_for(kept: store.Kept | None, step: Call) -> bool:
    return kept is not None and not kept.claimed and rules.is_worth_asking(kept.payment, step)


def request_authorisation(
    transaction: Transaction, envelope: Envelope[AuthorisationRequested], context: ServiceContext
) -> None:
    """Write down that the amount is to be held."""
    wanted = envelope.data
    kept = store.get_held(transaction.connection, wanted.order_id)
    change = rules.authorise(kept.payment if kept else None, wanted.order_id, wanted.amount_minor)
    _request(transaction, context, kept, change, _cause(envelope))


def request_capture(transaction: Transaction, envelope: Envelope[CaptureRequested], context: ServiceContext) -> None:
    """Write down that the held amount is to be taken."""
    kept = store.get_held(transaction.connection, envelope.data.order_id)
    _request(transaction, context, kept, rules.capture(kept.payment if kept else None), _cause(envelope))


def request_drop(
    transaction: Transaction, envelope: Envelope[VoidRequested | RefundRequested], context: ServiceContext
) -> None:
    """Write down that the money is to be given back, held or taken."""
    order_id = envelope.data.order_id
    kept = store.get_held(transaction.connection, order_id)
    _request(transaction, context, kept, rules.drop(kept.payment if kept else None, order_id), _cause(envelope))


def call_provider(context: ServiceContext) -> bool:
    """Timer: make the provider call that is due longest, then record its answer in a transaction of its own."""
    claimed = _handed_over(context) or _claimed(context)
    if claimed is None:
        return False
    payment, step = claimed.payment, rules.next_call(claimed.payment)
    if step is not None:
        place = context.settings.place("provider")
        told = {"shop.order_id": payment.order_id}
        with tracing.within(context.name, f"provider {step}", "client", claimed.cause.traceparent, told):
            answer = provider.call(place, step, rules.key(payment, step), payment.order_id, payment.amount_minor)
        record(context, claimed, step, answer)
    return True


def _handed_over(context: ServiceContext) -> store.Kept | None:
    """A payment that this process has claimed when it wrote it, and that nobody has taken since."""
    for _ in range(_HANDOVER.waiting(context)):
        handed = _HANDOVER.take(context)
        if handed is None:
            return None
        with context.read() as connection:
            kept = store.get(connection, handed.row_id)
        if kept is None or kept.payment.attempts < handed.attempt:
            _HANDOVER.put_back(context, handed)
        elif kept.claimed and kept.payment.attempts == handed.attempt:
            return kept
    return None


def _claimed(context: ServiceContext) -> store.Kept | None:
    with context.read() as connection:
        if not store.is_any_due(connection, context.now()):
            return None
    with context.write() as transaction:
        claimed = store.claim(transaction.connection, transaction.now, _lease(transaction.now))
        if claimed is not None and rules.next_call(claimed.payment) is None:
            store.change(transaction.connection, claimed.payment, None, claimed.cause)
    return claimed


def _lease(now: datetime) -> datetime:
    return now + timedelta(seconds=_LEASE_S)


def work_in_hand(context: ServiceContext) -> list[WorkInHand]:
    """The provider calls that are due or under way, by kind; their age is that of the request for them."""
    with context.read() as connection:
        found = store.in_hand(connection)
    return [
        WorkInHand(
            kind=rules.kind_of_call(state, goal), waits_for="the provider", items=items,
            oldest_s=age_s(oldest, context.now()),
        )
        for state, goal, items, oldest in found
    ]  # fmt: skip


def record(context: ServiceContext, claimed: store.Kept, step: Call, answer: Answer) -> None:
    """Store what the provider's answer to a claimed call means, publish it, and say when the next call is due.

    An answer that another worker has recorded meanwhile (after this one's lease) changes nothing.
    """
    with context.write(claimed.cause) as transaction:
        kept = store.get_held(transaction.connection, claimed.payment.order_id)
        if kept is None or not rules.awaits(kept.payment, step):
            return
        change = rules.settle(kept.payment, step, answer)
        if change is not None:
            store.change(transaction.connection, change.payment, _due(change.payment, transaction.now), kept.cause)
            _publish(transaction, change)
        else:
            again = transaction.now + timedelta(seconds=rules.wait_s(kept.payment.attempts))
            store.change(transaction.connection, kept.payment, again, kept.cause)


def _request(
    transaction: Transaction, context: ServiceContext, kept: store.Kept | None, change: Change | None, cause: Cause
) -> None:
    if change is None:
        return
    if kept is not None and kept.claimed:
        store.ask(transaction.connection, change.payment, cause)
    else:
        _store_request(transaction, context, change.payment, cause, is_new=kept is None)
    _publish(transaction, change)


def _store_request(
    transaction: Transaction, context: ServiceContext, payment: Payment, cause: Cause, is_new: bool
) -> None:
    """Store the wanted call, claimed at once for a worker of this process unless too many wait for one."""
    due, claimed = _due(payment, transaction.now), False
    if due is not None:
        transaction.wake(CALLS)
        claimed = _HANDOVER.offer(context, payment.order_id, payment.attempts + 1)
        if claimed:
            payment, due = rules.attempted(payment), _lease(transaction.now)
    put = store.add if is_new else store.change
    put(transaction.connection, payment, due, cause, claimed)


def _due(payment: Payment, now: datetime) -> datetime | None:
    return now if rules.next_call(payment) else None


def _publish(transaction: Transaction, change: Change) -> None:
    if change.event is not None:
        order_id = change.payment.order_id
        transaction.publish(change.event, subject=order_id, sequence=change.payment.version, correlation=order_id)


def _cause(envelope: Envelope[AuthorisationRequested | CaptureRequested | VoidRequested | RefundRequested]) -> Cause:
    return Cause(envelope.id, envelope.correlationid, envelope.traceparent)
