"""The demo's made-up past: a catalog, eight weeks of orders and service minutes, from the live shoppers' generator."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from msgspec.structs import replace

from shop_stack.access import read_token
from shop_stack.envelope import Envelope, encode
from shop_stack.errors import NotRunning
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.eventlog.opening import open_log
from shop_stack.events import HISTORY, Event, Line, PastMinute, PastOrderRecorded
from shop_stack.ids import imported_id
from shop_stack.settings import Home, Settings, read_endpoints
from shop_stack.stack import Stack
from shop_stack.traffic.arrivals import shape_of_minutes
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.footprint import requests_per_session
from shop_stack.traffic.taste import Taste, basket_sizes, quantities
from shop_stack.traffic.walk import CONVERSION

WEEKS = 8
SEED = 20
ORIGIN = "simulated"
_BATCH = 2000
_CUSTOMERS = 40_000
_DAY_MINUTES = 1440
_CATALOG_S = 60.0
_AGAIN_S = 0.5
_NOBODY = frozenset({502, 503, 504})
Progress = Callable[[int, int], None]


def past_is_made(home: Home) -> bool:
    """Whether this home has its made-up past already."""
    return _mark(home).exists()


def make_past(settings: Settings, stack: Stack, progress: Progress, now: datetime | None = None) -> int:
    """Write the catalog and the past that ends at `now`; the number of events. Doing it again changes nothing.

    Raises NotRunning when the gateway does not answer. `progress` gets days done and days in all.
    """
    if past_is_made(settings.home):
        return 0
    end = (now or datetime.now(UTC)).replace(second=0, microsecond=0)
    products = made_up_products()
    add_products(settings.home, products)
    written = 0
    with open_log(settings) as log:
        past = Past(stack, products, end)
        for day in range(WEEKS * 7):
            written += _append(log, past.day(day))
            progress(day + 1, WEEKS * 7)
        written += _append(log, past.since_then(now or datetime.now(UTC)))
    _mark(settings.home).write_text(json.dumps({"end": end.isoformat(), "events": written}))
    return written


def add_products(home: Home, products: list[dict[str, Any]]) -> None:
    """Put products into the catalog through the gateway, a hundred at a time, under keys of their own.

    A catalog that is still being started is waited for. Raises NotRunning when it is not there after a minute.
    """
    headers = {"authorization": f"Bearer {read_token(home)}"}
    with httpx.Client(base_url=read_endpoints(home).gateway, headers=headers, timeout=30, trust_env=False) as client:
        for start in range(0, len(products), 100):
            key = {"idempotency-key": f"made-up-{SEED}-{start}"}
            answer = _answered(client, {"products": products[start : start + 100]}, key)
            if answer.status_code >= 300:
                raise NotRunning(
                    f"the catalog refused the made-up products ({answer.status_code}): {answer.text[:200]}"
                )


def _answered(client: httpx.Client, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    """What the catalog says, asked again under the same key while nobody answers for it."""
    ends = time.monotonic() + _CATALOG_S
    while True:
        answer = client.post("/v1/products/batch", json=body, headers=headers)
        if answer.status_code not in _NOBODY or time.monotonic() > ends:
            return answer
        time.sleep(_AGAIN_S)


class Past:
    """Past days as events, the same for the same seed, products and end."""

    def __init__(self, stack: Stack, products: list[dict[str, Any]], end: datetime) -> None:
        self._stack = stack
        self._ids = [str(p["product_id"]) for p in products]
        self._prices = [int(p["list_price_minor"]) for p in products]
        self._taste = Taste([float(p["popularity"]) for p in products], [str(p["category"]) for p in products])
        self._first = end - timedelta(weeks=WEEKS)
        self._per_session = requests_per_session()

    def day(self, day: int) -> Iterator[Envelope[Event]]:
        """One day's orders and minutes (1,440 of them), in order of time within each kind."""
        random = np.random.default_rng((SEED, day))
        first = self._first + timedelta(days=day)
        shape = shape_of_minutes(first, _DAY_MINUTES, self._stack.zone)
        sessions = random.poisson(self._stack.traffic.sessions_per_s * 60 * shape)
        orders = random.binomial(sessions, CONVERSION * (1 - self._stack.provider.decline_rate))
        yield from self._orders(day, first, orders, random)
        yield from self._minutes(day, first, sessions, random)

    def since_then(self, now: datetime) -> Iterator[Envelope[Event]]:
        """What passed while the past was being written, so that live shoppers join without a gap.

        Of the minute that `now` is in, only the share that has passed: the live shoppers make the rest of it.
        """
        end = self._first + timedelta(weeks=WEEKS)
        for event in self.day(WEEKS * 7):
            if end <= event.time < now:
                yield _begun(event, (now - event.time) / timedelta(minutes=1))

    def _orders(self, day: int, first: datetime, orders: Any, random: np.random.Generator) -> Iterator[Envelope[Event]]:
        count = int(orders.sum())
        seconds = np.sort(np.repeat(np.arange(_DAY_MINUTES) * 60.0, orders) + random.uniform(0, 60, count))
        sizes = basket_sizes(count, random)
        heads = self._taste.products(count, random)
        extra = self._taste.companions(np.repeat(heads, sizes - 1), random)
        units = quantities(count + len(extra), random).tolist()
        customers = random.integers(0, _CUSTOMERS, count).tolist()
        taken = 0
        for i, (at, size, head) in enumerate(zip(seconds.tolist(), sizes.tolist(), heads.tolist(), strict=True)):
            chosen = dict.fromkeys([head, *extra[taken : taken + size - 1].tolist()])
            lines = [Line(self._ids[p], units[i + taken + n], self._prices[p]) for n, p in enumerate(chosen)]
            taken += size - 1
            yield self._order(f"{day}/{i}", first + timedelta(seconds=at), customers[i], lines)

    def _order(self, key: str, at: datetime, customer: int, lines: list[Line]) -> Envelope[Event]:
        order_id = imported_id(f"made-up-{SEED}-{self._first:%Y%m%d%H%M}", key)
        total = sum(line.quantity * line.unit_price_minor for line in lines)
        data = PastOrderRecorded(order_id=order_id, customer_id=f"made-up-{customer}", country="GB", lines=lines,
                                 total_minor=total, origin=ORIGIN, file_hash="")  # fmt: skip
        return Envelope(id=order_id, source="/history", subject=order_id, time=at, data=data, correlationid=order_id)

    def _minutes(
        self, day: int, first: datetime, sessions: Any, random: np.random.Generator
    ) -> Iterator[Envelope[Event]]:
        names = list(self._per_session)
        rates = np.array([self._per_session[name] for name in names])
        counts = random.poisson(np.outer(sessions, rates)).tolist()
        p95 = random.lognormal(np.log(12.0), 0.25, (len(counts), len(names))).round(2).tolist()
        for minute, (requests, latencies) in enumerate(zip(counts, p95, strict=True)):
            subject = imported_id(f"made-up-{SEED}-{self._first:%Y%m%d%H%M}", f"minute/{day}/{minute}")
            data = PastMinute(requests=dict(zip(names, requests, strict=True)), errors={},
                              p95_ms=dict(zip(names, latencies, strict=True)),
                              sessions=float(sessions[minute]), origin=ORIGIN)  # fmt: skip
            at = first + timedelta(minutes=minute)
            yield Envelope(id=subject, source="/history", subject=subject, time=at, data=data)


def _begun(event: Envelope[Event], share: float) -> Envelope[Event]:
    """A minute of which only a share has passed; anything else as it is."""
    minute = event.data
    if not isinstance(minute, PastMinute) or share >= 1:
        return event
    requests = {name: count * share for name, count in minute.requests.items()}
    return replace(event, data=replace(minute, requests=requests, sessions=minute.sessions * share))


def _append(log: EventLog, events: Iterator[Envelope[Event]]) -> int:
    batch: list[Record] = []
    written = 0
    for event in events:
        batch.append(Record(key=event.subject, value=encode(event)))
        if len(batch) == _BATCH:
            written += len(log.append(HISTORY.name, batch))
            batch = []
    return written + (len(log.append(HISTORY.name, batch)) if batch else 0)


def _mark(home: Home) -> Path:
    os.makedirs(home.path, exist_ok=True)
    return home.path / "made-up-past.json"
