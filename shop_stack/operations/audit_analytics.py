"""The books' invariants over analytics: its counts are the log's, and its orders are those of orders, both ways."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from shop_stack.errors import ShopfloorError
from shop_stack.moments import moment
from shop_stack.operations.audit import ENDED, Excuses, Invariant, OrderRow, Tally, Watermark
from shop_stack.operations.audit_log import Positions
from shop_stack.settings import Place

NAMES = ("analytics_equals_log", "analytics_equals_orders")
_TIMEOUT_S = 15.0
_PATIENCE_S = 3.0
_LOOK_S = 0.1
_PAGE_ROWS = "50000"
_EVER, _LATER = moment(0), timedelta(microseconds=1)


class AnalyticsSilent(ShopfloorError):
    """Analytics does not answer, or not this question; the message says why."""


class CountedRow(NamedTuple):
    """What analytics has of one partition: the next position to read, records taken, repeats among them."""

    topic: str
    partition: int
    position: int
    records: int
    repeats: int


class StateRow(NamedTuple):
    """An order as analytics knows it; `state` is completed, rejected, cancelled or open."""

    order_id: str
    state: str
    total_minor: int


def analytics_equals_log(
    counted: Mapping[tuple[str, int], CountedRow], starts: Positions, ends: Positions, later: Positions, strict: bool
) -> Invariant:
    """Analytics has taken each record of the log once, position by position, up to where it has read.

    `ends` are those of before it was asked, `later` those of after: it reads on meanwhile. A partition whose front
    retention has removed may have more in analytics.
    """
    tally = Tally("analytics_equals_log")
    for topic, of in ends.items():
        for partition, end in of.items():
            row = counted.get((topic, partition), CountedRow(topic, partition, 0, 0, 0))
            start = starts.get(topic, {}).get(partition, 0)
            tally.rows += row.records
            where = f"{topic}/{partition}"
            last = later.get(topic, {}).get(partition, 0)
            if row.position > last:
                tally.difference(where, f"ends at {last} and analytics has read up to {row.position}")
            elif row.records > row.position or (start == 0 and row.records != row.position):
                tally.difference(where, f"was read up to {row.position} and analytics has {row.records} records of it")
            if row.position < end:
                words = f"has {end} records and analytics has read {row.position}"
                tally.difference(where, words, strict, count=end - max(row.position, start))
    return tally.result()


def analytics_equals_orders(
    orders: Mapping[str, OrderRow], states: Mapping[str, StateRow], watermark: Watermark, excuses: Excuses
) -> Invariant:
    """Each order is known to analytics with its total and its end, and analytics knows no other.

    `orders` were read before analytics was asked: what has moved since the watermark, or had not ended, may differ.
    """
    tally = Tally("analytics_equals_orders", excuses)
    for order_id, order in orders.items():
        tally.rows += 1
        known = states.get(order_id)
        settled = watermark.settled(order.moved_us)
        if known is None:
            tally.difference(order_id, f"is {order.state} and unknown to analytics", settled)
            continue
        settled = settled and (order.state in ENDED or watermark.strict)
        if known.total_minor != order.total_minor:
            tally.difference(order_id, f"costs {order.total_minor} and analytics says {known.total_minor}")
        if known.state != (order.state if order.state in ENDED else "open"):
            tally.difference(order_id, f"is {order.state} and analytics says {known.state}", settled)
    for order_id in states.keys() - orders.keys():
        tally.difference(order_id, f"is {states[order_id].state} in analytics and no order")
    return tally.result()


class _Mark(msgspec.Struct, frozen=True):
    positions: dict[str, dict[str, int]] = {}
    halted: str | None = None


class _Answer(msgspec.Struct):
    rows: list[dict[str, Any]]
    watermark: _Mark = _Mark()
    next: str | None = None


_answer = msgspec.json.Decoder(_Answer)


class Questions:
    """Asks one analytics. Raises AnalyticsSilent."""

    def __init__(self, place: Place, token: str) -> None:
        self._place = place
        self._token = token

    def counted(self, wanted: Positions, patience_s: float = _PATIENCE_S) -> dict[tuple[str, int], CountedRow]:
        """What was taken of each partition, once it has read as far as wanted or patience is at its end."""
        until = time.monotonic() + patience_s
        while True:
            rows = [CountedRow(**row) for row in self._ask("records_counted").rows]
            found = {(row.topic, row.partition): row for row in rows}
            behind = any(
                (topic, number) not in found or found[topic, number].position < end
                for topic, of in wanted.items()
                for number, end in of.items()
                if end > 0
            )
            if not behind or time.monotonic() >= until:
                return found
            time.sleep(_LOOK_S)

    def states(self, since: datetime, until: datetime) -> dict[str, StateRow]:
        """The orders placed in this span."""
        return {row.order_id: row for row in self._states(since, until)}

    def _states(self, since: datetime, until: datetime) -> Iterator[StateRow]:
        """A span with more rows than an answer may have, or than is kept while it is read, is asked for in halves."""
        try:
            rows = list(self._pages("order_states", since=since.isoformat(), until=until.isoformat()))
        except _TooMuch:
            middle = since + (until - since) / 2
            yield from self._states(since, middle)
            yield from self._states(middle, until)
            return
        for row in rows:
            yield StateRow(row["order_id"], row["state"], row["total_minor"])

    def _pages(self, name: str, **given: str) -> Iterator[dict[str, Any]]:
        answer = self._ask(name, **given, limit=_PAGE_ROWS)
        yield from answer.rows
        while answer.next is not None:
            answer = self._ask(name, **given, limit=_PAGE_ROWS, cursor=answer.next)
            yield from answer.rows

    def _ask(self, name: str, **given: str) -> _Answer:
        connection = HTTPConnection(*self._place, timeout=_TIMEOUT_S)
        try:
            path = f"/analytics/v1/questions/{name}?{urlencode(given)}"
            connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            body = response.read()
            if response.status == 410 or (response.status == 400 and b"too many" in body):
                raise _TooMuch("too many rows")
            if response.status != 200:
                raise AnalyticsSilent(f"analytics answers {response.status} to {name}: see its log")
            answer = _answer.decode(body)
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            raise AnalyticsSilent(f"analytics does not answer ({type(error).__name__}: {error})") from error
        finally:
            connection.close()
        if answer.watermark.halted is not None:
            raise AnalyticsSilent(f"analytics has halted: {answer.watermark.halted}")
        return answer


class _TooMuch(ShopfloorError):
    """The answer would have too many rows."""


def audit_analytics(
    questions: Questions,
    orders: Mapping[str, OrderRow],
    again: Callable[[], Mapping[str, OrderRow]],
    starts: Positions,
    ends: Positions,
    ends_now: Callable[[], Positions],
    watermark: Watermark,
    excuses: Excuses,
) -> list[Invariant]:
    """Both invariants; `again` reads the orders once more, for those placed meanwhile. Raises AnalyticsSilent.

    `ends` are the log's after `orders` were read, so that analytics, which has read up to there, knows them all;
    `ends_now` reads them once more, for what analytics has read meanwhile.
    """
    counted = questions.counted(ends)
    later = ends_now()
    newest = max((order.placed_us for order in orders.values()), default=watermark.now_us)
    states = questions.states(_EVER, moment(newest) + _LATER)
    known = {**again(), **orders} if states.keys() - orders.keys() else orders
    return [
        analytics_equals_log(counted, starts, ends, later, watermark.strict),
        analytics_equals_orders(known, states, watermark, excuses),
    ]
