"""Payments at work: requests become due provider calls, workers make them, their answers become events."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from litestar import get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from shop_stack.envelope import Envelope
from shop_stack.events import AuthorisationRequested, CaptureRequested, RefundRequested, VoidRequested
from shop_stack.hosting.service import Cause, ServiceContext, Transaction
from shop_stack.services.payments import provider, rules, store
from shop_stack.services.payments.rules import Answer, Call, Change, Payment

CALLS = "provider-calls"
# Longer than the provider may take, so that two workers are at one call only after the first has died.
_LEASE_S = 3 * provider.TIMEOUT_S


class PaymentView(msgspec.Struct):
    """An order's payment as operators see it; `goal` is where orders wants it."""

    order_id: str
    state: str
    goal: str
    amount_minor: int
    provider_reference: str | None
    attempts: int


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The payments' HTTP handlers."""

    @get("/v1/payments/{order_id:str}", sync_to_thread=True)
    def show_payment(order_id: FromPath[str]) -> PaymentView:
        return view(context, order_id)

    return [show_payment]


def view(context: ServiceContext, order_id: str) -> PaymentView:
    """The order's payment. Raises HTTPException 404 when none was ever asked for."""
    with context.read() as connection:
        kept = store.get(connection, order_id)
    if kept is None:
        raise HTTPException(status_code=404, detail="no payment was asked for with this order id")
    paid = kept.payment
    return PaymentView(order_id, paid.state, paid.goal, paid.amount_minor, paid.reference, paid.attempts)


def request_authorisation(
    transaction: Transaction, envelope: Envelope[AuthorisationRequested], context: ServiceContext
) -> None:
    """Write down that the amount is to be held."""
    wanted = envelope.data
    kept = store.get_held(transaction.connection, wanted.order_id)
    change = rules.authorise(kept.payment if kept else None, wanted.order_id, wanted.amount_minor)
    _request(transaction, kept, change, _cause(envelope))


def request_capture(transaction: Transaction, envelope: Envelope[CaptureRequested], context: ServiceContext) -> None:
    """Write down that the held amount is to be taken."""
    kept = store.get_held(transaction.connection, envelope.data.order_id)
    _request(transaction, kept, rules.capture(kept.payment if kept else None), _cause(envelope))


def request_drop(
    transaction: Transaction, envelope: Envelope[VoidRequested | RefundRequested], context: ServiceContext
) -> None:
    """Write down that the money is to be given back, held or taken."""
    order_id = envelope.data.order_id
    kept = store.get_held(transaction.connection, order_id)
    _request(transaction, kept, rules.drop(kept.payment if kept else None, order_id), _cause(envelope))


def call_provider(context: ServiceContext) -> bool:
    """Timer: make the provider call that is due longest, then record its answer in a transaction of its own."""
    with context.read() as connection:
        if not store.is_any_due(connection, context.now()):
            return False
    with context.write() as transaction:
        claimed = _claim(transaction)
    if claimed is None:
        return False
    payment, step = claimed.payment, rules.next_call(claimed.payment)
    if step is not None:
        port = context.settings.ports["provider"]
        answer = provider.call(port, step, rules.key(payment, step), payment.order_id, payment.amount_minor)
        record(context, claimed, step, answer)
    return True


def _claim(transaction: Transaction) -> store.Kept | None:
    lease = transaction.now + timedelta(seconds=_LEASE_S)
    claimed = store.claim(transaction.connection, transaction.now, lease)
    if claimed is not None and rules.next_call(claimed.payment) is None:
        store.change(transaction.connection, claimed.payment, None, claimed.cause)
    return claimed


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


def _request(transaction: Transaction, kept: store.Kept | None, change: Change | None, cause: Cause) -> None:
    if change is None:
        return
    due = _due(change.payment, transaction.now)
    if kept is None:
        store.add(transaction.connection, change.payment, due, cause)
    elif kept.claimed:
        store.ask(transaction.connection, change.payment, cause)
    else:
        store.change(transaction.connection, change.payment, due, cause)
    _publish(transaction, change)
    if due is not None:
        transaction.wake(CALLS)


def _due(payment: Payment, now: datetime) -> datetime | None:
    return now if rules.next_call(payment) else None


def _publish(transaction: Transaction, change: Change) -> None:
    if change.event is not None:
        order_id = change.payment.order_id
        transaction.publish(change.event, subject=order_id, sequence=change.payment.version, correlation=order_id)


def _cause(envelope: Envelope[AuthorisationRequested | CaptureRequested | VoidRequested | RefundRequested]) -> Cause:
    return Cause(envelope.id, envelope.correlationid, envelope.traceparent)
