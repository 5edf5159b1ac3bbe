"""A provider whose answers are lost and whose callbacks come twice: every order ends, and no money moves twice."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from shop_stack.hosting.service import Cause
from shop_stack.services.payments import store
from shop_stack.services.payments.rules import Payment
from tests.flows.shop_at_work import ENDS, Shop, gaps, names, until

pytestmark = pytest.mark.embedded
PATH = "/v1/provider-callbacks"
ORDERS = 24
PRICE = 500


class Door:
    """The mesh's listener, by which the provider comes to payments: it passes on, counts, and refuses the first few."""

    def __init__(self, refuse: int) -> None:
        self.refuse = refuse
        self.shop: Shop | None = None
        self.heard: Counter[str] = Counter()
        self.refused = 0
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(door.pass_on(self.path, body))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def pass_on(self, path: str, body: bytes) -> int:
        if self.refused < self.refuse or self.shop is None:
            self.refused += 1
            return 503
        told = msgspec.json.decode(body)
        answer = self.shop.ask("payments", "POST", path, told)
        self.heard[told["id"]] += 1
        return answer.status

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    opened = Door(refuse=3)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, door: Door) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("callbacks")
    running = Shop(folder, "microservices", ports={"mesh": door.server.server_address[1]})
    try:
        running.add_products({"tea": 1000})
        door.shop = running
        yield running
    finally:
        running.close()


def steps_taken(shop: Shop, step: str) -> Counter[str]:
    """How often the provider did a step for each order, by its own books."""
    with sqlite3.connect(shop.settings.home.provider_ledger) as books:
        rows = books.execute("SELECT order_id FROM answers WHERE step = ? AND status = 200", (step,)).fetchall()
    books.close()
    return Counter(row[0] for row in rows)


def test_every_order_ends_and_the_books_agree_with_its_state(shop: Shop, door: Door) -> None:
    shop.behave(lost_rate=0.5, decline_rate=0.15, callback_rate=1.0, duplicate_rate=0.5, callback_s=0.02)
    orders = [shop.order({"tea": 1}, price_minor=PRICE) for _ in range(ORDERS)]
    for order_id in orders[::4]:
        assert shop.ask("orders", "POST", f"/v1/orders/{order_id}/cancellation", subject="shopper").status in (202, 409)
    ended = {order_id: shop.until_state(order_id, *ENDS)["state"] for order_id in orders}
    until(lambda: not callbacks_left(shop), what="all callbacks told")
    accounts = shop.accounts()
    for order_id, state in ended.items():
        account = accounts.get(order_id, {"captured_minor": 0, "refunded_minor": 0, "state": "none"})
        assert account["state"] != "authorised", "money is held for an order that has ended"
        assert account["captured_minor"] - account["refunded_minor"] == (PRICE if state == "completed" else 0)
    assert all(times == 1 for times in steps_taken(shop, "capture").values())
    assert {"completed"} < set(ended.values())
    until(lambda: not gaps(shop.events()), what="gapless sequences")
    for order_id in orders:
        published = Counter(names(shop.events(order_id), "payments"))
        assert all(times == 1 for times in published.values()), published
    assert door.refused == 3, "outcomes are told again until they are acknowledged"
    assert set(door.heard.values()) == {1, 2}, "some are told twice"
    assert len(door.heard) > ORDERS


def callbacks_left(shop: Shop) -> int:
    """Callbacks that the provider has still to tell."""
    with sqlite3.connect(shop.settings.home.provider_ledger) as books:
        count = books.execute("SELECT count(*) FROM callbacks").fetchone()[0]
    books.close()
    return int(count)


def wait_at(shop: Shop, payment: Payment, seconds: float) -> None:
    """Write a payment whose next call is due so much later."""
    with shop.replica("payments").contexts["payments"].write() as transaction:
        store.add(transaction.connection, payment, transaction.now + timedelta(seconds=seconds), Cause())


def tell(shop: Shop, order_id: str, step: str, status: str = "approved") -> int:
    """A callback, from whomever."""
    told = {"id": f"{order_id}/{step}", "order_id": order_id, "step": step, "status": status}
    return shop.ask("payments", "POST", PATH, told).status


def payment_of(shop: Shop, order_id: str) -> dict[str, Any]:
    return dict(shop.ask("payments", "GET", f"/v1/payments/{order_id}").json())


def test_a_callback_ends_the_wait_before_a_repeated_call(shop: Shop) -> None:
    shop.behave(lost_rate=0.0, decline_rate=0.0, callback_rate=0.0)
    waiting = Payment(order_id="waits", amount_minor=700, state="wanted", goal="authorised", attempts=3)
    wait_at(shop, waiting, 3600)
    assert tell(shop, "waits", "authorise") == 204
    until(lambda: payment_of(shop, "waits")["state"] == "authorised", what="the answer")
    assert shop.accounts()["waits"]["authorised_minor"] == 700
    assert tell(shop, "waits", "authorise") == 204
    assert steps_taken(shop, "authorise")["waits"] == 1


def test_a_made_up_callback_moves_nothing(shop: Shop) -> None:
    held = Payment(order_id="held", amount_minor=700, state="authorised", goal="authorised", reference="r")
    asked = Payment(order_id="asked", amount_minor=700, state="wanted", goal="authorised", attempts=1)
    wait_at(shop, held, 3600)
    wait_at(shop, asked, 3600)
    before = [payment_of(shop, name) for name in ("held", "asked")]
    for order_id, step in (("held", "capture"), ("held", "refund"), ("asked", "capture"), ("nobody", "capture")):
        assert tell(shop, order_id, step) == 204
    assert [payment_of(shop, name) for name in ("held", "asked")] == before
    assert not {"held", "asked", "nobody"} & set(shop.accounts())


@pytest.mark.parametrize("told", [{}, {"id": "x", "order_id": "x", "step": "give", "status": "approved"}, []])
def test_a_callback_that_says_nothing_is_refused(shop: Shop, told: Any) -> None:
    assert shop.ask("payments", "POST", PATH, told).status == 400
