"""Idempotent requests over real HTTP: every creating POST, a hundred at once, a busy twin, a service that dies."""

import os
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from shop_stack import access
from shop_stack.eventlog.pruning import KEYS_KEPT
from shop_stack.hosting import context as hosting
from shop_stack.hosting import host, sqlite_store
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.context import Context
from shop_stack.hosting.service import Answer, StillWorking, Transaction
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests.flows.shop_in_process import ReplicaProcess, Shop, replica_process, running_shop, wait_until
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.embedded
SERVICES = ("storefront", "catalog", "inventory", "orders", "customers")
PRODUCT = {"product_id": "tea", "name": "Tea", "category": "drinks", "list_price_minor": 450, "opening_stock": 1000}
JANE = {"email": "jane@example.org", "password": "correct horse battery", "name": "Jane", "address": "1 Mill Lane",
        "country": "GB"}  # fmt: skip


class Clock:
    """The time, which a test may put forward."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


ENGINES = ("sqlite", "postgresql")


def server_for(request: pytest.FixtureRequest, engine: str) -> PostgresServer | None:
    """The server when stores are to lie there."""
    return request.getfixturevalue("postgres") if engine == "postgresql" else None


@pytest.fixture(scope="module", params=ENGINES)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Shop]:
    """A shop on either engine."""
    folder, server = tmp_path_factory.mktemp("keys"), server_for(request, request.param)
    with running_shop(folder, SERVICES, topology="monolith", clock=clock, postgres=server) as running:
        answer = running.post("catalog", "/v1/products", PRODUCT, subject="operator", key="opening")
        assert answer.status_code == 201
        wait_until(lambda: running.get("inventory", "/v1/stock?ids=tea").json()["items"], "the opening stock")
        yield running


def new() -> str:
    """A key or id of its own."""
    return uuid.uuid4().hex


def cart(shop: Shop, subject: str) -> str:
    """The id of a cart with two units of tea."""
    cart_id = new()
    lines = {"lines": [{"product_id": "tea", "quantity": 2}]}
    assert shop.request("storefront", "PUT", f"/v1/carts/{cart_id}", lines, subject=subject).status_code == 200
    return cart_id


def orders_of(shop: Shop, subject: str) -> int:
    """How many orders a shopper has, by the orders' own store."""
    with shop.context("orders").read() as connection:
        return int(
            connection.execute(text("SELECT count(*) FROM orders WHERE customer_id=:id"), {"id": subject}).scalar_one()
        )


def products(product_id: str) -> dict[str, Any]:
    return {"products": [PRODUCT | {"product_id": product_id}]}


def ordered(shop: Shop) -> dict[str, Any]:
    return {"cart_id": cart(shop, "jane"), "expected_total": 900}


# (service, path): a body that creates something, and what another body differs in.
CREATING: dict[tuple[str, str], tuple[Callable[[Shop], dict[str, Any]], dict[str, Any]]] = {
    ("orders", "/v1/orders"): (ordered, {"expected_total": 1}),
    ("storefront", "/v1/checkouts"): (lambda shop: {"cart_id": cart(shop, "jane")}, {"cart_id": "another"}),
    ("inventory", "/v1/receipts"): (
        lambda shop: {"receipt_id": new(), "lines": [{"product_id": "tea", "quantity": 1}]},
        {"receipt_id": "another"},
    ),
    ("catalog", "/v1/products"): (lambda shop: PRODUCT | {"product_id": new()}, {"name": "Another"}),
    ("catalog", "/v1/products/batch"): (lambda shop: products(new()), products("another")),
    ("customers", "/v1/customers"): (lambda shop: JANE | {"email": f"{new()}@example.org"}, {"name": "Joan"}),
}
creating = pytest.mark.parametrize(("service", "path"), CREATING, ids=lambda part: part)


def test_these_are_all_the_posts_that_take_a_key(shop: Shop) -> None:
    paths = shop.get("orders", "/schema/openapi.json").json()["paths"]
    keyed = {
        (item["post"]["tags"][0], path)
        for path, item in paths.items()
        if any(one["name"] == "idempotency-key" for one in item.get("post", {}).get("parameters", []))
    }
    assert keyed == set(CREATING)


@creating
def test_a_repeat_gets_the_first_answer_and_another_body_is_refused(shop: Shop, service: str, path: str) -> None:
    make, other = CREATING[service, path]
    body, key = make(shop), new()
    first = shop.post(service, path, body, subject="jane", key=key)
    assert first.status_code in (200, 201, 202), first.text
    again = shop.post(service, path, body, subject="jane", key=key)
    assert again.status_code == first.status_code
    if service == "customers":  # the kept answer is the id alone: each time a token is signed anew
        assert again.json()["customer_id"] == first.json()["customer_id"]
    else:
        assert again.content == first.content
    refused = shop.post(service, path, body | other, subject="jane", key=key)
    assert refused.status_code == 422
    assert "another body" in refused.json()["detail"]


@creating
@pytest.mark.parametrize(("key", "status"), [("k" * 255, 200), ("k" * 256, 400), ("", 400), (None, 400)])
def test_a_key_has_1_to_255_letters(shop: Shop, service: str, path: str, key: str | None, status: int) -> None:
    body = CREATING[service, path][0](shop)
    answer = shop.post(service, path, body, subject=new(), key=key and new() + key[32:])
    if status == 400:
        assert (answer.status_code, "idempotency-key" in answer.json()["detail"]) == (400, True)
    elif path in ("/v1/orders", "/v1/checkouts"):
        assert answer.status_code == 404, "the cart is jane's; the key is right"
    else:
        assert answer.status_code in (200, 201, 202)


def test_a_hundred_posts_of_one_key_at_once_make_one_order(shop: Shop) -> None:
    subject, key = new(), new()
    wanted = {"cart_id": cart(shop, subject), "expected_total": 900}
    together = threading.Barrier(100)

    def post(_: int) -> tuple[int, bytes]:
        with httpx.Client(timeout=60) as client:
            together.wait(60)
            while True:
                answer = client.post(
                    f"http://127.0.0.1:{shop.groups['orders'].port}/v1/orders",
                    json=wanted,
                    headers={"x-subject": subject, "idempotency-key": key},
                )
                if answer.status_code != 409:  # a twin at work: said with Retry-After, and repeated
                    return answer.status_code, answer.content
                assert answer.headers["retry-after"]

    with ThreadPoolExecutor(100) as shoppers:
        answers = Counter(shoppers.map(post, range(100)))
    (((status, _), times),) = answers.items()
    assert (status, times) == (202, 100)
    assert orders_of(shop, subject) == 1


def test_a_twin_that_takes_too_long_is_a_409_with_retry_after(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "TWIN_WAITS_S", 0.2)
    subject, key = new(), new()
    wanted = {"cart_id": cart(shop, subject), "expected_total": 900}
    with shop.context("orders").write() as transaction:
        transaction.hold("\n".join(("key", subject, "POST", "/v1/orders", key)))
        answer = shop.post("orders", "/v1/orders", wanted, subject=subject, key=key)
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert shop.post("orders", "/v1/orders", wanted, subject=subject, key=key).status_code == 202
    assert orders_of(shop, subject) == 1


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)  # on PostgreSQL no thread opens a store of its own
def test_a_twin_on_a_thread_that_never_opened_the_store_is_told_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_S", 0.2)
    orders = shop.context("orders")

    def post() -> Answer:
        return orders.once(new(), new(), "POST", "/v1/orders", b"", lambda _: Answer(200, b""))

    with orders.write(), ThreadPoolExecutor(1) as fresh, pytest.raises(StillWorking):
        fresh.submit(post).result(10)


def test_a_key_is_kept_for_a_day_and_then_pruned(shop: Shop, clock: Clock) -> None:
    assert timedelta(hours=24) <= KEYS_KEPT
    subject, key = new(), new()
    wanted = {"cart_id": cart(shop, subject), "expected_total": 900}
    first = shop.post("orders", "/v1/orders", wanted, subject=subject, key=key)
    pruning = next(timer for timer in shop.groups["orders"].group.services if timer.name == "orders").timers
    clock.ahead += timedelta(hours=23, minutes=59)
    pruning.wake("pruning")
    assert shop.post("orders", "/v1/orders", wanted, subject=subject, key=key).content == first.content
    clock.ahead += timedelta(minutes=2)
    pruning.wake("pruning")

    def kept() -> int:
        with shop.context("orders").read() as connection:
            query = text("SELECT count(*) FROM idempotency_keys WHERE key=:key")
            return int(connection.execute(query, {"key": key}).scalar_one())

    wait_until(lambda: kept() == 0, "the key's end")


def die_after_the_commit(self: Context, *asked: Any) -> Answer:
    """`Context.once`, but the process is killed once the effect is committed, before its answer goes out; once."""
    answer = _ONCE(self, *asked)
    flag = self.settings.home.path / "deadly"
    if flag.exists() and asked[3] == "/v1/orders":
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


def die_before_the_commit(
    self: Context, key: str, subject: str, method: str, path: str, body: bytes, work: Any
) -> Answer:
    """`Context.once`, but the process is killed when the effect is done and not yet committed; once."""

    def deadly(transaction: Transaction) -> Answer:
        answer: Answer = work(transaction)
        flag = self.settings.home.path / "deadly"
        if flag.exists() and path == "/v1/orders":
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return _ONCE(self, key, subject, method, path, body, deadly)


_ONCE = Context.once
DEATHS = {"after": die_after_the_commit, "before": die_before_the_commit}


def serve_orders(settings: Settings, death: str, channel: Connection) -> None:
    """A replica with what an order needs, which dies at its first order while `deadly` lies in the home folder."""
    Context.once = DEATHS[death]  # type: ignore[method-assign, assignment]
    listener = host.bind()
    channel.send(("port", listener.getsockname()[1]))
    cards = [card_of(name) for name in ("storefront", "catalog", "orders")]
    host.serve(cards, settings, read_stack(), "orders-1", channel, listener)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("death", DEATHS)
def test_a_retry_after_the_service_was_killed_around_its_commit_makes_one_order(
    request: pytest.FixtureRequest, tmp_path: Path, death: str, engine: str
) -> None:
    server = server_for(request, engine)
    cards = ("storefront", "catalog", "orders")
    made = server.settings(tmp_path, cards) if server is not None else Settings(home=Home(tmp_path))
    settings = replace(made, topology="monolith")
    access.prepare_keys(settings.home, datetime.now(UTC))
    settings.home.path.joinpath("deadly").touch()
    headers = {"x-subject": "jane", "idempotency-key": "the order"}
    wanted = {"cart_id": "c1", "expected_total": 900}
    with replica_process(serve_orders, settings, death) as replica:
        replica.wait_ready()
        fill(replica)
        with pytest.raises(httpx.TransportError):
            replica.client.post("/v1/orders", json=wanted, headers=headers)
        replica.process.join(20)
        assert replica.process.exitcode == -signal.SIGKILL
    with replica_process(serve_orders, settings, death) as replica:
        replica.wait_ready()
        answers = [replica.client.post("/v1/orders", json=wanted, headers=headers) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
    store = Context(card_of("orders"), settings, read_stack(), None)  # type: ignore[arg-type]
    with store.read() as connection:
        orders = connection.execute(text("SELECT order_id FROM orders")).scalars().all()
    assert orders == [answers[0].json()["order_id"]]
    store.store.close()


def fill(replica: ReplicaProcess) -> None:
    """A product, and jane's cart with two of it."""
    operator = {"x-subject": "operator", "idempotency-key": "opening"}
    assert replica.client.post("/v1/products", json=PRODUCT, headers=operator).status_code == 201
    lines = {"lines": [{"product_id": "tea", "quantity": 2}]}
    assert replica.client.put("/v1/carts/c1", json=lines, headers={"x-subject": "jane"}).status_code == 200
