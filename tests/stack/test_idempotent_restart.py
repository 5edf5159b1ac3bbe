"""Retries across a restart of the real Envoy: killed while orders are on their way, every key makes one order."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from shop_stack.mesh.policy import policy_of
from shop_stack.stack import read_stack
from tests import needs
from tests.flows.shop_in_process import Shop, running_shop, wait_until
from tests.stack.gateway_bench import Gateway, gateway

pytestmark = pytest.mark.real
PRODUCT = {"product_id": "tea", "name": "Tea", "category": "drinks", "list_price_minor": 450, "opening_stock": 1000}
WANTED = {"cart_id": "c1", "expected_total": 900}
ORDERS = 24


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    needs.envoy()
    services = ("storefront", "catalog", "orders")
    with running_shop(tmp_path_factory.mktemp("shop"), services, topology="monolith") as running:
        assert running.post("catalog", "/v1/products", PRODUCT, subject="operator", key="opening").status_code == 201
        lines = {"lines": [{"product_id": "tea", "quantity": 2}]}
        assert running.request("storefront", "PUT", "/v1/carts/c1", lines, subject="jane").status_code == 200
        yield running


def placed(shop: Shop) -> set[str]:
    """The ids of all orders, by the orders' own store."""
    with shop.context("orders").read() as connection:
        return {row[0] for row in connection.exec_driver_sql("SELECT order_id FROM orders")}


def order(envoy: Gateway, key: str) -> httpx.Response:
    """Jane's order under this key, through the gateway, on a connection of its own."""
    headers = {"authorization": f"Bearer {envoy.token('shoppers', 'customer', 'jane')}", "idempotency-key": key}
    return httpx.post(envoy.url("/v1/orders"), json=WANTED, headers=headers, timeout=20, trust_env=False)


def test_a_retry_through_the_next_envoy_gets_the_order_that_the_first_one_never_answered(
    shop: Shop, tmp_path: Path
) -> None:
    policy, before = policy_of(read_stack()), placed(shop)
    with gateway(tmp_path, policy) as envoy, ThreadPoolExecutor(1) as shopper:
        envoy.serve("orders", shop.groups["orders"].port)
        with shop.context("orders").write():
            first = shopper.submit(order, envoy, "one")
            wait_until(lambda: any(host.active for host in envoy.hosts("orders")), "the request at the service")
            envoy.process.kill()
            with pytest.raises(httpx.TransportError):
                first.result(20)
    (made,) = wait_until(lambda: placed(shop) - before, "the order, whose answer nobody heard")
    with gateway(tmp_path, policy) as envoy:
        envoy.serve("orders", shop.groups["orders"].port)
        answers = [order(envoy, "one") for _ in range(2)]
    assert {(answer.status_code, answer.json()["order_id"]) for answer in answers} == {(202, made)}
    assert placed(shop) - before == {made}


def test_every_key_makes_one_order_while_envoy_is_killed_under_load(shop: Shop, tmp_path: Path) -> None:
    policy, before = policy_of(read_stack()), placed(shop)
    keys = [uuid.uuid4().hex for _ in range(ORDERS)]
    heard: dict[str, httpx.Response] = {}
    some, held = threading.Event(), threading.Event()

    def ask(envoy: Gateway, key: str) -> None:
        if some.is_set():
            assert held.wait(30)
        try:
            heard[key] = order(envoy, key)
        except httpx.TransportError:
            return
        if len(heard) >= ORDERS // 4:
            some.set()

    with gateway(tmp_path, policy) as envoy, ThreadPoolExecutor(4) as shoppers:
        envoy.serve("orders", shop.groups["orders"].port)
        asked: list[Future[None]] = [shoppers.submit(ask, envoy, key) for key in keys]
        assert some.wait(30)
        with shop.context("orders").write():
            held.set()
            wait_until(lambda: any(host.active for host in envoy.hosts("orders")), "requests at the service")
            envoy.process.kill()
        for one in asked:
            one.result(30)
    assert ORDERS // 4 <= len(heard) < ORDERS, "some were answered by the first Envoy, and some were not"
    with gateway(tmp_path, policy) as envoy:
        envoy.serve("orders", shop.groups["orders"].port)
        again = {key: order(envoy, key) for key in keys}
    assert {answer.status_code for answer in again.values()} == {202}
    assert {key: answer.content for key, answer in heard.items()} == {key: again[key].content for key in heard}
    assert placed(shop) - before == {answer.json()["order_id"] for answer in again.values()}
    assert len(placed(shop) - before) == ORDERS
