"""The checkout's whole table: in each state of an order, what each answer, deadline or cancellation makes of it."""

import msgspec
import pytest

from shop_stack.services.orders import rules
from shop_stack.services.orders.rules import Order
from tests.unit.test_orders_rules import ANSWERS, NOW, PATIENCE, names, placed, run

pytestmark = pytest.mark.pure

# Each state by what led to it; of an order that is called off, what is still to be undone.
STATES: dict[str, tuple[str, ...]] = {
    "placed": (),
    "reserved": ("reserved",),
    "authorised": ("reserved", "authorised"),
    "captured": ("reserved", "authorised", "captured"),
    "shipped": ("reserved", "authorised", "captured", "dispatched"),
    "completed": ("reserved", "authorised", "captured", "dispatched", "delivered"),
    "cancelling stock": ("deadline",),
    "cancelling money": ("reserved", "released"),
    "cancelling both": ("reserved", "authorised", "cancel"),
    "cancelled": ("deadline", "released"),
    "rejected": ("short",),
}
DEADLINE = ["VoidRequested", "ReleaseRequested"]
TAKEN = ["RefundRequested", "ReleaseRequested"]
# (state, happening): (the state that follows, what is asked for or said). What is not listed changes nothing.
TABLE: dict[tuple[str, str], tuple[str, list[str]]] = {
    ("placed", "reserved"): ("reserved", ["OrderAdvanced", "AuthorisationRequested"]),
    ("placed", "short"): ("rejected", ["OrderRejected"]),
    ("placed", "released"): ("cancelled", ["OrderCancelled"]),
    ("placed", "deadline"): ("cancelling stock", ["ReleaseRequested"]),
    ("placed", "cancel"): ("cancelling stock", ["ReleaseRequested"]),
    ("reserved", "released"): ("cancelling money", ["VoidRequested"]),
    ("reserved", "authorised"): ("authorised", ["OrderAdvanced", "CaptureRequested"]),
    ("reserved", "declined"): ("cancelling stock", ["ReleaseRequested"]),
    ("reserved", "fraud"): ("cancelling stock", ["ReleaseRequested"]),
    ("reserved", "deadline"): ("cancelling both", DEADLINE),
    ("reserved", "cancel"): ("cancelling both", DEADLINE),
    ("authorised", "released"): ("cancelling money", ["RefundRequested"]),
    ("authorised", "declined"): ("cancelling both", TAKEN),
    ("authorised", "fraud"): ("cancelling both", TAKEN),
    ("authorised", "captured"): ("captured", ["OrderAdvanced", "DispatchRequested"]),
    ("authorised", "deadline"): ("cancelling both", TAKEN),
    ("authorised", "cancel"): ("cancelling both", TAKEN),
    ("captured", "short"): ("cancelling money", ["RefundRequested"]),
    ("captured", "dispatched"): ("shipped", ["OrderAdvanced"]),
    ("captured", "deadline"): ("captured", ["DispatchRequested"]),
    ("shipped", "delivered"): ("completed", ["OrderCompleted"]),
    ("shipped", "deadline"): ("shipped", ["IncidentOpened"]),
    ("cancelling stock", "short"): ("cancelled", ["OrderCancelled"]),
    ("cancelling stock", "released"): ("cancelled", ["OrderCancelled"]),
    ("cancelling stock", "deadline"): ("cancelling stock", ["ReleaseRequested"]),
    ("cancelling money", "voided"): ("cancelled", ["OrderCancelled"]),
    ("cancelling money", "refunded"): ("cancelled", ["OrderCancelled"]),
    ("cancelling money", "deadline"): ("cancelling money", ["VoidRequested"]),
    ("cancelling both", "short"): ("cancelling money", []),
    ("cancelling both", "released"): ("cancelling money", []),
    ("cancelling both", "voided"): ("cancelling stock", []),
    ("cancelling both", "refunded"): ("cancelling stock", []),
    ("cancelling both", "deadline"): ("cancelling both", DEADLINE),
}


def state_of(order: Order) -> str:
    """The row of the table that an order is in."""
    if order.state != "cancelling":
        return order.state
    return f"cancelling {'both' if order.stock_open and order.money_open else 'stock' if order.stock_open else 'money'}"


@pytest.mark.parametrize("state", STATES)
def test_the_ways_lead_to_their_states(state: str) -> None:
    assert state_of(run(*STATES[state])[0]) == state


@pytest.mark.parametrize("happening", ANSWERS)
@pytest.mark.parametrize("state", STATES)
def test_every_cell(state: str, happening: str) -> None:
    order, _ = run(*STATES[state])
    step = rules.advance(order, ANSWERS[happening], NOW, PATIENCE)
    expected = TABLE.get((state, happening))
    if expected is None:
        assert step is None
    else:
        assert step is not None
        assert (state_of(step.order), names(step.events)) == expected


def test_a_happening_that_orders_does_not_know_changes_nothing() -> None:
    assert rules.advance(placed().order, object(), NOW, PATIENCE) is None


@pytest.mark.parametrize("state", [state for state in STATES if state not in ("completed", "cancelled", "rejected")])
def test_each_open_state_has_a_deadline(state: str) -> None:
    way = STATES[state]
    step = rules.advance(run(*way[:-1])[0], ANSWERS[way[-1]], NOW, PATIENCE) if way else placed()
    assert step is not None
    assert step.wait_s == (PATIENCE.delivery_s + PATIENCE.step_s if state == "shipped" else PATIENCE.step_s)


def test_the_first_reason_stays_whatever_comes_while_an_order_is_called_off() -> None:
    for ends, reason in (("declined", "declined"), ("fraud", "suspected_fraud"), ("cancel", "customer")):
        order, _ = run("reserved", ends, "cancel", "deadline", "short", "voided")
        assert order.reason == reason
        assert not rules.is_open(order)
    assert rules.is_open(msgspec.structs.replace(order, state="cancelled", money_open=True))
