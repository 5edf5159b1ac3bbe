"""What becomes of a payment: which call of the provider is next, and what its answer means."""

from typing import Literal

import msgspec

from shop_stack.events import (
    Event,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
)

State = Literal["wanted", "authorised", "declined", "captured", "voided", "refunded"]
Goal = Literal["authorised", "captured", "dropped"]
Call = Literal["authorise", "capture", "void", "refund"]


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """An order's payment: where it stands, and where orders wants it.

    `attempts` counts the calls sent since the last clear answer: when it is not 0, the provider may have done
    more than `state` says. `version` counts the events published. `reference` is the provider's, once it holds
    the money.
    """

    order_id: str
    amount_minor: int
    state: State
    goal: Goal
    reference: str | None = None
    version: int = 0
    attempts: int = 0


class Approved(msgspec.Struct, frozen=True):
    """The provider did it, now or at an earlier call with the same key."""

    reference: str


class Refused(msgspec.Struct, frozen=True):
    """The provider will never do it, and says why."""

    reason: str


class TakenAlready(msgspec.Struct, frozen=True):
    """The provider cannot void, because it has captured: a refund is the way."""


class Unclear(msgspec.Struct, frozen=True):
    """No answer, a late one, or a fault: it may or may not have been done; the same key asks again."""

    why: str


Answer = Approved | Refused | TakenAlready | Unclear


class Change(msgspec.Struct, frozen=True):
    """A payment anew, and the event to publish of it."""

    payment: Payment
    event: Event | None = None


def authorise(payment: Payment | None, order_id: str, amount_minor: int) -> Change | None:
    """Orders wants the amount held; None when the payment exists, so that a call-off that came first stands."""
    if payment is not None:
        return None
    return Change(Payment(order_id=order_id, amount_minor=amount_minor, state="wanted", goal="authorised"))


def capture(payment: Payment | None) -> Change | None:
    """Orders wants the held amount taken; None unless it is held and still wanted."""
    if payment is None or payment.state != "authorised" or payment.goal != "authorised":
        return None
    return Change(msgspec.structs.replace(payment, goal="captured"))


def drop(payment: Payment | None, order_id: str) -> Change | None:
    """Orders wants nothing held and nothing taken (a void or a refund, whichever it needs).

    Answered at once where the provider was never asked or declined; an unknown order leaves a voided payment as
    a mark, so that a late request for authorisation asks for nothing. None when it was wanted before.
    """
    if payment is None:
        payment = Payment(order_id=order_id, amount_minor=0, state="wanted", goal="dropped")
    elif payment.goal == "dropped":
        return None
    payment = msgspec.structs.replace(payment, goal="dropped")
    return Change(payment) if next_call(payment) else _moved(payment, "voided")


def attempted(payment: Payment) -> Payment:
    """The payment once another call is on its way."""
    return msgspec.structs.replace(payment, attempts=payment.attempts + 1)


def next_call(payment: Payment) -> Call | None:
    """The call that brings the payment towards its goal; None when there is none to make."""
    if payment.goal == "dropped":
        return _undoing(payment)
    if payment.state == "wanted":
        return "authorise"
    return "capture" if payment.state == "authorised" and payment.goal == "captured" else None


def _undoing(payment: Payment) -> Call | None:
    if payment.state == "captured":
        return "refund"
    asked = payment.state == "wanted" and payment.attempts > 0
    held = payment.state in ("authorised", "declined") and payment.reference is not None
    return "void" if asked or held else None


def kind_of_call(state: State, goal: Goal) -> str:
    """The call that a payment awaits, as a noun for people."""
    if goal == "dropped":
        return "refund" if state == "captured" else "void"
    return "capture" if state == "authorised" else "authorisation"


def settle(payment: Payment, call: Call, answer: Answer) -> Change | None:
    """What the answer to a call that the payment awaits makes of it; None: it is to be asked again."""
    if isinstance(answer, Approved):
        return _moved(msgspec.structs.replace(payment, reference=answer.reference), _DONE[call])
    if isinstance(answer, TakenAlready):
        return _moved(payment, "captured") if call == "void" else None
    if call in ("authorise", "capture"):
        return _declined(payment, answer.reason) if isinstance(answer, Refused) else None
    return None


_DONE: dict[Call, State] = {
    "authorise": "authorised",
    "capture": "captured",
    "void": "voided",
    "refund": "refunded",
}
_FROM: dict[Call, tuple[State, ...]] = {
    "authorise": ("wanted",),
    "capture": ("authorised",),
    "void": ("wanted", "authorised", "declined"),
    "refund": ("captured",),
}


def awaits(payment: Payment, call: Call) -> bool:
    """Whether the answer to this call is still news."""
    return payment.state in _FROM[call]


def is_worth_asking(payment: Payment, call: Call) -> bool:
    """Whether hearing that the provider has an outcome of this call is a reason to ask for it now.

    What is heard is only a hint, since anyone might have said it, late or twice: the provider's answer decides.
    """
    return payment.attempts > 0 and next_call(payment) == call


def _declined(payment: Payment, reason: str) -> Change:
    if payment.goal == "dropped" and payment.reference is None:
        return _moved(payment, "voided")
    declined = msgspec.structs.replace(payment, state="declined", attempts=0, version=payment.version + 1)
    return Change(declined, PaymentDeclined(order_id=payment.order_id, reason=reason))


def _moved(payment: Payment, state: State) -> Change:
    moved = msgspec.structs.replace(payment, state=state, attempts=0, version=payment.version + 1)
    return Change(moved, _event(moved))


def _event(payment: Payment) -> Event:
    order_id, amount = payment.order_id, payment.amount_minor
    if payment.state == "authorised":
        return PaymentAuthorised(order_id=order_id, amount_minor=amount, provider_reference=payment.reference or "")
    if payment.state == "captured":
        return PaymentCaptured(order_id=order_id, amount_minor=amount)
    if payment.state == "refunded":
        return PaymentRefunded(order_id=order_id, amount_minor=amount)
    return PaymentVoided(order_id=order_id)


def key(payment: Payment, call: Call) -> str:
    """The provider's idempotency key: the same for every attempt at one step of one order."""
    return f"{payment.order_id}/{call}"


def wait_s(attempts: int) -> float:
    """Seconds before attempt `attempts + 1`: 0.2, doubled each time, at most 10."""
    return min(0.2 * 2.0 ** min(max(attempts - 1, 0), 16), 10.0)
