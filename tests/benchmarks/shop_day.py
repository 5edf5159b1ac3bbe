"""Makes millions of events of the shop's own kinds: sessions by the shop's own walk, orders with their whole chain.

Sessions, carts and orders are consistent with each other, and all of it is the same for the same seed. Out of a
session come searches, views, cart changes and a checkout; out of 2.5% of them an order with what orders, inventory,
payments and shipping say of it; once a second a sample of the whole stack; a few records come twice, a few late.
"""

import heapq
import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import numpy as np

from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import (
    CartChanged,
    CheckoutStarted,
    Event,
    OrderPlaced,
    PartitionLag,
    ProductAdded,
    ProductsSearched,
    ProductViewed,
    ServiceSample,
    StackSampled,
)
from shop_stack.events.shop import Line
from shop_stack.ids import uuid7
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.live import RETURNING_SHARE
from shop_stack.traffic.walk import calibrated, think_s
from tests.benchmarks.order_chain import Told, chain

UNTIL = datetime(2026, 11, 18, 12, tzinfo=UTC)
SERVICES = ("storefront", "customers", "catalog", "inventory", "orders", "payments", "shipping", "recommendations")
_A_SESSION = 3.27 + 0.025 * 25.0  # events, in the mean
_SAMPLE_S = 1.0
_TWICE, _LATE = 0.001, 0.0005
_LATE_S = 1800.0
_KNOWN = 5_000


@dataclass(frozen=True)
class Moment:
    """One event and when it happened, in seconds since the beginning; `arrives` is when it comes to lie in the log."""

    arrives: float
    told: Told
    twice: bool = False


@dataclass
class ShopDay:
    """About `events` events in the `hours` before `until`."""

    events: int
    hours: float = 24.0
    seed: int = 1
    until: datetime = UNTIL
    orders: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.since = self.until - timedelta(hours=self.hours)
        self._random = np.random.default_rng(self.seed)
        self._span_s = self.hours * 3600
        self._products = made_up_products()
        self._weights = list(accumulate(p["popularity"] for p in self._products))
        self._known: list[str] = []
        self._walk = calibrated()

    def by_span(self, span_s: float = 600.0) -> Iterator[dict[str, list[Record]]]:
        """The records by topic, one span of arrival after the other."""
        waiting: list[tuple[float, int, Moment]] = []
        number = 0
        for begin in np.arange(0, self._span_s, span_s):
            for moment in self._born(float(begin), float(begin) + span_s):
                number += 1
                heapq.heappush(waiting, (moment.arrives, number, moment))
            records: dict[str, list[Record]] = {}
            while waiting and waiting[0][0] < min(begin + span_s, self._span_s):
                moment = heapq.heappop(waiting)[2]
                made = self._record(moment.told)
                records.setdefault(moment.told.event.topic.name, []).extend([made, made] if moment.twice else [made])
            yield records

    def _born(self, begin: float, end: float) -> Iterator[Moment]:
        """What begins in a span of seconds: samples, and whole sessions with their orders, far into later spans."""
        if begin == 0:
            for product in self._products:
                yield Moment(0.0, Told(0.0, "/catalog", product["product_id"], ProductAdded(**product), sequence=1))
        for at in np.arange(begin, end, _SAMPLE_S):
            yield Moment(float(at), Told(float(at), "/operations", "stack", self._sample(float(at))))
        count = self._random.poisson(self._rate(begin) * (end - begin))
        for start in self._random.uniform(begin, end, count):
            for told in self._session(float(start)):
                dice = self._random.random()
                late = self._random.exponential(_LATE_S) if dice < _LATE else 0.0
                yield Moment(told.at + late, told, twice=_LATE <= dice < _LATE + _TWICE)

    def _rate(self, at: float) -> float:
        """Sessions a second: a day's wave around the mean."""
        mean = max(0.0, self.events - self._span_s / _SAMPLE_S) / _A_SESSION / self._span_s
        return mean * (1 + 0.6 * math.sin(2 * math.pi * at / 86400))

    def _session(self, at: float) -> Iterator[Told]:
        session = self._shopper(at)
        cart, cart_id = dict[str, int](), ""
        for step in self._walk.steps(self._random):
            event: Event | None = None
            if step == "search":
                event = ProductsSearched(session_id=session, words=["lantern"], results=int(self._random.integers(40)))
            elif step == "product":
                event = ProductViewed(session_id=session, product_id=self._product())
            elif step == "cart":
                cart_id = cart_id or str(self._identifier(at))
                product = self._product()
                cart[product] = cart.get(product, 0) + 1
                event = CartChanged(session_id=session, cart_id=cart_id, product_id=product, quantity=cart[product])
            elif step == "checkout":
                event = CheckoutStarted(session_id=session, cart_id=cart_id, total_minor=self._total(cart))
            elif step == "order":
                yield from self._order(at, session, cart_id, cart)
            if event is not None:
                yield Told(at, "/storefront", session, event)
            at += think_s(step, self._random)

    def _order(self, at: float, customer: str, cart_id: str, cart: dict[str, int]) -> Iterator[Told]:
        order_id = self._identifier(at)
        self.orders.append(order_id)
        lines = [Line(product, number, self._price(product)) for product, number in cart.items()]
        total = self._total(cart)
        placed = OrderPlaced(order_id=order_id, customer_id=customer, cart_id=cart_id, lines=lines, total_minor=total)
        return chain(placed, at, self._random)

    def _shopper(self, at: float) -> str:
        if self._known and self._random.random() < RETURNING_SHARE:
            return self._known[int(self._random.integers(len(self._known)))]
        made = self._identifier(at)
        if len(self._known) < _KNOWN:
            self._known.append(made)
        else:
            self._known[int(self._random.integers(_KNOWN))] = made
        return made

    def _identifier(self, at: float) -> str:
        return uuid7(self.since + timedelta(seconds=at), self._random.bytes(10))

    def _product(self) -> str:
        drawn = self._random.random() * self._weights[-1]
        return str(self._products[bisect_left(self._weights, drawn)]["product_id"])

    def _price(self, product_id: str) -> int:
        return int(self._products[int(product_id[1:]) - 1]["list_price_minor"])

    def _total(self, cart: dict[str, int]) -> int:
        return sum(number * self._price(product) for product, number in cart.items())

    def _sample(self, at: float) -> StackSampled:
        rate = self._rate(at) * 6
        lag = int(self._random.integers(0, 4))
        waiting = [PartitionLag(topic="shop.orders", partition=lag, committed=1, end=1 + lag, lag=lag, share=1.0)]
        services = [
            ServiceSample(service=name, group=name, ready=1, desired=1, request_rate=rate, error_rate=0.0, p50_ms=4.0,
                          p95_ms=float(self._random.uniform(5, 20)), p99_ms=30.0, lag=lag, cpu_cores=0.05,
                          memory_bytes=60_000_000, partitions=waiting if name == "payments" and lag else [])
            for name in SERVICES
        ]  # fmt: skip
        return StackSampled(interval_s=_SAMPLE_S, services=services, parts={"log": True, "analytics": True},
                            cpu_cores=0.5, memory_bytes=500_000_000)  # fmt: skip

    def _record(self, told: Told) -> Record:
        at = self.since + timedelta(seconds=told.at)
        envelope = Envelope(
            id=uuid7(at, self._random.bytes(10)),
            source=told.source,
            subject=told.subject,
            time=at,
            sequence=told.sequence,
            correlationid=told.order_id,
            causationid=told.cause,
            data=told.event,
        )
        return Record(key=told.subject, value=encode(envelope), type=told.event.type)
