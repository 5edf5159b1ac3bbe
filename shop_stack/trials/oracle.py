"""What must be true when a schedule has come to rest: the auditor's judgement, and what only a simulation can see.

The auditor knows books. The simulation has also watched every handler, shopper and clock, and knows that nothing more
will come.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

import msgspec

from shop_stack.events import (
    AuthorisationRequested,
    CaptureRequested,
    LabelCreated,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    ReservationRequested,
    ShipmentDelivered,
    ShipmentDispatched,
    StockReserved,
)
from shop_stack.operations.audit import GRACE_S, Invariant
from shop_stack.trials.bank import Bank
from shop_stack.trials.books import audited
from shop_stack.trials.plan import FOLLOWED, SERVICES
from shop_stack.trials.shop import Shop
from shop_stack.trials.shoppers import Shopper

_HAPPEN_ONCE = tuple(
    contract.type
    for contract in (
        OrderPlaced, OrderCompleted, OrderCancelled, OrderRejected, StockReserved, PaymentAuthorised,
        PaymentCaptured, PaymentDeclined, PaymentVoided, PaymentRefunded, LabelCreated, ShipmentDispatched,
        ShipmentDelivered,
    )
)  # fmt: skip
_BEFORE_CAPTURE = frozenset(
    contract.type for contract in (ReservationRequested, AuthorisationRequested, CaptureRequested)
)


class Violation(msgspec.Struct, frozen=True):
    """An invariant that does not hold, and a counter-example."""

    invariant: str
    example: str


def violations(shop: Shop, bank: Bank, shoppers: list[Shopper]) -> list[Violation]:
    """Everything that does not hold, what the auditor finds first; empty when the books balance."""
    checks = (
        audit_findings(audited(shop, bank, shop.world.now()).invariants), _at_rest(shop), _shoppers(shop, shoppers),
        _approvals(bank), _effects(shop), _order(shop), _baskets(shop), _once(shop), _slow(shop),
    )  # fmt: skip
    return [violation for check in checks for violation in check]


def audit_findings(invariants: Iterable[Invariant]) -> Iterator[Violation]:
    """What of an audit is wrong at rest: nothing is in flight any more, and nothing needs an explanation."""
    for found in invariants:
        if found.status != "ok":
            yield Violation(found.name, (found.counter_examples or [found.because])[0])
        elif found.in_flight:
            yield Violation(found.name, f"{found.in_flight} differences are in flight at rest")


def _at_rest(shop: Shop) -> Iterator[Violation]:
    """Nothing is due, and nothing was left to be sent, marked, read or tried again."""
    if shop.never_rested:
        yield Violation("at_rest", f"the shop does not come to rest: {shop.world.steps} steps")
    for service in SERVICES:
        if unmarked := shop.rows(service, "SELECT count(*) FROM outbox WHERE published IS NULL")[0][0]:
            yield Violation("everything_is_marked", f"{service} has {unmarked} events that are not marked as sent")
        if parked := shop.rows(service, "SELECT count(*) FROM stopped_aggregates")[0][0]:
            yield Violation("nothing_parked", f"{service} still keeps {parked} parked records")
    for group in shop.log.groups():
        if behind := sum(shop.log.lag(group).values()):
            yield Violation("everything_is_read", f"{group} is {behind} records behind")


def _shoppers(shop: Shop, shoppers: Iterable[Shopper]) -> Iterator[Violation]:
    """Every shopper hears, nothing else than is true, and of an order that is there."""
    known = {row[0] for row in shop.rows("orders", "SELECT order_id FROM orders")}
    for shopper in shoppers:
        for words in shopper.wrong:
            yield Violation("shoppers_are_served", words)
        if shopper.order_id is not None and shopper.order_id not in known:
            yield Violation("accepted_orders_exist", f"order {shopper.order.number} was accepted and is not there")
        if shopper.order_id is None and shopper.refused is None:
            yield Violation("every_shopper_hears", f"{shopper.name} never heard of its order")


def _approvals(bank: Bank) -> Iterator[Violation]:
    """The provider approved one call of each kind an order; the auditor counts the captures."""
    for (order_id, step), times in bank.approvals().items():
        if times > 1 and step != "capture":
            yield Violation(f"one_{step}", f"the provider approved {times} calls to {step} {order_id}")


def _effects(shop: Shop) -> Iterator[Violation]:
    """What an inbox says was handled was handled once, and committed; records given up have no effect."""
    for service, effects in shop.effects.items():
        inbox = {row[0] for row in shop.rows(service, "SELECT event_id FROM inbox")}
        seen: set[str] = set()
        for _, subject, event_id, _ in effects:
            if event_id in seen:
                yield Violation("one_effect", f"{service} handled {event_id} of {subject} twice")
            seen.add(event_id)
        for event_id in sorted(inbox ^ seen):
            if "/" not in event_id:  # else the place of a record that is no event
                said = "the inbox knows it" if event_id in inbox else "it had its effect"
                yield Violation("inbox_is_true", f"{event_id} at {service}: only {said}")


def _order(shop: Shop) -> Iterator[Violation]:
    """Each service handles the events of an aggregate in their order."""
    for service, effects in shop.effects.items():
        last: dict[tuple[str, str], int] = {}
        for topic, subject, _, sequence in effects:
            before = last.get((topic, subject), 0)
            if sequence is not None and sequence < before:
                words = f"{service} handled {subject} {sequence} after {before}"
                yield Violation("order_within_aggregates", words)
            last[topic, subject] = max(sequence or 0, before)


def _baskets(shop: Shop) -> Iterator[Violation]:
    """Baskets are counted blindly and told to nobody, so that a second effect of one event shows."""
    baskets = shop.rows("recommendations", "SELECT count(*) FROM baskets")[0][0]
    completed = shop.rows("orders", "SELECT count(*) FROM orders WHERE state = 'completed'")[0][0]
    if baskets != completed:
        yield Violation("one_effect", f"{completed} orders completed, and {baskets} baskets were learnt")


def _once(shop: Shop) -> Iterator[Violation]:
    """What can happen once to an order has happened once, whatever the cause."""
    marks = ",".join("?" * len(_HAPPEN_ONCE))
    query = f"SELECT type, aggregateid FROM outbox WHERE type IN ({marks}) GROUP BY 1, 2 HAVING count(*) > 1"  # noqa: S608
    for service in FOLLOWED:
        for kind, subject in shop.rows(service, query, _HAPPEN_ONCE):
            yield Violation("what_happens_once", f"{kind} of {subject} happened twice")


def _slow(shop: Shop) -> Iterator[Violation]:
    """No order stays before its capture for longer than its deadline and a minute, outages of orders apart."""
    jumps = sum(max(0.0, fault.amount) for fault in shop.plan.faults if fault.what == "jump")
    away = sum(replica.away_s for replica in shop.replicas if replica.service == "orders")
    most_us = (shop.plan.step_deadline_s + GRACE_S + jumps + away) * 1e6
    query = "SELECT aggregateid, type, created FROM outbox WHERE sequence NOT NULL ORDER BY aggregateid, sequence"
    moves: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for order_id, kind, created in shop.rows("orders", query):
        moves[order_id].append((kind, created))
    for order_id, made in moves.items():
        for (kind, since), (_, until) in pairwise(made):
            if kind in _BEFORE_CAPTURE and until - since > most_us:
                yield Violation("deadlines_are_kept", f"{order_id} waited {(until - since) // 1_000_000} s")
