"""The shipping's database: one parcel an order, and when its next step is due."""

from datetime import datetime

import msgspec
from sqlalchemy import (
    BigInteger,
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
    update,
)

from shop_stack.hosting.service import Cause
from shop_stack.hosting.statements import Prepared, Row
from shop_stack.moments import micros, moment
from shop_stack.services import scrubbing
from shop_stack.services.shipping.rules import Shipment

METADATA = MetaData()
NOTES = scrubbing.notes_in(METADATA)

ERASED = "erased"  # in place of the id of a person who is gone

SHIPMENTS = Table(
    "shipments",
    METADATA,
    Column("order_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("parcel_id", String, nullable=False),
    Column("destination", String),
    Column("version", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_us", BigInteger),
    Column("causation", String),
    Column("traceparent", String),
)
Index(
    "shipments_by_due",
    SHIPMENTS.c.state,
    SHIPMENTS.c.due_us,
    sqlite_where=SHIPMENTS.c.due_us.is_not(None),
    postgresql_where=SHIPMENTS.c.due_us.is_not(None),
)

_SHIPMENT = (
    SHIPMENTS.c.order_id, SHIPMENTS.c.customer_id, SHIPMENTS.c.state, SHIPMENTS.c.parcel_id, SHIPMENTS.c.destination,
    SHIPMENTS.c.version, SHIPMENTS.c.attempts,
)  # fmt: skip
_KEPT = (*_SHIPMENT, SHIPMENTS.c.causation, SHIPMENTS.c.traceparent)
_BY_ID = select(*_KEPT).where(SHIPMENTS.c.order_id == bindparam("order"))
_GET = Prepared(_BY_ID)
_GET_HELD = Prepared(_BY_ID.with_for_update())
_ADD = Prepared(insert(SHIPMENTS))
_CHANGE = Prepared(
    update(SHIPMENTS)
    .where(SHIPMENTS.c.order_id == bindparam("order"))
    .values({name: bindparam(f"new_{name}") for name in ("state", "destination", "version", "attempts", "due_us")})
)
_DUE_IN_STATE = (SHIPMENTS.c.state == bindparam("in_state"), SHIPMENTS.c.due_us <= bindparam("now_us"))
_NEXT = select(SHIPMENTS.c.order_id).where(*_DUE_IN_STATE).order_by(SHIPMENTS.c.due_us).limit(1)
_IS_DUE = Prepared(_NEXT)
_CLAIM = Prepared(
    update(SHIPMENTS)
    .where(SHIPMENTS.c.order_id == _NEXT.with_for_update(skip_locked=True).scalar_subquery())
    .values(attempts=SHIPMENTS.c.attempts + 1, due_us=bindparam("lease_us"))
    .returning(*_KEPT)
)
_WITHOUT_LABEL = Prepared(
    select(func.count(), func.min(SHIPMENTS.c.causation)).where(
        SHIPMENTS.c.state == "wanted", SHIPMENTS.c.due_us.is_not(None)
    )
)
_TO_ARRIVE = Prepared(select(func.count(), func.min(SHIPMENTS.c.due_us)).where(*_DUE_IN_STATE))
_DUE = Prepared(
    select(*_KEPT)
    .where(*_DUE_IN_STATE)
    .order_by(SHIPMENTS.c.due_us)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


class Kept(msgspec.Struct, frozen=True):
    """A parcel with what led to it."""

    shipment: Shipment
    cause: Cause


def get(connection: Connection, order_id: str) -> Kept | None:
    """The order's parcel."""
    row = _GET.first(connection, {"order": order_id})
    return _kept(row) if row else None


def get_held(connection: Connection, order_id: str) -> Kept | None:
    """The order's parcel, held by this transaction until it ends."""
    row = _GET_HELD.first(connection, {"order": order_id})
    return _kept(row) if row else None


def add(connection: Connection, shipment: Shipment, due: datetime, cause: Cause) -> None:
    """Store a new parcel whose next step is due then."""
    fixed = {name: getattr(shipment, name) for name in ("order_id", "customer_id", "parcel_id")}
    reason = {"causation": cause.causation, "traceparent": cause.traceparent}
    _ADD.change(connection, {**fixed, **_changing(shipment, due, ""), **reason})


def change(connection: Connection, shipment: Shipment, due: datetime | None) -> None:
    """Store a parcel anew, its next step due then."""
    _CHANGE.change(connection, {"order": shipment.order_id, **_changing(shipment, due, "new_")})


def is_any_due(connection: Connection, state: str, now: datetime) -> bool:
    """Whether a parcel in this state has a step due."""
    return _IS_DUE.first(connection, {"in_state": state, "now_us": micros(now)}) is not None


def claim(connection: Connection, state: str, now: datetime, lease_until: datetime) -> Kept | None:
    """Take the parcel in this state that is due longest, for this worker alone until the lease ends."""
    values = {"in_state": state, "now_us": micros(now), "lease_us": micros(lease_until)}
    row = _CLAIM.first(connection, values)
    return _kept(row) if row else None


def due(connection: Connection, state: str, now: datetime, most: int) -> list[Kept]:
    """Parcels in this state that are due, the oldest first; held by this transaction against other replicas."""
    rows = _DUE.rows(connection, {"in_state": state, "now_us": micros(now), "most": most})
    return [_kept(row) for row in rows]


def without_label(connection: Connection) -> tuple[int, str | None]:
    """How many parcels have no label yet, and the oldest id of the events that asked for them (in order of time)."""
    count, oldest = _WITHOUT_LABEL.first(connection) or (0, None)
    return count, oldest


def to_arrive(connection: Connection, now: datetime) -> tuple[int, datetime]:
    """How many parcels should have arrived, and since when the longest (now when there is none)."""
    count, since_us = _TO_ARRIVE.first(connection, {"in_state": "dispatched", "now_us": micros(now)}) or (0, None)
    return count, moment(since_us) if since_us is not None else now


def forget_person(connection: Connection, customer_id: str) -> int:
    """Take the person's id from their parcels that have their label; how many."""
    theirs = update(SHIPMENTS).where(SHIPMENTS.c.customer_id == customer_id, SHIPMENTS.c.state != "wanted")
    return connection.execute(theirs.values(customer_id=ERASED)).rowcount


def _changing(shipment: Shipment, due: datetime | None, prefix: str) -> dict[str, object]:
    return {
        f"{prefix}state": shipment.state,
        f"{prefix}destination": shipment.destination,
        f"{prefix}version": shipment.version,
        f"{prefix}attempts": shipment.attempts,
        f"{prefix}due_us": micros(due) if due else None,
    }


def _kept(row: Row) -> Kept:
    order_id, customer_id, state, parcel_id, destination, version, attempts, causation, traceparent = row
    shipment = Shipment(
        order_id=order_id,
        customer_id=customer_id,
        state=state,
        parcel_id=parcel_id,
        destination=destination,
        version=version,
        attempts=attempts,
    )
    return Kept(shipment, Cause(causation, order_id, traceparent))
