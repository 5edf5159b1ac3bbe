"""What shoppers and operators do over the gateway of the unmodified compose.yaml: order, repeat, be refused, import."""

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shop_stack.access import Issuer, Signer
from shop_stack.operations.client import OperationsClient
from shop_stack.settings import Home
from tests.compose.project import Project, until
from tests.flows.test_import import HEADER, MIXED
from tests.role_matrix import ANALYTICS, CALLERS, HOST_PAGES, OPERATIONS, SERVICES, SHOPPERS, VIEWERS, Caller, address

ORDERS = 60
COSTLY = ("GET", "/ops/v1/audit")


@dataclass
class Shop:
    """The shop as its gateway shows it, with the keys of both issuers."""

    project: Project
    http: httpx.Client

    def token(self, issuer: Issuer, role: str, subject: str) -> str:
        """A token that lasts as long as the tests."""
        keys = Home(self.project.volume("home"), secrets=self.project.volume("vault"))
        return Signer(keys, issuer).issue(subject, role, datetime.now(UTC), timedelta(hours=1))

    def ask(
        self, method: str, path: str, token: str | None, body: Any = None, key: str | None = None
    ) -> httpx.Response:
        """One request; of an endless answer the head alone."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= {"idempotency-key": key} if key else {}
        with self.http.stream(method, path, headers=headers, json=body) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
        return answer

    def a_cart(self, token: str) -> dict[str, Any]:
        """A cart with two pieces, and the order for it."""
        product = self.ask("GET", "/v1/products?size=1", token).json()["items"][0]
        cart_id = str(uuid.uuid4())
        lines = [{"product_id": product["product_id"], "quantity": 2}]
        assert self.ask("PUT", f"/v1/carts/{cart_id}", token, {"lines": lines}).status_code == 200
        return {"cart_id": cart_id, "expected_total": 2 * product["list_price_minor"]}


@pytest.fixture(scope="module")
def shop(project: Project) -> Iterator[Shop]:
    """The running shop."""
    with httpx.Client(base_url=f"http://127.0.0.1:{project.gateway}", timeout=30, trust_env=False) as http:
        yield Shop(project, http)


def test_an_order_goes_all_the_way_and_its_journey_is_told(shop: Shop) -> None:
    guest = shop.ask("POST", "/v1/sessions", None, {}).json()["token"]
    wanted = shop.a_cart(guest)
    wrong = shop.ask("POST", "/v1/orders", guest, wanted | {"expected_total": 1}, key=uuid.uuid4().hex)
    assert wrong.status_code == 409, wrong.text
    placed = shop.ask("POST", "/v1/orders", guest, wanted, key=uuid.uuid4().hex)
    assert placed.status_code == 202, placed.text
    order_id = placed.json()["order_id"]
    ends = ("completed", "rejected")
    until(lambda: shop.ask("GET", f"/v1/orders/{order_id}", guest).json()["state"] in ends, 60)
    assert shop.ask("GET", f"/v1/orders/{order_id}", shop.token("shoppers", "guest", "another")).status_code == 404
    with OperationsClient(str(shop.http.base_url), shop.token("operators", "viewer", "v")) as operations:
        steps = until(lambda: _whole(operations, order_id), 30)
    assert steps[0] == "shop.order.placed.v1"
    assert len(steps) >= 4


def _whole(operations: OperationsClient, order_id: str) -> list[str]:
    """The order's events, once its end is among them."""
    journey = operations.journey(order_id)
    return [step.type for step in journey.steps] if journey.state in ("completed", "rejected") else []


@pytest.mark.parametrize("route", SERVICES, ids=" ".join)
def test_the_shop_lets_in_whom_the_table_names(shop: Shop, route: tuple[str, str]) -> None:
    assert {caller for caller in CALLERS if _let_in(shop, *route, caller)} == SERVICES[route]


@pytest.mark.parametrize("route", sorted({**OPERATIONS, **ANALYTICS}), ids=" ".join)
def test_the_floors_of_operators_let_in_whom_the_table_names(shop: Shop, route: tuple[str, str]) -> None:
    reachable = VIEWERS if route[1].startswith(("/ops/", "/analytics/")) else frozenset[Caller]()
    named = {**OPERATIONS, **ANALYTICS}[route] & reachable
    asked = [one for one in CALLERS if route != COSTLY or one not in named - {"viewer"}]
    assert {caller for caller in asked if _let_in(shop, *route, caller)} == named & set(asked)


@pytest.mark.parametrize("path", HOST_PAGES)
def test_the_hosts_own_pages_stay_inside(shop: Shop, path: str) -> None:
    assert not [caller for caller in CALLERS for method in ("GET", "POST") if _let_in(shop, method, path, caller)]


def _let_in(shop: Shop, method: str, path: str, caller: Caller) -> bool:
    """Whether a service has answered, and not that this caller may not ask. Each request has its own subject."""
    token = None
    if caller != "nobody":
        token = shop.token("shoppers" if caller in SHOPPERS else "operators", caller, f"{caller} {method} {path}")
    answer = shop.ask(method, address(path), token)
    answered = "x-envoy-upstream-service-time" in answer.headers
    assert answered or answer.status_code in (401, 403, 404), (answer.status_code, answer.headers)
    return answered and answer.status_code not in (401, 403)


def test_every_key_makes_one_order_though_the_service_is_killed_meanwhile(shop: Shop) -> None:
    subject = f"jane-{uuid.uuid4().hex}"
    jane = shop.token("shoppers", "customer", subject)
    wanted = shop.a_cart(jane)
    keys = [uuid.uuid4().hex for _ in range(ORDERS)]
    answers: dict[str, httpx.Response] = {}
    some, pid = threading.Event(), shop.project.pid("orders")

    def order(key: str) -> None:
        answers[key] = _until_placed(shop, jane, wanted, key)
        if len(answers) >= ORDERS // 4:
            some.set()

    with ThreadPoolExecutor(4) as shoppers:
        asked = [shoppers.submit(order, key) for key in keys]
        assert some.wait(60)
        os.kill(pid, signal.SIGKILL)
        heard = len(answers)
        for one in asked:
            one.result(90)
    assert heard < ORDERS, "some were answered before the service died, and some were not"
    again = {key: _until_placed(shop, jane, wanted, key) for key in keys}
    assert {key: answer.content for key, answer in answers.items()} == {key: one.content for key, one in again.items()}
    assert len({answer.json()["order_id"] for answer in again.values()}) == ORDERS
    assert _orders_of(shop.project)[subject] == ORDERS
    other = _until_answered(shop, jane, wanted | {"expected_total": 1}, keys[0])
    assert (other.status_code, "another body" in other.text) == (422, True)


def _orders_of(project: Project) -> dict[str, int]:
    """How many orders the database has of each person."""
    counted = "select customer_id, count(*) from orders group by 1"
    said = project.compose("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "shop_orders", "-Atc", counted)
    return {person: int(count) for person, count in (line.split("|") for line in said.splitlines())}


def _until_placed(shop: Shop, token: str, wanted: dict[str, Any], key: str) -> httpx.Response:
    """The answer to an order, asked again under its key while the service is away."""
    answer = _until_answered(shop, token, wanted, key)
    assert answer.status_code == 202, answer.text
    return answer


def _until_answered(shop: Shop, token: str, wanted: dict[str, Any], key: str) -> httpx.Response:
    deadline = time.monotonic() + 60
    while (answer := shop.ask("POST", "/v1/orders", token, wanted, key)).status_code in (409, 502, 503, 504):
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    return answer


def test_past_orders_are_imported_once(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "past.csv"
    file.write_text("\n".join([HEADER, *MIXED, ""]))
    file.chmod(0o644)
    line = ("run", "--rm", "-T", "-v", f"{file}:/past.csv:ro", "console", "shopfloor", "import", "/past.csv", "--json")
    first = json.loads(shop.project.compose(*line))
    assert first["lines_read"] == len(MIXED) == first["lines_imported"] + sum(first["reasons"].values())
    assert json.loads(shop.project.compose(*line)) == first | {"already_imported": True}
    assert shop.ask("GET", "/v1/products/20725", None).json()["name"] == "LUNCH BAG"
