"""The checkout with several replicas beside each other on PostgreSQL, and with the server killed under them."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shop_stack.eventlog.loss import find_loss
from shop_stack.eventlog.opening import open_log
from shop_stack.hosting.service import Answer
from shop_stack.operations.audit_home import audit_home
from shop_stack.postgres import server_of
from shop_stack.runtime.repairing import outboxes_of
from tests import needs
from tests.flows.shop_at_work import ENDS, Shop, gaps, until
from tests.postgres_server import PostgresServer, running_postgres

pytestmark = pytest.mark.embedded
_PRODUCTS = {"tea": 300, "cup": 300, "pot": 20}
_REPLICATED = ("orders", "inventory", "payments", "shipping")


@pytest.fixture
def durable() -> Iterator[PostgresServer]:
    """A server of its own, with fsync."""
    with running_postgres(needs.postgres(), durable=True) as server:
        yield server


def test_replicas_share_the_work_and_a_killed_server_loses_nothing(durable: PostgresServer, tmp_path: Path) -> None:
    with closing(Shop(tmp_path, "microservices", postgres=durable)) as shop:
        for group in _REPLICATED:
            shop.start(group)
        shop.until_ready()
        shop.add_products(_PRODUCTS)
        carts = [shop.fill_cart(f"shopper-{number}", _wanted(number)) for number in range(60)]
        under_way = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            placed = [pool.submit(_insist, shop, number, cart, under_way) for number, cart in enumerate(carts)]
            assert under_way.wait(30)
            durable.kill()
            answer = shop.ask("catalog", "GET", "/v1/products/tea")
            assert answer.status == 503, answer
            assert shop.replica("orders").troubles() == {"orders": "its store does not answer"}
            durable.start()
            orders = [one.result(60) for one in placed]
        assert len(set(orders)) == len(orders)
        shown = Counter(_end_of(shop, order_id, number)["state"] for number, order_id in enumerate(orders))
        assert shown["completed"] == len([n for n in range(60) if "pot" not in _wanted(n)]) + 20
        assert shown["rejected"] == len(orders) - shown["completed"]
        levels = shop.levels(_PRODUCTS)
        assert levels["pot"] == {"available": 0, "reserved": 0, "sold": 20}
        assert {name: sum(units.values()) for name, units in levels.items()} == _PRODUCTS
        assert gaps(shop.events()) == []
    report = audit_home(shop.settings, strict=True, now=datetime.now(UTC))
    assert [found for found in report.invariants if found.status == "violated"] == []
    assert report.orders == len(orders)
    outboxes = outboxes_of(shop.settings)
    assert {outbox.name for outbox in outboxes} == {spec.name for spec in shop.stack.services}
    assert sum(outbox.waiting() for outbox in outboxes) == 0
    with open_log(shop.settings) as log:
        assert not find_loss(log, outboxes, datetime.now(UTC))
    with server_of(durable.url, durable.secrets).connect("orders") as orders_role:
        one = "(SELECT max(order_id) FROM orders WHERE state = 'completed')"
        orders_role.execute(f"UPDATE orders SET state = 'rejected' WHERE order_id = {one}".encode())  # noqa: S608
    assert not audit_home(shop.settings, strict=True, now=datetime.now(UTC)).ok, "the auditor reads what is there"


def _wanted(number: int) -> dict[str, int]:
    """Products in one order or the other, so that rows are wanted crosswise; half of the orders want the scarce one."""
    lines = [("tea", 1), ("cup", 1), *([("pot", 1)] if number % 2 else [])]
    return dict(lines if number % 3 else reversed(lines))


def _insist(shop: Shop, number: int, cart: str, under_way: threading.Event) -> str:
    """Place an order, as a client does: the same key again until there is an answer."""
    body = {"cart_id": cart, "expected_total": 500 * len(_wanted(number))}

    def accepted() -> Answer | None:
        answer = shop.ask("orders", "POST", "/v1/orders", body, f"shopper-{number}", f"key-{number}")
        assert answer.status in (202, 409, 503), answer
        return answer if answer.status == 202 else None

    answer = until(accepted, 40, "the order's acceptance")
    assert answer is not None
    if number >= 20:
        under_way.set()
    return str(answer.json()["order_id"])


def _end_of(shop: Shop, order_id: str, number: int) -> dict[str, str]:
    def ended() -> dict[str, str] | None:
        shown = shop.show(order_id, f"shopper-{number}")
        return shown if shown["state"] in ENDS else None

    shown = until(ended, 60, f"the end of order {number}")
    assert shown is not None
    return shown
