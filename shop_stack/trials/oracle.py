"""What must be true when a schedule has come to rest: the books against each other, as violations in words."""

import contextlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

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
from shop_stack.trials.bank import Bank
from shop_stack.trials.plan import PRODUCTS, SERVICES
from shop_stack.trials.shop import Shop
from shop_stack.trials.shoppers import Shopper

STRANGER = "/stranger"
"""The source of events that no service of the shop has sent."""
ENDS = ("completed", "cancelled", "rejected")

_HAPPEN_ONCE = frozenset(
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


class _Line(msgspec.Struct):
    id: str
    type: str
    source: str
    subject: str
    sequence: int | None = None


_line = msgspec.json.Decoder(_Line)


def _lines(shop: Shop) -> "Iterator[tuple[str, _Line]]":
    for topic in shop.log.topics():
        for number in range(shop.log.partitions(topic)):
            for record in shop.log.partition(topic, number).records:
                with contextlib.suppress(msgspec.MsgspecError):
                    line = _line.decode(record.value)
                    if line.source != STRANGER:
                        yield topic, line


class Books:
    """The rows of all books of a schedule at its end."""

    def __init__(self, shop: Shop, bank: Bank) -> None:
        self.drivers: dict[str, sqlite3.Connection] = {name: store.kept().driver for name, store in shop.stores.items()}
        self.accounts = {account.order_id: account for account in bank.ledger.accounts()}
        self.approvals = bank.approvals()
        self.effects = shop.effects
        self.lines = list(_lines(shop))
        orders = self.drivers["orders"].execute("SELECT order_id, cart_id, state, total_minor, reason FROM orders")
        self.orders = {row[0]: row for row in orders}

    def ends(self) -> dict[str, int]:
        """The orders by state and reason."""
        return dict(Counter(f"{row[2]} ({row[4]})" if row[4] else row[2] for row in self.orders.values()))


def violations(shop: Shop, books: Books, shoppers: list[Shopper]) -> list[Violation]:
    """Everything that does not hold; empty when the books balance."""
    found = [Violation("at_rest", f"the shop does not come to rest: {shop.world.steps} steps")] * shop.never_rested
    found += [Violation("stock_at_every_commit", words) for words in shop.levels_wrong[:1]]
    found += [Violation("one_key_one_order", words) for shopper in shoppers for words in shopper.wrong]
    checks = (
        _ends(books), _accepted(books, shoppers), _keys(books), _money(books), _stock(books), _sold(books),
        _outboxes(books), _sequences(books), _effects(books), _order(books), _handled(shop, books), _once(books),
        _slow(shop, books), _parked(books), _lags(shop),
    )  # fmt: skip
    return found + [violation for check in checks for violation in check]


def _ends(books: Books) -> Iterator[Violation]:
    for order_id, _, state, *_ in books.orders.values():
        if state not in ENDS:
            yield Violation("every_order_ends", f"{order_id} is {state}")


def _accepted(books: Books, shoppers: Iterable[Shopper]) -> Iterator[Violation]:
    for shopper in shoppers:
        if shopper.order_id is not None and shopper.order_id not in books.orders:
            yield Violation("accepted_orders_exist", f"order {shopper.order.number} was accepted and is not there")
        if shopper.order_id is None and shopper.refused is None:
            yield Violation("every_shopper_hears", f"{shopper.name} never heard of its order")


def _keys(books: Books) -> Iterator[Violation]:
    for cart, orders in Counter(row[1] for row in books.orders.values()).items():
        if orders > 1:
            yield Violation("one_key_one_order", f"{cart} became {orders} orders")


def _money(books: Books) -> Iterator[Violation]:
    for (order_id, step), times in books.approvals.items():
        if times > 1:
            yield Violation(f"one_{step}", f"the provider approved {times} calls to {step} {order_id}")
    for order_id in {*books.orders, *books.accounts}:
        order, account = books.orders.get(order_id), books.accounts.get(order_id)
        kept = account.captured_minor - account.refunded_minor if account else 0
        wanted = order[3] if order and order[2] == "completed" else 0
        if kept != wanted:
            yield Violation("money", f"{order_id} ({order[2] if order else 'no order'}) paid {kept}, not {wanted}")
        if account is not None and account.state == "authorised":
            yield Violation("nothing_held_at_the_end", f"the provider still holds {order_id}'s money")


def _stock(books: Books) -> Iterator[Violation]:
    rows = books.drivers["inventory"].execute("SELECT product_id, available, reserved, sold FROM stock_items")
    for product, available, reserved, sold in rows.fetchall():
        if available < 0 or available + reserved + sold != PRODUCTS[product]:
            yield Violation("stock", f"{product}: {available} + {reserved} + {sold} is not {PRODUCTS[product]}")
        if reserved:
            yield Violation("nothing_reserved_at_the_end", f"{reserved} {product} are held for nobody")


def _sold(books: Books) -> Iterator[Violation]:
    """A completed order's units are sold; no other order's are. Given-away stock is named in an incident instead."""
    named = {
        row[0] for row in _rows(books, "orders", "SELECT aggregateid FROM outbox WHERE aggregateid LIKE 'order-%'")
    }
    for order_id, state in _rows(books, "inventory", "SELECT order_id, state FROM reservations"):
        order = books.orders.get(order_id)
        completed = order is not None and order[2] == "completed"
        if (state == "sold") != completed and f"order-{order_id}" not in named:
            yield Violation("sold_is_completed", f"{order_id} is {order[2] if order else None} and its units {state}")


def _outboxes(books: Books) -> Iterator[Violation]:
    logged: dict[str, set[str]] = defaultdict(set)
    for _, line in books.lines:
        logged[line.source].add(line.id)
    for service in SERVICES:
        rows = _rows(books, service, "SELECT id, published FROM outbox")
        if lost := {row[0] for row in rows} ^ logged[f"/{service}"]:
            yield Violation("outbox_is_log", f"{len(lost)} events of {service} are in one of both only")
        if any(row[1] is None for row in rows):
            yield Violation("everything_is_marked", f"{service} has events that are not marked as sent")


def _sequences(books: Books) -> Iterator[Violation]:
    """In the log, the first occurrence of each event follows that of the one before it in its aggregate."""
    last: dict[tuple[str, str], int] = defaultdict(int)
    seen: set[str] = set()
    for topic, line in books.lines:
        if line.sequence is None or line.id in seen:
            continue
        seen.add(line.id)
        if line.sequence != last[topic, line.subject] + 1:
            before = last[topic, line.subject]
            yield Violation("sequences", f"{line.subject} of {topic} goes from {before} to {line.sequence}")
        last[topic, line.subject] = line.sequence


def _effects(books: Books) -> Iterator[Violation]:
    """Baskets are counted blindly, so that a second effect of one event shows."""
    baskets = _rows(books, "recommendations", "SELECT count(*) FROM baskets")[0][0]
    completed = sum(row[2] == "completed" for row in books.orders.values())
    if baskets != completed:
        yield Violation("one_effect", f"{completed} orders completed, and {baskets} baskets were learnt")


def _order(books: Books) -> Iterator[Violation]:
    """Each service handles each event once, and those of an aggregate in their order."""
    for service, effects in books.effects.items():
        last: dict[tuple[str, str], int] = {}
        seen: set[str] = set()
        for topic, subject, event_id, sequence in effects:
            if event_id in seen:
                yield Violation("one_effect", f"{service} handled {event_id} of {subject} twice")
            seen.add(event_id)
            if sequence is not None and sequence < last.get((topic, subject), 0):
                yield Violation(
                    "order_within_aggregates", f"{service} handled {subject} {sequence} after a later event"
                )
            last[topic, subject] = max(sequence or 0, last.get((topic, subject), 0))


def _handled(shop: Shop, books: Books) -> Iterator[Violation]:
    """Whatever lies on the log of a kind that a service follows has had its effect there."""
    for service, effects in books.effects.items():
        handled = {effect.event_id for effect in effects}
        for _, line in books.lines:
            if line.type in shop.heeded[service] and line.id not in handled:
                yield Violation("every_event_is_handled", f"{service} never handled {line.type} of {line.subject}")


def _once(books: Books) -> Iterator[Violation]:
    seen: dict[tuple[str, str], str] = {}
    for _, line in books.lines:
        if line.type in _HAPPEN_ONCE and seen.setdefault((line.type, line.subject), line.id) != line.id:
            yield Violation("what_happens_once", f"{line.type} of {line.subject} happened twice")


def _slow(shop: Shop, books: Books) -> Iterator[Violation]:
    """No order stays before its capture for longer than its deadline and a minute, outages of orders apart."""
    jumps = sum(max(0.0, fault.amount) for fault in shop.plan.faults if fault.what == "jump")
    away = sum(replica.away_s for replica in shop.replicas if replica.service == "orders")
    most_us = (shop.plan.step_deadline_s + 60.0 + jumps + away) * 1e6
    query = "SELECT aggregateid, type, created FROM outbox WHERE sequence NOT NULL ORDER BY aggregateid, sequence"
    before: tuple[str, str, int] | None = None
    for order_id, kind, created in _rows(books, "orders", query):
        waited = before is not None and before[0] == order_id and before[1] in _BEFORE_CAPTURE
        if before is not None and waited and created - before[2] > most_us:
            yield Violation("deadlines_are_kept", f"{order_id} waited {(created - before[2]) // 1_000_000} s")
        before = order_id, kind, created


def _parked(books: Books) -> Iterator[Violation]:
    for service in SERVICES:
        count = _rows(books, service, "SELECT count(*) FROM stopped_aggregates")[0][0]
        if count:
            yield Violation("nothing_parked", f"{service} still keeps {count} parked records")


def _lags(shop: Shop) -> Iterator[Violation]:
    for group in shop.log.groups():
        behind = sum(shop.log.lag(group).values())
        if behind:
            yield Violation("everything_is_read", f"{group} is {behind} records behind")


def _rows(books: Books, service: str, query: str) -> list[tuple[Any, ...]]:
    return books.drivers[service].execute(query).fetchall()
