"""A product page lives on when the services behind it are dead or do not answer."""

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.flows.shop_in_process import Shop, running_shop

pytestmark = pytest.mark.embedded

LAMP = {"product_id": "L1", "name": "Lamp", "category": "lighting", "list_price_minor": 1000, "opening_stock": 5}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@pytest.fixture
def dead_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The storefront and the catalog; nobody else is there."""
    with running_shop(tmp_path, ("storefront", "catalog")) as running:
        products = {"products": [LAMP]}
        assert running.post("catalog", "/v1/products/batch", products, subject="o", key="k").status_code == 201
        yield running


def stand_at(shop: Shop, service: str, port: int) -> None:
    shop.groups[service] = SimpleNamespace(port=port)  # type: ignore[assignment]


def page_of(shop: Shop) -> dict[str, object]:
    answer = shop.get("storefront", "/v1/pages/products/L1", subject="s")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_silent_and_a_dead_service_are_named_and_the_product_is_shown(shop: Shop, silent_port: int, dead_port: int):
    stand_at(shop, "inventory", silent_port)
    stand_at(shop, "recommendations", dead_port)
    page = page_of(shop)
    assert page["degraded"] == ["inventory", "recommendations"]
    assert page["product"]["name"] == "Lamp"  # type: ignore[index]
    assert (page["stock"], page["recommendations"]) == (None, [])


def test_without_the_catalog_there_is_still_a_page_and_a_search_but_no_price(shop: Shop, dead_port: int):
    for service in ("catalog", "inventory", "recommendations"):
        stand_at(shop, service, dead_port)
    page = page_of(shop)
    assert page["product"] is None
    assert page["degraded"] == ["catalog", "inventory", "recommendations"]
    search = shop.get("storefront", "/v1/pages/search?q=lamp", subject="s").json()
    assert (search["items"], search["degraded"]) == ([], ["catalog"])
    cart_id = str(uuid.uuid4())
    content = {"lines": [{"product_id": "L1", "quantity": 1}]}
    assert shop.request("storefront", "PUT", f"/v1/carts/{cart_id}", content, subject="s").status_code == 200
    checkout = shop.post("storefront", "/v1/checkouts", {"cart_id": cart_id}, subject="s", key="k")
    assert checkout.status_code == 503
    assert checkout.headers["retry-after"] == "1"
    assert shop.events("shop.behaviour") == [] or all(
        type(event.data).__name__ == "CartChanged" for event in shop.events("shop.behaviour")
    )
