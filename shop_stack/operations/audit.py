"""The books' invariants over orders, money and requests: pure functions from rows to what they prove or break.

Each takes rows, never a connection, and answers one Invariant. What is not settled at the watermark counts as in
flight; what an open incident or a parked message names counts as explained.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

Status = Literal["ok", "violated", "explained", "skipped"]
MOST_EXAMPLES = 10
GRACE_S = 60.0
STEPS = 4
ENDED = frozenset({"completed", "rejected", "cancelled"})
FAILED = frozenset({"rejected", "cancelled"})
CONFIRMED = frozenset({"captured", "shipped", "completed"})
_SECOND = 1_000_000


class Invariant(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one invariant.

    `violations`, `explained` and `in_flight` count differences; `counter_examples` are up to ten sentences, each
    beginning with the id it is about (of the violations, else of what is explained). `because` says why it was
    skipped, or what its reader should know.
    """

    name: str
    status: Status
    rows_checked: int
    counter_examples: list[str]
    violations: int = 0
    explained: int = 0
    in_flight: int = 0
    because: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found. `watermark`: everything committed before it was judged; the rest is shown as in flight.

    `quiet`: nothing moved and nothing waited, so that everything was judged. `ok`: nothing is violated.
    """

    ok: bool
    invariants: list[Invariant]
    watermark: datetime
    quiet: bool
    strict: bool
    orders: int
    records: int
    seconds: float


class Watermark(msgspec.Struct, frozen=True, kw_only=True):
    """How far the books are settled: what was committed before `at_us` has been sent and handled by everyone.

    Microseconds since 1970. `strict`: nothing is in flight any more, whatever is open is wrong.
    """

    at_us: int
    now_us: int
    strict: bool = False

    def settled(self, moved_us: int) -> bool:
        """Whether what was committed then must have had all its effects."""
        return self.strict or moved_us < self.at_us


class Excuses(msgspec.Struct, frozen=True):
    """Aggregates that are known to be in trouble: named by an open incident, or behind a parked message."""

    incidents: frozenset[str] = frozenset()
    parked: frozenset[str] = frozenset()

    def cover(self, subject: str) -> bool:
        """Whether a difference of this aggregate is explained."""
        return subject in self.incidents or subject in self.parked


NO_EXCUSES = Excuses()


class Tally:
    """Counts the differences of one invariant."""

    def __init__(self, name: str, excuses: Excuses = NO_EXCUSES) -> None:
        self.rows = self.in_flight = self._violations = self._explained = 0
        self._name = name
        self._excuses = excuses
        self._examples: list[str] = []
        self._explanations: list[str] = []

    def difference(self, subject: str, words: str, settled: bool = True, count: int = 1) -> None:
        """Something about `subject` is not as it must be: explained, in flight, or a violation."""
        if self._excuses.cover(subject):
            self._explained += count
            _keep(self._explanations, f"{subject} {words}")
        elif settled:
            self._violations += count
            _keep(self._examples, f"{subject} {words}")
        else:
            self.in_flight += count

    def result(self, because: str = "") -> Invariant:
        """The invariant as it stands."""
        status: Status = "violated" if self._violations else "explained" if self._explained else "ok"
        return Invariant(
            name=self._name,
            status=status,
            rows_checked=self.rows,
            counter_examples=self._examples or self._explanations,
            violations=self._violations,
            explained=self._explained,
            in_flight=self.in_flight,
            because=because,
        )


def _keep(examples: list[str], words: str) -> None:
    if len(examples) < MOST_EXAMPLES:
        examples.append(words)


def skipped(name: str, because: str) -> Invariant:
    """An invariant that could not be looked at, and why; never counted as ok."""
    return Invariant(name=name, status="skipped", rows_checked=0, counter_examples=[], because=because)


def merged(parts: Iterable[Invariant]) -> list[Invariant]:
    """Parts of the same name as one, in the order of their first part; the worst status wins."""
    by_name: dict[str, list[Invariant]] = {}
    for part in parts:
        by_name.setdefault(part.name, []).append(part)
    return [some[0] if len(some) == 1 else _sum(some) for some in by_name.values()]


_WORST: tuple[Status, ...] = ("violated", "skipped", "explained", "ok")


def _sum(parts: Sequence[Invariant]) -> Invariant:
    status = min((part.status for part in parts), key=_WORST.index)
    examples = [words for part in parts if part.status == status for words in part.counter_examples]
    return Invariant(
        name=parts[0].name,
        status=status,
        rows_checked=sum(part.rows_checked for part in parts),
        counter_examples=examples[:MOST_EXAMPLES],
        violations=sum(part.violations for part in parts),
        explained=sum(part.explained for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        because="; ".join(dict.fromkeys(part.because for part in parts if part.because)),
    )


class OrderRow(NamedTuple):
    """An order; `moved_us` is when its last event was committed, microseconds since 1970."""

    order_id: str
    state: str
    total_minor: int
    placed_us: int
    moved_us: int
    customer_id: str = ""


class AccountRow(NamedTuple):
    """One order's money in the provider's own ledger, minor units."""

    order_id: str
    state: str
    authorised_minor: int
    captured_minor: int
    refunded_minor: int


class CaptureRow(NamedTuple):
    """A capture that the provider approved, and the idempotency key that it was asked with."""

    order_id: str
    key: str
    amount_minor: int


class KeyRow(NamedTuple):
    """An idempotency key of POST /v1/orders: whose, the stored answer's status and order (None: it names none)."""

    subject: str
    key: str
    status: int
    order_id: str | None
    at_us: int


def orders_reach_an_end(
    orders: Iterable[OrderRow], step_deadline_s: float, delivery_s: float, watermark: Watermark, excuses: Excuses
) -> Invariant:
    """Every accepted order is completed, rejected or cancelled once its deadline and a minute have passed.

    An order's deadline: four steps of `step_deadline_s` and the delivery, in seconds since it was placed.
    """
    tally = Tally("orders_reach_an_end", excuses)
    allowed_us = int((STEPS * step_deadline_s + delivery_s + GRACE_S) * _SECOND)
    for order in orders:
        tally.rows += 1
        if order.state not in ENDED:
            late = watermark.strict or order.placed_us + allowed_us < watermark.now_us
            waited = (watermark.now_us - order.placed_us) / _SECOND
            tally.difference(order.order_id, f"is still {order.state} after {waited:.0f} s", late)
    return tally.result()


def one_key_one_order(
    orders: Iterable[OrderRow],
    keys: Iterable[KeyRow],
    kept_since_us: int,
    forgotten: Mapping[str, int] | None = None,
    excuses: Excuses = NO_EXCUSES,
) -> Invariant:
    """Every idempotency key of an accepted checkout leads to one order of its own, and every order to one key.

    `kept_since_us`: orders placed before it may have lost their key to pruning (microseconds since 1970), as those of
    `forgotten` customers, up to that time, have to their erasure.
    """
    erased = forgotten or {}
    tally = Tally("one_key_one_order", excuses)
    rows, placed = list(keys), list(orders)
    tally.rows = len(rows)
    promised = Counter([row.order_id for row in rows if row.order_id is not None])
    known = {order.order_id for order in placed}
    doubtful = {order_id for order_id, times in promised.items() if times > 1} | promised.keys() ^ known
    by_order: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows if doubtful else ():
        if row.order_id in doubtful:
            by_order[row.order_id].append(row.key)
    for order in placed if doubtful else ():
        found = by_order.get(order.order_id, [])
        if len(found) > 1:
            tally.difference(order.order_id, f"was answered to {len(found)} keys: {', '.join(sorted(found)[:3])}")
        elif order.order_id not in doubtful:
            continue
        elif not found and order.placed_us >= max(kept_since_us, erased.get(order.customer_id, 0)):
            tally.difference(order.order_id, "was placed without an idempotency key: its request was never answered")
    for order_id, found in by_order.items():
        if order_id not in known:
            tally.difference(order_id, f"was promised to the key {found[0]} and is not there")
    return tally.result()


def captured_at_most_once(captures: Iterable[CaptureRow], excuses: Excuses = NO_EXCUSES) -> Invariant:
    """The provider has approved at most one capture of each order: a second key would have been a second capture."""
    tally = Tally("captured_at_most_once", excuses)
    asked = Counter([row.order_id for row in captures])
    tally.rows = asked.total()
    for order_id, times in asked.items():
        if times > 1:
            tally.difference(order_id, f"was captured {times} times by the provider's ledger")
    return tally.result()


def money_equals_orders(
    orders: Mapping[str, OrderRow], accounts: Mapping[str, AccountRow], watermark: Watermark, excuses: Excuses
) -> Invariant:
    """Captured less refunded at the provider is an order's total once it is confirmed, and 0 once it has failed.

    The provider's books are read after the orders: of one that has not ended they may be ahead.
    """
    tally = Tally("money_equals_orders", excuses)
    for order_id, order in orders.items():
        tally.rows += 1
        account = accounts.get(order_id)
        taken = account.captured_minor - account.refunded_minor if account is not None else 0
        if order.state in CONFIRMED:
            if taken != order.total_minor:
                words = f"is {order.state} with a total of {order.total_minor} and the provider took {taken}"
                tally.difference(order_id, words, order.state in ENDED or watermark.strict)
        elif order.state in FAILED:
            if taken != 0:
                tally.difference(order_id, f"is {order.state} and the provider keeps {taken} of it")
        elif taken != 0:
            tally.difference(order_id, f"is {order.state} and the provider has {taken} of it", watermark.strict)
    for order_id, account in accounts.items():
        if order_id not in orders and account.captured_minor != account.refunded_minor:
            tally.difference(order_id, f"is no order, and the provider has {account.captured_minor} of it")
    return tally.result()


def money_sums_agree(
    orders: Mapping[str, OrderRow],
    accounts: Mapping[str, AccountRow],
    payments: Mapping[str, tuple[str, int]],
    excuses: Excuses,
    agreed: tuple[int, int] = (0, 0),
) -> Invariant:
    """The sums agree: what confirmed orders cost, what payments say was captured, and what the provider took.

    `payments` maps an order to (state, amount in minor units). Orders in flight or explained are left out of all three.
    `agreed` are further orders that have the same amount in all three: how many, and their sum in minor units.
    """
    tally = Tally("money_sums_agree")
    tally.rows = agreed[0]
    ordered = paid = taken = agreed[1]
    for order_id, order in orders.items():
        if order.state not in ENDED or excuses.cover(order_id):
            tally.in_flight += order.state not in ENDED
            continue
        tally.rows += 1
        state, amount = payments.get(order_id, ("", 0))
        account = accounts.get(order_id)
        ordered += order.total_minor if order.state in CONFIRMED else 0
        paid += amount if state == "captured" else 0
        taken += account.captured_minor - account.refunded_minor if account is not None else 0
    if not ordered == paid == taken:
        words = f"cost {ordered}, payments captured {paid}, the provider took {taken} (minor units)"
        tally.difference(f"{tally.rows} orders", words)
    return tally.result()


def failures_leave_nothing(
    orders: Mapping[str, OrderRow],
    reservations: Mapping[str, str],
    accounts: Mapping[str, AccountRow],
    shipments: Mapping[str, str],
    excuses: Excuses,
) -> Invariant:
    """A rejected or cancelled order holds no stock, no money and no parcel, and a refused request left nothing at all.

    `reservations` and `shipments` map an order to its state. What belongs to no order was left by a refused one.
    """
    tally = Tally("failures_leave_nothing", excuses)
    for order_id, order in orders.items():
        if order.state not in FAILED:
            continue
        tally.rows += 1
        if (held := reservations.get(order_id)) in ("reserved", "sold"):
            tally.difference(order_id, f"is {order.state} and its stock is {held}")
        account = accounts.get(order_id)
        if account is not None and account.state == "authorised":
            tally.difference(order_id, f"is {order.state} and the provider still holds {account.authorised_minor}")
        if order_id in shipments:
            tally.difference(order_id, f"is {order.state} and its parcel is {shipments[order_id]}")
    held_by: dict[str, Mapping[str, object]] = {"stock": reservations, "money": accounts, "a parcel": shipments}
    for what, kept in held_by.items():
        for order_id in kept.keys() - orders.keys():
            tally.difference(order_id, f"is no order, and {what} was set aside for it")
    return tally.result()


def completed_orders_are_whole(
    orders: Mapping[str, OrderRow],
    reservations: Mapping[str, str],
    shipments: Mapping[str, str],
    watermark: Watermark,
    excuses: Excuses,
) -> Invariant:
    """Of a completed order the stock is sold and the parcel delivered."""
    tally = Tally("completed_orders_are_whole", excuses)
    for order_id, order in orders.items():
        if order.state != "completed":
            continue
        tally.rows += 1
        stock, parcel = reservations.get(order_id), shipments.get(order_id)
        if stock != "sold":
            words = f"is completed and its stock is {stock or 'not even reserved'}"
            tally.difference(order_id, words, watermark.settled(order.moved_us))
        if parcel != "delivered":
            tally.difference(order_id, f"is completed and its parcel is {parcel or 'not there'}")
    return tally.result()
