"""The payments' rules against the provider's own books: whatever is asked and answered, both say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack import events
from shop_stack.services.payments import provider, rules
from shop_stack.services.payments.rules import Approved, Change, Payment, Refused, TakenAlready, Unclear

pytestmark = pytest.mark.pure

ID = "order-1"
OK = Approved("ref")
UNCLEAR = Unclear("no answer")


def after(change: Change | None) -> Payment:
    assert change is not None
    return change.payment


def sent(payment: Payment) -> Payment:
    """The payment while a call is under way."""
    return Payment(**{**{n: getattr(payment, n) for n in payment.__struct_fields__}, "attempts": payment.attempts + 1})


def wanted() -> Payment:
    return after(rules.authorise(None, ID, 1250))


def authorised() -> Payment:
    return after(rules.settle(sent(wanted()), "authorise", OK))


def captured() -> Payment:
    return after(rules.settle(sent(after(rules.capture(authorised()))), "capture", OK))


def test_the_good_way_holds_and_takes_the_money() -> None:
    assert rules.next_call(wanted()) == "authorise"
    assert rules.next_call(authorised()) is None
    assert rules.next_call(after(rules.capture(authorised()))) == "capture"
    change = rules.settle(after(rules.capture(authorised())), "capture", OK)
    assert change is not None
    assert change.event == events.PaymentCaptured(order_id=ID, amount_minor=1250)
    assert change.payment.version == 2
    assert rules.next_call(change.payment) is None


def test_only_an_outcome_that_is_waited_for_is_worth_asking_for() -> None:
    assert not rules.is_worth_asking(wanted(), "authorise")
    assert rules.is_worth_asking(sent(wanted()), "authorise")
    assert not rules.is_worth_asking(sent(wanted()), "capture")
    assert not rules.is_worth_asking(authorised(), "authorise")
    assert not rules.is_worth_asking(captured(), "capture")


def test_a_decline_is_final() -> None:
    change = rules.settle(sent(wanted()), "authorise", Refused("card_expired"))
    assert change is not None
    assert change.event == events.PaymentDeclined(order_id=ID, reason="card_expired")
    assert rules.next_call(change.payment) is None
    voided = rules.drop(change.payment, ID)
    assert voided is not None
    assert voided.event == events.PaymentVoided(order_id=ID)


def test_a_call_off_before_anything_was_asked_is_answered_at_once() -> None:
    for before in (None, wanted()):
        change = rules.drop(before, ID)
        assert change is not None
        assert change.event == events.PaymentVoided(order_id=ID)
        assert change.payment.version == 1
        assert rules.next_call(change.payment) is None


def test_a_request_that_comes_after_its_call_off_asks_the_provider_for_nothing() -> None:
    mark = after(rules.drop(None, ID))
    assert rules.authorise(mark, ID, 1250) is None
    assert rules.capture(mark) is None


def test_a_call_off_while_the_answer_is_out_voids_whatever_the_answer_is() -> None:
    dropped = after(rules.drop(sent(wanted()), ID))
    assert rules.next_call(dropped) == "void"
    late = rules.settle(dropped, "authorise", OK)
    assert late is not None
    assert isinstance(late.event, events.PaymentAuthorised)
    assert rules.next_call(late.payment) == "void"
    declined = rules.settle(dropped, "authorise", Refused("card_expired"))
    assert declined is not None
    assert declined.event == events.PaymentVoided(order_id=ID)


def test_a_capture_that_was_lost_is_found_by_the_void_and_refunded() -> None:
    capturing = sent(after(rules.capture(authorised())))
    dropped = after(rules.drop(capturing, ID))
    assert rules.next_call(dropped) == "void"
    taken = rules.settle(dropped, "void", TakenAlready())
    assert taken is not None
    assert isinstance(taken.event, events.PaymentCaptured)
    assert rules.next_call(taken.payment) == "refund"
    back = rules.settle(taken.payment, "refund", OK)
    assert back is not None
    assert back.event == events.PaymentRefunded(order_id=ID, amount_minor=1250)


def test_captured_money_is_refunded() -> None:
    assert rules.next_call(after(rules.drop(captured(), ID))) == "refund"


def test_an_unclear_answer_asks_again_with_the_same_key() -> None:
    payment = sent(wanted())
    assert rules.settle(payment, "authorise", UNCLEAR) is None
    assert rules.awaits(payment, "authorise")
    assert rules.key(payment, "authorise") == rules.key(wanted(), "authorise") == "order-1/authorise"


def test_waits_grow_to_ten_seconds() -> None:
    waits = [rules.wait_s(attempts) for attempts in range(1, 40)]
    assert waits[0] == 0.2
    assert waits == sorted(waits)
    assert waits[-1] == 10.0


class Books:
    """The provider's side of one order in memory, with the ledger's rules."""

    def __init__(self, declines: bool) -> None:
        self.state, self.declines = "none", declines

    def do(self, call: rules.Call) -> rules.Answer:
        if call == "authorise":
            if self.state == "none":
                self.state = "declined" if self.declines else "authorised"
            return OK if self.state == "authorised" else Refused("no")
        if call == "capture":
            self.state = "captured" if self.state == "authorised" else self.state
            return OK if self.state == "captured" else Refused("no")
        if call == "void":
            if self.state == "captured":
                return TakenAlready()
            self.state = self.state if self.state == "refunded" else "voided"
            return OK
        self.state = "refunded" if self.state in ("captured", "refunded") else self.state
        return OK if self.state == "refunded" else Refused("no")


@given(st.booleans(), st.lists(st.sampled_from(["authorise", "capture", "drop", "call", "lose"]), max_size=25))
def test_both_books_agree_in_the_end(declines: bool, happenings: list[str]) -> None:
    books, payment, versions = Books(declines), None, 0

    def take(change: Change | None) -> None:
        nonlocal payment, versions
        if change is not None:
            payment = change.payment
            versions += change.event is not None
            assert payment.version == versions

    def call(heard: bool) -> None:
        nonlocal payment
        step = rules.next_call(payment) if payment else None
        if payment is None or step is None:
            return
        payment = sent(payment)
        answer = books.do(step)
        take(rules.settle(payment, step, answer if heard else UNCLEAR))

    for happening in happenings:
        if happening == "authorise":
            take(rules.authorise(payment, ID, 1250))
        elif happening == "capture":
            take(rules.capture(payment))
        elif happening == "drop":
            take(rules.drop(payment, ID))
        else:
            call(heard=happening == "call")
    for _ in range(4):
        call(heard=True)
    if payment is None:
        return
    assert rules.next_call(payment) is None
    if payment.goal == "dropped":
        assert payment.state in ("voided", "refunded")
        assert books.state in ("none", "voided", "refunded", "declined")
        assert (payment.state == "refunded") == (books.state == "refunded")
    else:
        assert payment.state == books.state


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [
        (200, b'{"status":"approved","reference":"r"}', Approved("r")),
        (402, b'{"status":"declined","reason":"card_expired"}', Refused("card_expired")),
        (409, b'{"status":"captured"}', TakenAlready()),
        (500, b'{"status":"approved"}', Unclear("the provider answered 500 approved")),
        (200, b"<html>", Unclear("the provider answered 200 without a word")),
    ],
)
def test_only_the_providers_three_clear_answers_count(status: int, body: bytes, means: rules.Answer) -> None:
    assert provider.read_answer(status, body) == means
