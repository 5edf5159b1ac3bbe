"""On the whole stack: a person buys, is erased by the command, and no byte of them lies in any file of the home."""

import json
import subprocess
import uuid
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from shop_stack.settings import Home, read_endpoints
from tests import needs
from tests.flows.canary import Canary, files_of, traces
from tests.stack.command import SHOPFLOOR, shopfloor
from tests.stack.gateway_bench import until
from tests.stack.ordeal import running_shop

pytestmark = pytest.mark.real
JANE = Canary()


def buy(client: httpx.Client) -> str:
    """Look for oneself, fill a cart, order, and wait until the parcel is there; the order's id."""
    found = client.get(f"/v1/pages/search?q={quote(JANE.name)}")
    assert found.status_code == 200, found.text
    product = client.get("/v1/products?size=1").json()["items"][0]
    cart = f"/v1/carts/{uuid.uuid4().hex}"
    lines = {"lines": [{"product_id": product["product_id"], "quantity": 1}]}
    assert client.put(cart, json=lines).status_code == 200
    wanted = {"cart_id": cart.rsplit("/", 1)[1], "expected_total": product["list_price_minor"]}
    placed = client.post("/v1/orders", json=wanted, headers={"idempotency-key": uuid.uuid4().hex})
    assert placed.status_code == 202, placed.text
    order_id = str(placed.json()["order_id"])
    until(lambda: client.get(f"/v1/orders/{order_id}").json()["state"] in ("completed", "rejected"), 60)
    return order_id


def test_no_byte_of_an_erased_person_stays_in_the_home(tmp_path: Path) -> None:
    needs.envoy()
    with running_shop(tmp_path / "home", "embedded:") as home:
        with httpx.Client(base_url=read_endpoints(home).gateway, timeout=20, trust_env=False) as client:
            key = {"idempotency-key": uuid.uuid4().hex}
            session = client.post("/v1/customers", json=JANE.registration, headers=key).json()
            client.headers["authorization"] = f"Bearer {session['token']}"
            order_id = buy(client)
            wrong = {"email": JANE.email, "password": "not the one"}
            assert client.post("/v1/sessions", json=wrong).status_code == 401
            jane = str(session["customer_id"])
            assert told(home, "find", JANE.email)["customer_id"] == jane
            exported = told(home, "export", jane)
            assert exported["profiles"][0]["address"] == JANE.address
            assert exported["services"]["orders"][0]["order_id"] == order_id
            assert refused(home, jane), "an erasure needs its confirmation"
            certificate = told(home, "erase", jane, "--yes", "--wait", "60", "--json")
            assert (certificate["state"], certificate["missing"]) == ("complete", [])
            places = {place["place"] for place in certificate["places"]}
            assert places == {"customers", "storefront", "orders", "shipping", "analytics"}
            assert client.get("/v1/me").status_code == 404
        assert {"warehouse.duckdb", "customers.db", "orders.db"} <= {path.name for path, _ in files_of(home.path)}
        assert traces(home.path, JANE.needles()) == [], "on the running stack"
    assert traces(home.path, JANE.needles()) == [], "on the stopped stack"


def told(home: Home, *words: str) -> dict[str, object]:
    """What `shopfloor customer` answers."""
    given = words if "--json" in words else (*words, "--json")
    return dict(json.loads(shopfloor("customer", *given, home=home)))


def refused(home: Home, person: str) -> bool:
    """Whether an erasure without --yes is refused."""
    line = [SHOPFLOOR, "customer", "erase", person, "--home", str(home.path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.returncode == 5 and "second time" in done.stderr
