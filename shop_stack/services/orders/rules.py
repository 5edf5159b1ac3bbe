"""What becomes of an order: the checkout as a pure state machine, from one happening to the next requests."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec

from shop_stack.events import (
    AuthorisationRequested,
    CaptureRequested,
    DispatchRequested,
    Event,
    IncidentOpened,
    IncidentResolved,
    Line,
    OrderAdvanced,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    Quantity,
    RefundRequested,
    ReleaseRequested,
    ReservationRejected,
    ReservationReleased,
    ReservationRequested,
    ShipmentDelivered,
    ShipmentDispatched,
    StockReserved,
    VoidRequested,
)

State = Literal[
    "placed", "reserved", "authorised", "captured", "shipped", "completed", "cancelling", "cancelled", "rejected"
]
BEFORE_CAPTURE: tuple[State, ...] = ("placed", "reserved", "authorised")
ENDS: tuple[State, ...] = ("completed", "cancelled", "rejected")
INCIDENT_AFTER_ATTEMPTS = 3
LONGEST_WAIT_S = 300.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is kept.

    `version` counts the events published of it. `stock_open` and `money_open`: a compensation of stock or money
    has been asked for and is not yet answered. `attempts` counts deadlines passed in the present state.
    """

    order_id: str
    customer_id: str
    cart_id: str
    state: State
    lines: list[Line]
    total_minor: int
    placed_at: datetime
    version: int = 0
    reason: str | None = None
    stock_open: bool = False
    money_open: bool = False
    attempts: int = 0


def is_open(order: Order) -> bool:
    """Whether anything of an order is still to be done, compensations included."""
    return order.state not in ENDS or order.stock_open or order.money_open


class Patience(msgspec.Struct, frozen=True):
    """How long an answer may take, in seconds: `step_s` for a step of the checkout, `delivery_s` for a parcel's way."""

    step_s: float
    delivery_s: float = 0.0


class DeadlinePassed(msgspec.Struct, frozen=True):
    """The present step has taken longer than it may."""


class CancellationAsked(msgspec.Struct, frozen=True):
    """The shopper calls the order off."""


class Step(msgspec.Struct, frozen=True):
    """What follows: the order anew, the events to publish in this order, and the seconds until the next deadline."""

    order: Order
    events: list[Event]
    wait_s: float | None


def place(order_id: str, customer_id: str, cart_id: str, lines: list[Line], now: datetime, patience: Patience) -> Step:
    """A new order over priced lines (at least one), and the request to hold its units."""
    total = total_minor(lines)
    order = Order(
        order_id=order_id,
        customer_id=customer_id,
        cart_id=cart_id,
        state="placed",
        lines=lines,
        total_minor=total,
        placed_at=now,
    )
    placed = OrderPlaced(order_id=order_id, customer_id=customer_id, cart_id=cart_id, lines=lines, total_minor=total)
    wanted = ReservationRequested(order_id=order_id, lines=quantities(lines))
    return _step(order, [placed, wanted], patience.step_s)


def total_minor(lines: list[Line]) -> int:
    """The value of the lines in minor units."""
    return sum(line.quantity * line.unit_price_minor for line in lines)


def quantities(lines: list[Line]) -> list[Quantity]:
    """The lines without their prices."""
    return [Quantity(line.product_id, line.quantity) for line in lines]


def advance(order: Order, happening: object, now: datetime, patience: Patience) -> Step | None:
    """What a happening (an event of another service, a deadline, a cancellation) makes of an order.

    None: it changes nothing, such as a late answer to a step that is being compensated; its giver undoes it.
    """
    rule = _RULES.get(type(happening))
    return rule(order, happening, now, patience) if rule else None


def answers_next(state: State, money_open: bool) -> str | None:
    """The service whose answer an open order waits for; None for a parcel on its way, which is with the carrier."""
    if state == "cancelling":
        return "payments" if money_open else "inventory"
    return _ANSWERS_NEXT.get(state)


def may_cancel(order: Order) -> bool:
    """Whether the shopper can still call the order off: until the money was taken, from then on goods move."""
    return order.state in BEFORE_CAPTURE


def _step(order: Order, events: list[Event], wait_s: float | None) -> Step:
    return Step(msgspec.structs.replace(order, version=order.version + len(_of_order(events))), events, wait_s)


def _of_order(events: list[Event]) -> list[Event]:
    return [event for event in events if takes_version(event)]


def takes_version(event: Event) -> bool:
    """Whether an event is one of the order's own sequence; incidents are not."""
    return not isinstance(event, IncidentOpened | IncidentResolved)


def _advanced(order: Order, state: State, request: Event | None, wait_s: float | None) -> Step:
    events: list[Event] = [OrderAdvanced(order_id=order.order_id, state=state)]
    if request is not None:
        events.append(request)
    return _step(msgspec.structs.replace(order, state=state, attempts=0), [*_resolution(order), *events], wait_s)


def _stock_reserved(order: Order, _: StockReserved, now: datetime, patience: Patience) -> Step | None:
    if order.state != "placed":
        return None
    request = AuthorisationRequested(
        order_id=order.order_id, customer_id=order.customer_id, amount_minor=order.total_minor
    )
    return _advanced(order, "reserved", request, patience.step_s)


def _payment_authorised(order: Order, _: PaymentAuthorised, now: datetime, patience: Patience) -> Step | None:
    if order.state != "reserved":
        return None
    request = CaptureRequested(order_id=order.order_id, amount_minor=order.total_minor)
    return _advanced(order, "authorised", request, patience.step_s)


def _payment_captured(order: Order, _: PaymentCaptured, now: datetime, patience: Patience) -> Step | None:
    if order.state != "authorised":
        return None
    return _advanced(order, "captured", _dispatch(order), patience.step_s)


def _dispatched(order: Order, _: ShipmentDispatched, now: datetime, patience: Patience) -> Step | None:
    if order.state != "captured":
        return None
    return _advanced(order, "shipped", None, patience.delivery_s + patience.step_s)


def _delivered(order: Order, _: ShipmentDelivered, now: datetime, patience: Patience) -> Step | None:
    if order.state != "shipped":
        return None
    completed = OrderCompleted(
        order_id=order.order_id,
        customer_id=order.customer_id,
        lines=order.lines,
        total_minor=order.total_minor,
        seconds=(now - order.placed_at).total_seconds(),
    )
    return _step(msgspec.structs.replace(order, state="completed"), [*_resolution(order), completed], None)


def _reservation_rejected(order: Order, _: ReservationRejected, now: datetime, patience: Patience) -> Step | None:
    if order.state == "placed":
        return _ended(msgspec.structs.replace(order, reason="out_of_stock"))
    if order.state == "cancelling" and order.stock_open:
        return _answered(msgspec.structs.replace(order, stock_open=False), patience)
    if order.state == "captured":
        return _compensate(order, "out_of_stock", patience, stock=False)
    return None


def _reservation_released(order: Order, event: ReservationReleased, now: datetime, patience: Patience) -> Step | None:
    if order.state == "cancelling" and order.stock_open:
        return _answered(msgspec.structs.replace(order, stock_open=False), patience)
    if order.state in BEFORE_CAPTURE:
        return _compensate(order, "deadline", patience, stock=False)
    return None


def _payment_declined(order: Order, event: PaymentDeclined, now: datetime, patience: Patience) -> Step | None:
    if order.state not in ("reserved", "authorised"):
        return None
    reason = "suspected_fraud" if event.reason == "suspected_fraud" else "declined"
    return _compensate(order, reason, patience, money=order.state == "authorised")


def _money_back(order: Order, _: PaymentVoided | PaymentRefunded, now: datetime, patience: Patience) -> Step | None:
    if order.state != "cancelling" or not order.money_open:
        return None
    return _answered(msgspec.structs.replace(order, money_open=False), patience)


def _cancellation(order: Order, _: CancellationAsked, now: datetime, patience: Patience) -> Step | None:
    return _compensate(order, "customer", patience) if may_cancel(order) else None


def _deadline(order: Order, _: DeadlinePassed, now: datetime, patience: Patience) -> Step | None:
    if order.state in BEFORE_CAPTURE:
        return _compensate(order, "deadline", patience)
    if order.state == "captured":
        return _again(order, [_dispatch(order)], "was paid and does not leave the warehouse", patience)
    if order.state == "cancelling":
        return _again(order, _compensations(order, order.stock_open, order.money_open),
                      "is called off and its compensation does not finish", patience)  # fmt: skip
    return _overdue(order) if order.state == "shipped" else None


def _overdue(order: Order) -> Step:
    """A parcel on its way cannot be asked for again: a person has to look for it."""
    late = msgspec.structs.replace(order, attempts=INCIDENT_AFTER_ATTEMPTS)
    return _step(late, [_incident(order, "has left the warehouse and does not arrive")], None)


def _compensate(order: Order, reason: str, patience: Patience, *, stock: bool = True, money: bool = True) -> Step:
    """Undo in reverse: first the money, if any was asked for, then the stock."""
    money = money and order.state != "placed"
    requests = _compensations(order, stock, money, taking=order.state in ("authorised", "captured"))
    called_off = msgspec.structs.replace(
        order, state="cancelling", reason=reason, stock_open=stock, money_open=money, attempts=0
    )
    if not requests:
        return _ended(called_off)
    return _step(called_off, [*_resolution(order), *requests], patience.step_s)


def _compensations(order: Order, stock: bool, money: bool, taking: bool = False) -> list[Event]:
    requests: list[Event] = []
    if money:
        refund = RefundRequested(order_id=order.order_id, amount_minor=order.total_minor)
        requests.append(refund if taking else VoidRequested(order_id=order.order_id))
    if stock:
        requests.append(ReleaseRequested(order_id=order.order_id))
    return requests


def _answered(order: Order, patience: Patience) -> Step:
    if order.stock_open or order.money_open:
        return _step(order, [], wait_s(order.attempts, patience.step_s))
    return _ended(order)


def _ended(order: Order) -> Step:
    reason = order.reason or "deadline"
    if reason in ("deadline", "customer"):
        end: Event = OrderCancelled(order_id=order.order_id, reason=reason)
        state: State = "cancelled"
    else:
        end, state = OrderRejected(order_id=order.order_id, reason=reason), "rejected"
    return _step(msgspec.structs.replace(order, state=state), [*_resolution(order), end], None)


def _again(order: Order, requests: list[Event], trouble: str, patience: Patience) -> Step:
    attempts = order.attempts + 1
    events = [*requests, _incident(order, trouble)] if attempts == INCIDENT_AFTER_ATTEMPTS else requests
    return _step(msgspec.structs.replace(order, attempts=attempts), events, wait_s(attempts, patience.step_s))


def wait_s(attempts: int, step_s: float) -> float:
    """Seconds until a request is repeated: the step's deadline, doubled after each attempt once there is an incident.

    At most 5 minutes, or the deadline itself where that is longer.
    """
    doubled = min(max(attempts - INCIDENT_AFTER_ATTEMPTS + 1, 0), 16)
    return max(step_s, min(step_s * 2.0**doubled, LONGEST_WAIT_S))


def _dispatch(order: Order) -> DispatchRequested:
    return DispatchRequested(order_id=order.order_id, customer_id=order.customer_id, lines=quantities(order.lines))


def incident_id(order: Order) -> str:
    """The incident of an order that is stuck: one an order, so that it is opened and resolved by name."""
    return f"order-{order.order_id}"


def _incident(order: Order, trouble: str) -> IncidentOpened:
    return IncidentOpened(
        incident_id=incident_id(order),
        kind="checkout_stuck",
        service="orders",
        summary=f"order {order.order_id} {trouble}",
        subject=order.order_id,
        waits_for=_waits_for(order),
        amount_minor=order.total_minor,
    )


def _waits_for(order: Order) -> list[str]:
    """Who may hold a stuck order up, first whose answer comes next: inventory hands a dispatch on to shipping."""
    if order.state == "cancelling":
        asked = (("payments", order.money_open), ("inventory", order.stock_open))
        return [service for service, still in asked if still]
    return ["shipping", "inventory"] if order.state == "captured" else ["delivery"]


def _resolution(order: Order) -> list[Event]:
    stuck = order.attempts >= INCIDENT_AFTER_ATTEMPTS
    return [IncidentResolved(incident_id=incident_id(order))] if stuck else []


_ANSWERS_NEXT: dict[State, str] = {
    "placed": "inventory", "reserved": "payments", "authorised": "payments", "captured": "shipping",
}  # fmt: skip
_RULES: dict[type, Callable[[Order, Any, datetime, Patience], Step | None]] = {
    StockReserved: _stock_reserved,
    ReservationRejected: _reservation_rejected,
    ReservationReleased: _reservation_released,
    PaymentAuthorised: _payment_authorised,
    PaymentDeclined: _payment_declined,
    PaymentCaptured: _payment_captured,
    PaymentVoided: _money_back,
    PaymentRefunded: _money_back,
    ShipmentDispatched: _dispatched,
    ShipmentDelivered: _delivered,
    DeadlinePassed: _deadline,
    CancellationAsked: _cancellation,
}
