"""The checkout's state machine: every way through it ends, nothing stays held, and versions have no gap."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack import events
from shop_stack.events import Event, Line, Quantity
from shop_stack.services.orders import rules
from shop_stack.services.orders.rules import CancellationAsked, DeadlinePassed, Order, Patience, Step

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PATIENCE = Patience(step_s=20.0, delivery_s=30.0)
LINES = [Line("p1", 2, 500), Line("p2", 1, 250)]
ID = "order-1"

ANSWERS: dict[str, object] = {
    "reserved": events.StockReserved(order_id=ID, expires_at=NOW),
    "short": events.ReservationRejected(order_id=ID, short=[Quantity("p1", 1)]),
    "released": events.ReservationReleased(order_id=ID, reason="requested"),
    "authorised": events.PaymentAuthorised(order_id=ID, amount_minor=1250, provider_reference="r"),
    "declined": events.PaymentDeclined(order_id=ID, reason="insufficient_funds"),
    "fraud": events.PaymentDeclined(order_id=ID, reason="suspected_fraud"),
    "captured": events.PaymentCaptured(order_id=ID, amount_minor=1250),
    "voided": events.PaymentVoided(order_id=ID),
    "refunded": events.PaymentRefunded(order_id=ID, amount_minor=1250),
    "dispatched": events.ShipmentDispatched(order_id=ID, parcel_id="P"),
    "delivered": events.ShipmentDelivered(order_id=ID, parcel_id="P"),
    "deadline": DeadlinePassed(),
    "cancel": CancellationAsked(),
}
ENDS = ("completed", "rejected", "cancelled")


def placed() -> Step:
    return rules.place(ID, "customer", "cart", LINES, NOW, PATIENCE)


def run(*names: str) -> tuple[Order, list[Event]]:
    """The order after these happenings, and all events that it published."""
    step = placed()
    order, published = step.order, list(step.events)
    for name in names:
        following = rules.advance(order, ANSWERS[name], NOW + timedelta(seconds=3), PATIENCE)
        if following is not None:
            order = following.order
            published += following.events
    return order, published


def names(published: list[Event]) -> list[str]:
    return [type(event).__name__ for event in published]


def test_a_new_order_asks_for_its_units() -> None:
    step = placed()
    assert step.order.state == "placed"
    assert step.order.version == 2
    assert step.wait_s == 20.0
    first, second = step.events
    assert isinstance(first, events.OrderPlaced)
    assert first.total_minor == 1250
    assert second == events.ReservationRequested(order_id=ID, lines=[Quantity("p1", 2), Quantity("p2", 1)])


def test_the_good_way_ends_completed() -> None:
    order, published = run("reserved", "authorised", "captured", "dispatched", "delivered")
    assert order.state == "completed"
    assert order.version == len(published)
    assert names(published) == [
        "OrderPlaced", "ReservationRequested",
        "OrderAdvanced", "AuthorisationRequested",
        "OrderAdvanced", "CaptureRequested",
        "OrderAdvanced", "DispatchRequested",
        "OrderAdvanced", "OrderCompleted",
    ]  # fmt: skip
    states = [event.state for event in published if isinstance(event, events.OrderAdvanced)]
    assert states == ["reserved", "authorised", "captured", "shipped"]
    assert isinstance(published[-1], events.OrderCompleted)
    assert published[-1].seconds == 3.0


@pytest.mark.parametrize(
    ("happenings", "requests", "end"),
    [
        (["short"], [], ("rejected", "out_of_stock")),
        (["reserved", "declined", "released"], ["ReleaseRequested"], ("rejected", "declined")),
        (["reserved", "fraud", "released"], ["ReleaseRequested"], ("rejected", "suspected_fraud")),
        (["deadline", "released"], ["ReleaseRequested"], ("cancelled", "deadline")),
        (["cancel", "released"], ["ReleaseRequested"], ("cancelled", "customer")),
        (["deadline", "short"], ["ReleaseRequested"], ("cancelled", "deadline")),
        (["reserved", "deadline", "released", "voided"], ["VoidRequested", "ReleaseRequested"],
         ("cancelled", "deadline")),
        (["reserved", "authorised", "deadline", "refunded", "released"], ["RefundRequested", "ReleaseRequested"],
         ("cancelled", "deadline")),
        (["reserved", "authorised", "cancel", "voided", "released"], ["RefundRequested", "ReleaseRequested"],
         ("cancelled", "customer")),
        (["released"], [], ("cancelled", "deadline")),
        (["reserved", "released", "voided"], ["VoidRequested"], ("cancelled", "deadline")),
        (["reserved", "authorised", "captured", "short", "refunded"], ["RefundRequested"],
         ("rejected", "out_of_stock")),
    ],
)  # fmt: skip
def test_compensation_runs_in_reverse_and_then_ends(
    happenings: list[str], requests: list[str], end: tuple[str, str]
) -> None:
    order, published = run(*happenings)
    assert (order.state, order.reason) == end
    compensations = [
        name for name in names(published) if name in ("VoidRequested", "RefundRequested", "ReleaseRequested")
    ]
    assert compensations == requests
    assert names(published)[-1] == ("OrderRejected" if end[0] == "rejected" else "OrderCancelled")


def test_an_order_does_not_end_before_both_compensations_are_answered() -> None:
    for first, second in (("voided", "released"), ("released", "voided")):
        order, _ = run("reserved", "deadline", first)
        assert order.state == "cancelling"
        order, _ = run("reserved", "deadline", first, second)
        assert order.state == "cancelled"


@pytest.mark.parametrize("late", ["reserved", "authorised", "captured", "declined", "dispatched", "delivered"])
def test_late_answers_change_nothing_while_cancelling(late: str) -> None:
    order, published = run("reserved", "authorised", "deadline")
    again, more = run("reserved", "authorised", "deadline", late)
    assert again == order
    assert names(more) == names(published)


@pytest.mark.parametrize("until", [3, 4, 5])
def test_no_cancellation_once_the_money_was_taken(until: int) -> None:
    order, _ = run(*["reserved", "authorised", "captured", "dispatched", "delivered"][:until])
    assert not rules.may_cancel(order)
    assert rules.advance(order, CancellationAsked(), NOW, PATIENCE) is None


def test_after_capture_a_deadline_asks_for_the_dispatch_again_and_then_for_a_person() -> None:
    order, published = run("reserved", "authorised", "captured", *["deadline"] * rules.INCIDENT_AFTER_ATTEMPTS)
    assert order.state == "captured"
    assert names(published).count("DispatchRequested") == 1 + rules.INCIDENT_AFTER_ATTEMPTS
    assert names(published)[-1] == "IncidentOpened"
    for answer, follows in (("dispatched", "OrderAdvanced"), ("short", "RefundRequested")):
        step = rules.advance(order, ANSWERS[answer], NOW, PATIENCE)
        assert step is not None
        assert names(step.events) == ["IncidentResolved", follows]
        assert step.order.attempts == 0


def test_a_compensation_is_asked_for_until_it_is_done_with_longer_waits() -> None:
    order, published = run("reserved", "deadline", *["deadline"] * 7)
    assert order.state == "cancelling"
    assert names(published).count("VoidRequested") == 8
    assert names(published).count("IncidentOpened") == 1
    waits = [rules.wait_s(attempts, 20.0) for attempts in range(40)]
    assert waits == sorted(waits)
    assert waits[: rules.INCIDENT_AFTER_ATTEMPTS + 1] == [20.0] * rules.INCIDENT_AFTER_ATTEMPTS + [40.0]
    assert waits[-1] == rules.LONGEST_WAIT_S
    _, published = run("reserved", "deadline", *["deadline"] * 7, "voided", "released")
    assert names(published)[-2:] == ["IncidentResolved", "OrderCancelled"]


def test_a_parcel_that_does_not_arrive_calls_for_a_person_at_once_and_is_waited_for() -> None:
    way = ("reserved", "authorised", "captured", "dispatched")
    shipped, _ = run(*way)
    step = rules.advance(shipped, DeadlinePassed(), NOW, PATIENCE)
    assert step is not None
    assert (step.order.state, names(step.events), step.wait_s) == ("shipped", ["IncidentOpened"], None)
    order, published = run(*way, "deadline", "delivered")
    assert order.state == "completed"
    assert names(published)[-3:] == ["IncidentOpened", "IncidentResolved", "OrderCompleted"]


@pytest.mark.parametrize(
    ("way", "waits_for"),
    [
        (("reserved", "authorised", "captured"), ["shipping", "inventory"]),
        (("reserved", "deadline"), ["payments", "inventory"]),
        (("reserved", "deadline", "voided"), ["inventory"]),
        (("reserved", "authorised", "captured", "dispatched"), ["delivery"]),
    ],
)
def test_the_incident_of_a_stuck_order_says_who_may_hold_it_up_and_what_it_is_worth(
    way: tuple[str, ...], waits_for: list[str]
) -> None:
    order, published = run(*way, *["deadline"] * rules.INCIDENT_AFTER_ATTEMPTS)
    incident = next(event for event in published if isinstance(event, events.IncidentOpened))
    assert (incident.waits_for, incident.amount_minor) == (waits_for, order.total_minor)
    assert incident.subject == order.order_id


def test_an_order_that_is_stuck_is_named_before_anyone_may_miss_it() -> None:
    """However late each step: its incident is open within four steps, the delivery and a minute after placing."""
    for step_s in (0.5, 5.0, 20.0, 30.0):
        waits = [rules.wait_s(attempts, step_s) for attempts in range(rules.INCIDENT_AFTER_ATTEMPTS)]
        assert 3 * step_s + sum(waits) <= 4 * step_s + 60


@given(st.lists(st.sampled_from(sorted(ANSWERS)), max_size=30))
def test_whatever_happens_versions_have_no_gap_and_ends_are_final(happenings: list[str]) -> None:
    step = placed()
    order, published = step.order, list(step.events)
    for name in happenings:
        following = rules.advance(order, ANSWERS[name], NOW, PATIENCE)
        if following is None:
            continue
        assert order.state not in ENDS
        assert following.order.version == order.version + sum(map(rules.takes_version, following.events))
        is_given_up = following.order.state == "shipped" and following.order.attempts > 0
        assert (following.wait_s is None) == (following.order.state in ENDS or is_given_up)
        order = following.order
        published += following.events
    assert sum(
        isinstance(e, events.OrderCompleted | events.OrderRejected | events.OrderCancelled) for e in published
    ) == (order.state in ENDS)
    incidents = [name for name in names(published) if name.startswith("Incident")]
    assert incidents == (["IncidentOpened", "IncidentResolved"] * len(incidents))[: len(incidents)]
    assert len(incidents) % 2 == (order.attempts >= rules.INCIDENT_AFTER_ATTEMPTS and order.state not in ENDS)
    asked_for_money = any(isinstance(event, events.AuthorisationRequested) for event in published)
    if order.state == "cancelled" and asked_for_money:
        assert any(isinstance(event, events.VoidRequested | events.RefundRequested) for event in published)


@given(st.lists(st.sampled_from(sorted(ANSWERS)), max_size=30))
def test_from_every_open_state_good_answers_lead_to_an_end(happenings: list[str]) -> None:
    order, _ = run(*happenings)
    for name in ("reserved", "authorised", "captured", "dispatched", "delivered", "voided", "released"):
        following = rules.advance(order, ANSWERS[name], NOW, PATIENCE)
        order = following.order if following else order
    assert order.state in ENDS


def test_an_order_survives_its_json() -> None:
    order, _ = run("reserved")
    assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order
