"""The payments' database: one row an order, and which provider calls are due."""

from datetime import datetime

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    insert,
    select,
    true,
    update,
)

from shop_stack.hosting.service import Cause
from shop_stack.hosting.statements import Prepared, Row
from shop_stack.moments import micros
from shop_stack.services.payments.rules import Goal, Payment, State

METADATA = MetaData()

PAYMENTS = Table(
    "payments",
    METADATA,
    Column("order_id", String, primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("goal", String, nullable=False),
    Column("reference", String),
    Column("version", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed", Boolean, nullable=False),
    Column("due_us", BigInteger),
    Column("causation", String),
    Column("traceparent", String),
)
Index(
    "payments_by_due",
    PAYMENTS.c.due_us,
    sqlite_where=PAYMENTS.c.due_us.is_not(None),
    postgresql_where=PAYMENTS.c.due_us.is_not(None),
)

_PAYMENT = (
    PAYMENTS.c.order_id, PAYMENTS.c.amount_minor, PAYMENTS.c.state, PAYMENTS.c.goal, PAYMENTS.c.reference,
    PAYMENTS.c.version, PAYMENTS.c.attempts,
)  # fmt: skip
_KEPT = (*_PAYMENT, PAYMENTS.c.claimed, PAYMENTS.c.causation, PAYMENTS.c.traceparent)
_BY_ID = select(*_KEPT).where(PAYMENTS.c.order_id == bindparam("order"))
_GET = Prepared(_BY_ID)
_GET_HELD = Prepared(_BY_ID.with_for_update())
_ADD = Prepared(insert(PAYMENTS))
_IN_HAND = Prepared(
    select(PAYMENTS.c.state, PAYMENTS.c.goal, func.count(), func.min(PAYMENTS.c.causation))
    .where(PAYMENTS.c.due_us.is_not(None))
    .group_by(PAYMENTS.c.state, PAYMENTS.c.goal)
)
_CHANGED = ("state", "goal", "reference", "version", "attempts", "claimed", "due_us", "causation", "traceparent")
_CHANGE = Prepared(
    update(PAYMENTS)
    .where(PAYMENTS.c.order_id == bindparam("order"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGED})
)
_ASK = Prepared(
    update(PAYMENTS)
    .where(PAYMENTS.c.order_id == bindparam("order"))
    .values(goal=bindparam("new_goal"), causation=bindparam("new_causation"), traceparent=bindparam("new_traceparent"))
)
_NEXT = select(PAYMENTS.c.order_id).where(PAYMENTS.c.due_us <= bindparam("now_us")).order_by(PAYMENTS.c.due_us).limit(1)
_IS_DUE = Prepared(_NEXT)
_CLAIM = Prepared(
    update(PAYMENTS)
    .where(PAYMENTS.c.order_id == _NEXT.with_for_update(skip_locked=True).scalar_subquery())
    .values(claimed=true(), attempts=PAYMENTS.c.attempts + 1, due_us=bindparam("lease_us"))
    .returning(*_KEPT)
)


class Kept(msgspec.Struct, frozen=True):
    """A payment with what led to its present call; `claimed`: a worker is at the call, or died at it."""

    payment: Payment
    claimed: bool
    cause: Cause


def get(connection: Connection, order_id: str) -> Kept | None:
    """The order's payment."""
    row = _GET.first(connection, {"order": order_id})
    return _kept(row) if row else None


def get_held(connection: Connection, order_id: str) -> Kept | None:
    """The order's payment, held by this transaction until it ends."""
    row = _GET_HELD.first(connection, {"order": order_id})
    return _kept(row) if row else None


def add(connection: Connection, payment: Payment, due: datetime | None, cause: Cause, claimed: bool = False) -> None:
    """Store a new payment whose next call is due then; if claimed, by the worker whose lease ends then."""
    fixed = {"order_id": payment.order_id, "amount_minor": payment.amount_minor}
    _ADD.change(connection, {**fixed, **_changing(payment, due, cause, claimed, "")})


def change(connection: Connection, payment: Payment, due: datetime | None, cause: Cause, claimed: bool = False) -> None:
    """Store a payment anew, its next call due then; if claimed, by the worker whose lease ends then."""
    _CHANGE.change(connection, {"order": payment.order_id, **_changing(payment, due, cause, claimed, "new_")})


def ask(connection: Connection, payment: Payment, cause: Cause) -> None:
    """Store a payment's new goal while a worker is at its last call, which then goes on to the new one."""
    values = {"order": payment.order_id, "new_goal": payment.goal}
    _ASK.change(connection, {**values, "new_causation": cause.causation, "new_traceparent": cause.traceparent})


def in_hand(connection: Connection) -> list[tuple[State, Goal, int, str | None]]:
    """Payments with a call due or under way: state, goal, how many, and the oldest id of the events that led to them.

    Those ids are in the order of time.
    """
    return [(state, goal, count, oldest) for state, goal, count, oldest in _IN_HAND.rows(connection)]


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Whether a provider call is due."""
    return _IS_DUE.first(connection, {"now_us": micros(now)}) is not None


def claim(connection: Connection, now: datetime, lease_until: datetime) -> Kept | None:
    """Take the call that is due longest, for this worker alone until the lease ends; counts the attempt."""
    row = _CLAIM.first(connection, {"now_us": micros(now), "lease_us": micros(lease_until)})
    return _kept(row) if row else None


def _changing(payment: Payment, due: datetime | None, cause: Cause, claimed: bool, prefix: str) -> dict[str, object]:
    return {
        f"{prefix}state": payment.state,
        f"{prefix}goal": payment.goal,
        f"{prefix}reference": payment.reference,
        f"{prefix}version": payment.version,
        f"{prefix}attempts": payment.attempts,
        f"{prefix}claimed": claimed,
        f"{prefix}due_us": micros(due) if due else None,
        f"{prefix}causation": cause.causation,
        f"{prefix}traceparent": cause.traceparent,
    }


def _kept(row: Row) -> Kept:
    order_id, amount, state, goal, reference, version, attempts, claimed, causation, traceparent = row
    payment = Payment(
        order_id=order_id,
        amount_minor=amount,
        state=state,
        goal=goal,
        reference=reference,
        version=version,
        attempts=attempts,
    )
    return Kept(payment, bool(claimed), Cause(causation, order_id, traceparent))
