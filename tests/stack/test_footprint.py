"""What a shopper's step costs at each service, as the made-up past assumes it, counted by the real Envoy."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.mesh.envoy import envoy_files
from shop_stack.operations.envoy_statistics import parse, statistics_path
from shop_stack.settings import Home, read_endpoints
from shop_stack.stack import read_stack
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.footprint import REQUESTS_PER_STEP
from shop_stack.traffic.history import add_products
from shop_stack.traffic.shelf import read_shelf
from shop_stack.traffic.shop_client import ShopClient, Tally
from shop_stack.traffic.shopper import Session
from shop_stack.traffic.walk import Step, calibrated
from tests import needs
from tests.stack.command import shopfloor

pytestmark = pytest.mark.real
SERVICES = [spec.name for spec in read_stack().services]
ADDRESS = "10.1.2.3"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A running stack with a catalog and nobody in it."""
    needs.envoy()
    home = Home(tmp_path_factory.mktemp("footprint") / "home")
    shopfloor("up", "--detach", "--delivery-seconds", "1", home=home)
    try:
        add_products(home, made_up_products(30))
        yield home
    finally:
        shopfloor("down", home=home)


def answered(home: Home) -> dict[str, int]:
    """How many requests each service has answered, as Envoy counts them."""
    totals = parse(EnvoyAdmin(envoy_files(home).admin_socket).get(statistics_path(SERVICES)))
    return {name: totals[name].completed if name in totals else 0 for name in SERVICES}


async def test_every_step_costs_what_the_made_up_past_assumes(home: Home) -> None:
    client = ShopClient(read_endpoints(home).trial, Tally())
    try:
        shelf = await read_shelf(client, ADDRESS)
        session = Session(client, shelf, calibrated(), np.random.default_rng(4), ADDRESS)
        session.shopper = await client.guest(ADDRESS)
        steps: list[Step] = ["landing", "browse", "search", "product", "cart", "checkout", "order"]
        for step in steps:
            before = settled(home)
            await session._take(step)
            expected = {name: int(REQUESTS_PER_STEP[step].get(name, 0)) for name in SERVICES}
            cost = grown(home, before, expected)
            assert cost == expected, f"a {step} costs {cost}"
    finally:
        await client.close()


def settled(home: Home) -> dict[str, int]:
    """The counts once they have stood still for a second."""
    return grown(home, dict.fromkeys(SERVICES, 0), None)


def grown(home: Home, before: dict[str, int], expected: dict[str, int] | None) -> dict[str, int]:
    """By how much the counts have grown once they stand still for a second, and are as expected or 10 s are over."""
    deadline = time.monotonic() + 10
    last, since = answered(home), time.monotonic()
    while True:
        now = answered(home)
        if now != last:
            last, since = now, time.monotonic()
        still = time.monotonic() - since > 1.0
        growth = {name: now[name] - before[name] for name in SERVICES}
        if still and (expected is None or growth == expected or time.monotonic() > deadline):
            return growth
        time.sleep(0.05)
