"""The live shoppers from their first second: in full swing, as the past left the shop; with a clock that jumps."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from shop_stack.traffic.arrivals import shape_at
from shop_stack.traffic.footprint import requests_per_session
from shop_stack.traffic.live import LiveShoppers
from shop_stack.traffic.shop_client import ShopClient, Shopper, Tally

pytestmark = pytest.mark.pure
BEGIN = datetime(2026, 11, 18, 13, 0, tzinfo=UTC)
MINUTES = 6
SEEDS = range(3)


class Warp(selectors.DefaultSelector):
    """A selector that never waits: where a loop would sleep, its clock moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


class Counting(ShopClient):
    """A shop that answers everything at once and counts, by minute, what it was asked and by whom."""

    def __init__(self, minute: Callable[[], int]) -> None:
        self.tally = Tally()
        self.minute = minute
        self.asked: Counter[tuple[int, str]] = Counter()
        self.by_subject: Counter[tuple[int, str]] = Counter()
        self.named: list[str] = []

    async def _call(
        self, shopper: Shopper, method: str, path: str, body: Any, key: str | None, parameters: dict[str, Any]
    ) -> Any:
        what = f"{method} {'/'.join(path.split('/')[:3])}"
        self.asked[self.minute(), what] += 1
        if shopper.token:
            self.by_subject[self.minute(), shopper.subject] += 1
        return getattr(self, "_" + what.split("/")[-1])(f"{len(self.named)}") if method != "GET" else _page()

    def _sessions(self, number: str) -> dict[str, str]:
        self.named.append(f"guest {number}")
        return {"token": number, "subject": f"guest {number}"}

    def _customers(self, number: str) -> dict[str, str]:
        self.named.append(f"customer {number}")
        return {"token": number, "customer_id": f"customer {number}"}

    def _carts(self, number: str) -> None:
        return None

    def _checkouts(self, number: str) -> None:
        return None

    def _orders(self, number: str) -> dict[str, str]:
        return {"order_id": number}


def _page() -> dict[str, Any]:
    items = [{"product_id": f"p{n}", "name": "Tea", "category": "c", "list_price_minor": 100} for n in range(20)]
    return {"items": items, "total": 20}


def shopped(folder: Path, seed: int, minutes: int = MINUTES) -> Counting:
    """So many minutes of live shopping, at once."""
    warp = Warp()
    loop = asyncio.SelectorEventLoop(warp)
    loop.time = lambda: warp.now  # type: ignore[method-assign]
    shop = Counting(lambda: int(warp.now // 60))

    def now() -> datetime:
        return BEGIN + timedelta(seconds=warp.now)

    async def shop_for_a_while() -> None:
        shoppers = LiveShoppers(Settings(home=Home(folder)), read_stack(), seed, shop, now)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shoppers.run(), minutes * 60)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(shop_for_a_while())
    return shop


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> list[Counting]:
    return [shopped(tmp_path_factory.mktemp("live"), seed) for seed in SEEDS]


def mean(shops: list[Counting], minutes: range, *ways: str) -> float:
    """Requests a minute of these kinds over these minutes."""
    found = sum(shop.asked[minute, way] for shop in shops for minute in minutes for way in ways)
    return found / len(shops) / len(minutes)


SIGN_UPS = ("POST /v1/sessions",)
PAGES = ("GET /v1/pages",)
CARTS = ("PUT /v1/carts", "POST /v1/checkouts", "POST /v1/orders")


@pytest.mark.parametrize(("ways", "within"), [(SIGN_UPS, 0.12), (PAGES, 0.12), (CARTS, 0.35)])
def test_the_first_minute_is_like_the_others(shops: list[Counting], ways: tuple[str, ...], within: float) -> None:
    usual = mean(shops, range(2, MINUTES), *ways)
    assert usual > 0
    assert mean(shops, range(1), *ways) == pytest.approx(usual, rel=within)


def test_live_minutes_are_as_the_made_up_past_says(shops: list[Counting]) -> None:
    a_minute = read_stack().traffic.sessions_per_s * 60 * shape_at(BEGIN, read_stack().zone)
    expected = a_minute * requests_per_session()["customers"]
    for minutes in (range(1), range(2, MINUTES)):
        assert mean(shops, minutes, *SIGN_UPS) == pytest.approx(expected, rel=0.12)


def test_customers_come_back_from_the_first_minute_on_and_nobody_exceeds_the_limit(shops: list[Counting]) -> None:
    limit = read_stack().limits.requests_per_minute_per_subject
    for shop in shops:
        first = {subject for minute, subject in shop.by_subject if minute == 0}
        assert any(subject.startswith("customer") for subject in first)
        assert max(shop.by_subject.values()) < limit / 2
