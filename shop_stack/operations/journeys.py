"""An order's journey: asked of analytics, or read from the log itself, and put into the order of cause."""

import heapq
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

import msgspec

from shop_stack.errors import PositionBelowStart, PositionPastEnd
from shop_stack.eventlog.interface import EventLog, StoredRecord
from shop_stack.eventlog.records import partition_of
from shop_stack.events import INVENTORY, ORDERS, PAYMENTS, SHIPPING
from shop_stack.operations.model import Journey, JourneyStep
from shop_stack.settings import Place
from shop_stack.telemetry.tracing import calling

_TOPICS = (ORDERS, INVENTORY, PAYMENTS, SHIPPING)
_MOST_RECORDS = 20_000
_SLACK_MS = 60_000
_PLACED = "shop.order.placed.v1"
_STATES = {
    _PLACED: "placed",
    "shop.order.completed.v1": "completed",
    "shop.order.rejected.v1": "rejected",
    "shop.order.cancelled.v1": "cancelled",
}
_ENDS = ("completed", "rejected", "cancelled")
_ADVANCED = "shop.order.advanced.v1"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a journey, as analytics or the log knows it."""

    at: datetime
    type: str
    source: str
    event_id: str
    causation_id: str | None = None
    sequence: int | None = None
    data: Any = None


class _Wire(msgspec.Struct):
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    sequence: int | None = None
    causationid: str | None = None
    correlationid: str | None = None
    data: dict[str, Any] = {}


class _Answer(msgspec.Struct):
    rows: list[Step]


_wire = msgspec.json.Decoder(_Wire)
_answer = msgspec.json.Decoder(_Answer)


def assemble(order_id: str, steps: Iterable[Step]) -> Journey | None:
    """The journey of these steps, each event once; None when there is none."""
    once = {step.event_id: step for step in steps}
    ordered = in_order_of_cause(list(once.values()))
    if not ordered:
        return None
    placed = next((step for step in ordered if step.type == _PLACED), None)
    start = placed.at if placed else min(step.at for step in ordered)
    total = _data(placed).get("total_minor") if placed else None
    return Journey(
        order_id=order_id,
        state=_state(ordered),
        placed_at=placed.at if placed else None,
        total_minor=total if isinstance(total, int) else None,
        steps=[_view(step, start) for step in ordered],
    )


def is_over(journey: Journey | None) -> bool:
    """Whether the order has reached its end, good or bad."""
    return journey is not None and journey.state in _ENDS


def in_order_of_cause(steps: Sequence[Step]) -> list[Step]:
    """Every step after the one that caused it and after its predecessor within its aggregate; by time otherwise."""
    before = {step.event_id: _predecessors(step, steps) for step in steps}
    by_id = {step.event_id: step for step in steps}
    ready = [_rank(step) for step in steps if not before[step.event_id]]
    heapq.heapify(ready)
    ordered: list[Step] = []
    while ready:
        done = by_id[heapq.heappop(ready)[-1]]
        ordered.append(done)
        for step in steps:
            if done.event_id in before[step.event_id]:
                before[step.event_id].discard(done.event_id)
                if not before[step.event_id]:
                    heapq.heappush(ready, _rank(step))
    placed = {step.event_id for step in ordered}
    return ordered + sorted((step for step in steps if step.event_id not in placed), key=_rank)


def _predecessors(step: Step, steps: Sequence[Step]) -> set[str]:
    found = {other.event_id for other in steps if other.event_id == step.causation_id}
    aggregate = _aggregate(step)
    if step.sequence is not None and aggregate is not None:
        found |= {o.event_id for o in steps if o.sequence == step.sequence - 1 and _aggregate(o) == aggregate}
    return found - {step.event_id}


def _aggregate(step: Step) -> tuple[str, str] | None:
    """Source and subject of an order's own aggregate; None for another one, such as a stock item."""
    order_id = _data(step).get("order_id")
    return (step.source, str(order_id)) if order_id is not None else None


def _rank(step: Step) -> tuple[datetime, int, str]:
    return step.at, step.sequence or 0, step.event_id


def _state(ordered: Sequence[Step]) -> str:
    state = "unknown"
    for step in ordered:
        state = str(_data(step).get("state", state)) if step.type == _ADVANCED else _STATES.get(step.type, state)
    return state


def _data(step: Step) -> Mapping[str, Any]:
    data = step.data
    if isinstance(data, str):
        try:
            data = msgspec.json.decode(data)
        except msgspec.MsgspecError:
            data = None
    return data if isinstance(data, dict) else {}


def _view(step: Step, start: datetime) -> JourneyStep:
    return JourneyStep(
        at=step.at,
        event_id=step.event_id,
        type=step.type,
        source=step.source,
        after_ms=(step.at - start).total_seconds() * 1000,
        caused_by=step.causation_id,
        data=dict(_data(step)),
    )


def ask_analytics(place: Place, token: str, order_id: str, timeout_s: float = 2.0) -> list[Step]:
    """What analytics knows of an order; empty when it knows nothing or does not answer."""
    connection = HTTPConnection(*place, timeout=timeout_s)
    path = f"/analytics/v1/questions/order_journey?{urlencode({'order_id': order_id})}"
    try:
        with calling("operations", "ask order_journey") as trace:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}", **trace})
            answer = connection.getresponse()
            body = answer.read()
        return _answer.decode(body).rows if answer.status == 200 else []
    except (OSError, HTTPException, msgspec.MsgspecError):
        return []
    finally:
        connection.close()


def read_log(log: EventLog, order_id: str) -> list[Step]:
    """What the log holds of an order, from the partition of its id in each topic, with the levels of its stock items.

    An order id is a UUIDv7, so reading starts at the minute in which it was made, found by bisection; of any other
    id the newest 20,000 records of each partition are read. Stock items lie under their products' keys: those of the
    order's lines are read up to a minute after its last own event. Raises LogUnavailable.
    """
    steps: list[Step] = []
    for topic in _TOPICS:
        own = _Wanted(order_id, topic.name, partition_of(order_id, log.partitions(topic.name)), frozenset([order_id]))
        steps += _scan(log, own)
    until_ms = max((step.at.timestamp() * 1000 for step in steps), default=0.0) + _SLACK_MS
    for partition, products in _products_by_partition(log, steps).items():
        steps += _scan(log, _Wanted(order_id, INVENTORY.name, partition, frozenset(products), until_ms))
    return steps


class _Wanted(msgspec.Struct, frozen=True):
    """Records of an order that lie under these keys in one partition, appended no later than `until_ms`."""

    order_id: str
    topic: str
    partition: int
    keys: frozenset[str]
    until_ms: float = math.inf


def _products_by_partition(log: EventLog, steps: Sequence[Step]) -> dict[int, set[str]]:
    """The products of the order as it was placed, by the partition in which their stock items' events lie."""
    found: dict[int, set[str]] = {}
    partitions = log.partitions(INVENTORY.name)
    for step in steps:
        lines = _data(step).get("lines") if step.type == _PLACED else None
        for line in lines if isinstance(lines, list) else ():
            product = line.get("product_id") if isinstance(line, dict) else None
            if isinstance(product, str):
                found.setdefault(partition_of(product, partitions), set()).add(product)
    return found


def _made_ms(order_id: str) -> int | None:
    try:
        made = uuid.UUID(order_id)
    except ValueError:
        return None
    return (made.int >> 80) - _SLACK_MS if made.version == 7 else None


def _first_since(read: Callable[[int], StoredRecord | None], low: int, high: int, since_ms: int) -> int:
    while low < high:
        middle = (low + high) // 2
        record = read(middle)
        if record is None or record.appended_ms >= since_ms:
            high = middle
        else:
            low = record.position + 1
    return low


def _one(log: EventLog, topic: str, partition: int, position: int) -> StoredRecord | None:
    try:
        return next(iter(log.read(topic, partition, position, 1)), None)
    except (PositionPastEnd, PositionBelowStart):
        return None


def _start(log: EventLog, wanted: _Wanted, end: int) -> int:
    """Where to begin reading for an order."""
    made_ms, start = _made_ms(wanted.order_id), log.starts(wanted.topic)[wanted.partition]
    if made_ms is None:
        return max(start, end - _MOST_RECORDS)
    return _first_since(partial(_one, log, wanted.topic, wanted.partition), start, end, made_ms)


def _scan(log: EventLog, wanted: _Wanted) -> list[Step]:
    steps: list[Step] = []
    end = log.ends(wanted.topic)[wanted.partition]
    position = _start(log, wanted, end)
    last = min(end, position + _MOST_RECORDS)
    while position < last:
        records = log.read(wanted.topic, wanted.partition, position, 1000)
        if not records:
            break
        steps += [step for r in records if r.key in wanted.keys and (step := _step(r, wanted.order_id))]
        if records[-1].appended_ms > wanted.until_ms:
            break
        position = records[-1].position + 1
    return steps


def _step(record: StoredRecord, order_id: str) -> Step | None:
    try:
        wire = _wire.decode(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if order_id not in (wire.subject, wire.correlationid):
        return None
    return Step(
        at=wire.time,
        type=wire.type,
        source=wire.source,
        event_id=wire.id,
        causation_id=wire.causationid,
        sequence=wire.sequence,
        data=wire.data,
    )
