"""An open-loop load trial: sessions arrive by their own clock, finish, and are counted with their orders."""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import msgspec
import numpy as np

from shop_stack.settings import Home, read_endpoints
from shop_stack.traffic.arrivals import arrivals
from shop_stack.traffic.shelf import Shelf, read_shelf
from shop_stack.traffic.shop_client import RequestFailed, ShopClient, Shopper, Tally
from shop_stack.traffic.shopper import PlacedOrder, Session, an_address, place_order
from shop_stack.traffic.walk import CONVERSION, Walk, calibrated

_TERMINAL = {"completed": "completed", "rejected": "rejected", "cancelled": "cancelled"}
_GUESTS = 200


class LoadReport(msgspec.Struct, kw_only=True):
    """What a trial did. Percentiles are of whole requests, retries included, in ms."""

    seed: int
    rate: float
    seconds: float
    sessions: int
    requests: int
    retried_requests: int
    failed_requests: int
    failures: dict[str, int]
    orders_placed: int
    orders_completed: int
    orders_rejected: int
    orders_cancelled: int
    orders_open: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    elapsed_s: float
    latest_start_ms: float


@dataclass
class _Trial:
    client: ShopClient
    shelf: Shelf
    random: np.random.Generator
    placed: list[PlacedOrder] = field(default_factory=list)
    sessions: int = 0
    latest_start_s: float = 0.0

    def child(self) -> np.random.Generator:
        return np.random.default_rng(self.random.integers(2**63))


def run_load(
    home: Home,
    *,
    rate: float,
    seconds: float,
    seed: int = 1,
    think: float = 1.0,
    conversion: float | None = None,
    orders_only: bool = False,
    drain_s: float = 90.0,
) -> LoadReport:
    """Run a trial against the stack on `home`: `rate` sessions a second for `seconds`, then until all finished.

    Raises NotRunning and SettingError. Orders are asked for until they end, for `drain_s` at most.
    """
    return asyncio.run(_run(home, rate, seconds, seed, think, conversion or CONVERSION, orders_only, drain_s))


async def _run(
    home: Home, rate: float, seconds: float, seed: int, think: float, conversion: float, orders_only: bool, drain: float
) -> LoadReport:
    walk = calibrated(conversion)
    random = np.random.default_rng(seed)
    endpoints = read_endpoints(home)
    setup = ShopClient(endpoints.trial, Tally())
    client = ShopClient(endpoints.trial, Tally(), connections=128)
    try:
        trial = _Trial(client, await read_shelf(setup, an_address(random)), random)
        guests = await asyncio.gather(*(setup.guest(an_address(random)) for _ in range(_GUESTS if orders_only else 0)))

        async def session() -> None:
            if orders_only:
                await _order_alone(trial, guests[trial.sessions % len(guests)])
            else:
                await _session(trial, walk, think)

        started = time.perf_counter()
        await _open_loop(trial, list(arrivals(rate, seconds, random)), session)
        elapsed = time.perf_counter() - started
        outcomes = await _outcomes(setup, trial.placed, drain)
        return _report(trial, client.tally, outcomes, seed, rate, seconds, elapsed)
    finally:
        await client.close()
        await setup.close()


async def _open_loop(trial: _Trial, starts: list[float], session: Callable[[], Coroutine[None, None, None]]) -> None:
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for start in starts:
            await asyncio.sleep(max(0.0, began + start - time.perf_counter()))
            trial.latest_start_s = max(trial.latest_start_s, time.perf_counter() - began - start)
            group.create_task(session())
            trial.sessions += 1


async def _session(trial: _Trial, walk: Walk, think: float) -> None:
    random = trial.child()
    visit = Session(trial.client, trial.shelf, walk, random, an_address(random), think=think)
    order = await visit.run()
    if order is not None:
        trial.placed.append(order)


async def _order_alone(trial: _Trial, guest: Shopper) -> None:
    random = trial.child()
    basket = trial.shelf.basket(random)
    cart_id = str(uuid.uuid4())
    lines = [{"product_id": product, "quantity": quantity} for product, quantity in basket.items()]
    try:
        await trial.client.put(guest, f"/v1/carts/{cart_id}", {"lines": lines})
        trial.placed.append(await place_order(trial.client, trial.shelf, guest, cart_id, basket))
    except RequestFailed:
        return


async def _outcomes(client: ShopClient, placed: list[PlacedOrder], drain_s: float) -> dict[str, int]:
    counts = {"completed": 0, "rejected": 0, "cancelled": 0, "open": 0}
    waiting = list(placed)
    deadline = time.monotonic() + drain_s
    while waiting and time.monotonic() < deadline:
        still: list[PlacedOrder] = []
        for order in waiting:
            state = await _state(client, order)
            if state in _TERMINAL:
                counts[state] += 1
            else:
                still.append(order)
        waiting = still
        if waiting:
            await asyncio.sleep(0.5)
    counts["open"] = len(waiting)
    return counts


async def _state(client: ShopClient, order: PlacedOrder) -> str:
    try:
        answer = await client.get(order.shopper, f"/v1/orders/{order.order_id}")
    except RequestFailed:
        return "unknown"
    return str(answer["state"])


def _report(
    trial: _Trial, tally: Tally, outcomes: dict[str, int], seed: int, rate: float, seconds: float, elapsed: float
) -> LoadReport:
    def percentile(share: float) -> float | None:
        return round(float(np.percentile(tally.latencies_ms, share)), 1) if tally.latencies_ms else None

    return LoadReport(
        seed=seed,
        rate=rate,
        seconds=seconds,
        sessions=trial.sessions,
        requests=tally.requests,
        retried_requests=tally.retried,
        failed_requests=tally.failed,
        failures=dict(tally.failures),
        orders_placed=len(trial.placed),
        orders_completed=outcomes["completed"],
        orders_rejected=outcomes["rejected"],
        orders_cancelled=outcomes["cancelled"],
        orders_open=outcomes["open"],
        p50_ms=percentile(50),
        p95_ms=percentile(95),
        p99_ms=percentile(99),
        elapsed_s=round(elapsed, 2),
        latest_start_ms=round(trial.latest_start_s * 1000, 1),
    )
