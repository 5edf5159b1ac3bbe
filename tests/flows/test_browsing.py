"""Customers, catalog, storefront and recommendations at work together, as the gateway calls them."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shop_stack.access import Verifier
from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import Event, Line, OrderCompleted, PastOrderRecorded
from shop_stack.ids import imported_id
from tests.flows.shop_in_process import Shop, running_shop, wait_until

pytestmark = pytest.mark.embedded

SERVICES = ("storefront", "customers", "catalog", "inventory", "recommendations")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
JANE = {"email": "Jane@example.org", "password": "correct horse", "name": "Jane", "address": "1 Mill Lane",
        "country": "GB"}  # fmt: skip


@pytest.fixture(scope="module", params=["microservices", "monolith"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The browsing services with inventory, under two topologies."""
    with running_shop(tmp_path_factory.mktemp("browsing"), SERVICES, topology=request.param) as running:
        yield running


def key() -> str:
    return uuid.uuid4().hex


def product(mark: str, **other: Any) -> dict[str, Any]:
    facts = {"name": f"Lantern {mark}", "category": "lighting", "list_price_minor": 1000, "popularity": 1.0,
             "opening_stock": 5}  # fmt: skip
    return {"product_id": f"{mark}-{uuid.uuid4().hex[:8]}", **facts, **other}


def add(shop: Shop, *products: dict[str, Any]) -> Any:
    answer = shop.post("catalog", "/v1/products/batch", {"products": products}, subject="operator", key=key())
    assert answer.status_code == 201, answer.text
    return answer.json()


def of_product(shop: Shop, product_id: str) -> list[tuple[str, int | None]]:
    return [(type(e.data).__name__, e.sequence) for e in shop.events("shop.catalog") if e.subject == product_id]


# Customers


def test_a_guest_session_is_a_token_of_the_shoppers_issuer(shop: Shop):
    answer = shop.post("customers", "/v1/sessions", {}).json()
    principal = Verifier(shop.settings.home, "shoppers").principal(f"Bearer {answer['token']}")
    assert (principal.subject, principal.role) == (answer["subject"], "guest")


def test_a_customer_registers_once_signs_in_and_no_event_says_who_they_are(shop: Shop):
    jane, once = JANE | {"email": f"Jane{key()}@example.org"}, key()
    first = shop.post("customers", "/v1/customers", jane, key=once)
    assert first.status_code == 201
    customer_id = first.json()["customer_id"]
    assert shop.post("customers", "/v1/customers", jane, key=once).json()["customer_id"] == customer_id
    assert shop.post("customers", "/v1/customers", jane, key=key()).status_code == 409
    guest = shop.post("customers", "/v1/sessions", {}).json()
    asked = {"email": jane["email"].upper(), "password": jane["password"], "guest_token": guest["token"]}
    session = shop.post("customers", "/v1/sessions", asked).json()
    assert session["subject"] == customer_id
    events = wait_until(lambda: [e for e in shop.events("shop.customers") if e.subject == customer_id][1:2])
    assert (events[0].sequence, events[0].data.guest_id) == (2, guest["subject"])
    written = b"".join(encode(e) for e in shop.events("shop.customers"))
    assert not any(word in written for word in (b"Jane", b"jane", b"Mill Lane", b"horse"))


def test_an_account_is_shown_changed_and_found_for_a_label(shop: Shop):
    asked = JANE | {"email": f"{key()}@example.org"}
    customer_id = shop.post("customers", "/v1/customers", asked, key=key()).json()["customer_id"]
    assert shop.get("customers", "/v1/me", subject=customer_id, role="customer").json()["email"] == asked["email"]
    moved = {"name": "Jane", "address": "2 High Street", "country": "FR"}
    assert shop.request("customers", "PUT", "/v1/me", moved, subject=customer_id, role="customer").status_code == 200
    assert shop.get("customers", f"/v1/addresses/{customer_id}").json()["address"] == "2 High Street"
    assert shop.get("customers", "/v1/addresses/nobody").status_code == 404


def test_the_sixth_failed_sign_in_of_a_minute_is_told_to_wait(shop: Shop):
    wrong = {"email": f"{key()}@example.org", "password": "wrong horse"}
    statuses = [shop.post("customers", "/v1/sessions", wrong).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


@pytest.mark.parametrize("change", [{"email": "no address"}, {"password": "short"}, {"name": ""}, {"odd": 1}])
def test_a_registration_that_is_not_right_is_refused(shop: Shop, change: dict[str, Any]):
    answer = shop.post("customers", "/v1/customers", JANE | change, key=key())
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")


# Catalog


def test_products_are_added_once_repriced_and_a_conflict_changes_nothing(shop: Shop):
    lamp, lantern = product("lamp"), product("lantern")
    assert add(shop, lamp, lantern) == {"added": 2, "unchanged": 0, "repriced": 0}
    assert add(shop, lantern | {"list_price_minor": 900}, lamp) == {"added": 0, "unchanged": 1, "repriced": 1}
    renamed = {"products": [product("new"), lamp | {"name": "Other"}]}
    refused = shop.post("catalog", "/v1/products/batch", renamed, subject="operator", key=key())
    assert refused.status_code == 409
    assert refused.json()["product_ids"] == [lamp["product_id"]]
    assert shop.get("catalog", f"/v1/products/{renamed['products'][0]['product_id']}").status_code == 404
    path = f"/v1/products/{lamp['product_id']}/price"
    for price in (800, 800):
        changed = shop.request("catalog", "PUT", path, {"list_price_minor": price}, subject="operator")
        assert changed.json()["list_price_minor"] == 800
    expected = [("ProductAdded", 1), ("PriceChanged", 2)]
    for added in (lamp, lantern):
        wait_until(lambda added=added: of_product(shop, added["product_id"]) == expected, "its two events")


def test_the_opening_stock_reaches_inventory(shop: Shop):
    lamp = product("lamp", opening_stock=7)
    add(shop, lamp)
    path = f"/v1/stock?ids={lamp['product_id']}"
    stock = wait_until(lambda: shop.get("inventory", path).json()["items"], "the stock item")
    assert stock[0]["available"] == 7


def test_search_finds_beginnings_of_all_words_popular_first_in_pages(shop: Shop):
    mark = uuid.uuid4().hex[:10]
    names = [f"Zinc{mark} Watering Can", f"Zinc{mark} Watering Bucket", f"Zinc{mark} Kettle"]
    add(shop, *(product("p", name=name, popularity=float(n)) for n, name in enumerate(names)))
    found = shop.get("catalog", f"/v1/products?q=water%20ZINC{mark}").json()
    assert [item["name"] for item in found["items"]] == [names[1], names[0]]
    assert found["words"] == [f"zinc{mark}"]  # `water` stands in no name, only begins one
    second = shop.get("catalog", f"/v1/products?q=zinc{mark}&size=2&page=2").json()
    assert ([item["name"] for item in second["items"]], second["total"]) == ([names[0]], 3)
    add(shop, product("p", name=names[2], popularity=9.0))
    assert shop.get("catalog", f"/v1/products?q=zinc{mark}").json()["total"] == 4


@pytest.mark.parametrize("query", ["%", "_", "' OR 1=1 --", '"', "*", "\x00", "a" * 200, ") UNION SELECT"])
def test_a_query_is_data(shop: Shop, query: str):
    add(shop, product("lamp"))
    answer = shop.request("catalog", "GET", f"/v1/products?q={quoted(query)}")
    assert answer.status_code == 200
    if not any(c.isalnum() for c in query):
        assert answer.json()["total"] == shop.get("catalog", "/v1/products").json()["total"]
    else:
        assert answer.json()["items"] == []


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


@pytest.mark.parametrize("query", ["page=0", "size=101", "size=x", "q=" + "a" * 201, "ids=" + "a," * 9000])
def test_a_page_that_cannot_be_is_refused(shop: Shop, query: str):
    assert shop.get("catalog", f"/v1/products?{query}").status_code == 400


# Storefront


def test_a_page_is_composed_and_the_view_is_told(shop: Shop):
    lamp, subject = product("lamp"), str(uuid.uuid4())
    add(shop, lamp)
    path = f"/v1/stock?ids={lamp['product_id']}"
    wait_until(lambda: shop.get("inventory", path).json()["items"], "the stock item")
    page = shop.get("storefront", f"/v1/pages/products/{lamp['product_id']}", subject=subject).json()
    assert page["degraded"] == []
    assert (page["product"]["name"], page["stock"]["available"]) == (lamp["name"], 5)
    told = wait_until(lambda: behaviour(shop, subject), "the behaviour event")
    assert [(type(e.data).__name__, e.sequence, e.data.product_id) for e in told] == [
        ("ProductViewed", None, lamp["product_id"])
    ]
    assert shop.get("storefront", "/v1/pages/products/none", subject=subject).status_code == 404


def test_a_search_tells_only_words_of_the_vocabulary(shop: Shop):
    add(shop, product("lamp", name="Paper Lantern"))
    subject = str(uuid.uuid4())
    found = shop.get("storefront", "/v1/pages/search?q=paper%20jane.doe@example.org", subject=subject)
    assert found.status_code == 200
    told = wait_until(lambda: behaviour(shop, subject), "the behaviour event")
    assert (told[0].data.words, told[0].data.results) == (["paper"], found.json()["total"])


def test_a_cart_belongs_to_its_shopper_and_tells_each_change_once(shop: Shop):
    subject, cart = str(uuid.uuid4()), f"/v1/carts/{uuid.uuid4()}"
    for lines in ([["a", 2], ["b", 1]], [["a", 2], ["b", 1]], [["a", 3]]):
        content = {"lines": [{"product_id": name, "quantity": units} for name, units in lines]}
        assert shop.request("storefront", "PUT", cart, content, subject=subject).status_code == 200
    assert shop.get("storefront", cart, subject=subject).json()["lines"] == [{"product_id": "a", "quantity": 3}]
    assert shop.get("storefront", cart, subject="somebody-else").status_code == 404
    assert shop.request("storefront", "PUT", cart, {"lines": []}, subject="somebody-else").status_code == 404
    told = wait_until(lambda: behaviour(shop, subject)[3:] and behaviour(shop, subject), "four changes")
    assert [(e.data.product_id, e.data.quantity) for e in told] == [("a", 2), ("b", 1), ("a", 3), ("b", 0)]


def test_a_guest_who_signs_in_keeps_the_cart(shop: Shop):
    asked = JANE | {"email": f"{key()}@example.org"}
    customer_id = shop.post("customers", "/v1/customers", asked, key=key()).json()["customer_id"]
    guest = shop.post("customers", "/v1/sessions", {}).json()
    cart = f"/v1/carts/{uuid.uuid4()}"
    content = {"lines": [{"product_id": "a", "quantity": 1}]}
    shop.request("storefront", "PUT", cart, content, subject=guest["subject"])
    sign_in = {"email": asked["email"], "password": asked["password"], "guest_token": guest["token"]}
    assert shop.post("customers", "/v1/sessions", sign_in).status_code == 201
    wait_until(lambda: shop.get("storefront", cart, subject=customer_id).status_code == 200, "the cart's move")
    assert shop.get("storefront", cart, subject=guest["subject"]).status_code == 404


def test_a_checkout_is_priced_once_for_a_key_and_refused_without_products(shop: Shop):
    lamp, subject, once = product("lamp", list_price_minor=1234), str(uuid.uuid4()), key()
    add(shop, lamp)
    cart_id = str(uuid.uuid4())
    asked = {"cart_id": cart_id}
    assert shop.post("storefront", "/v1/checkouts", asked, subject=subject, key=key()).status_code == 404
    fill(shop, cart_id, subject, {})
    assert shop.post("storefront", "/v1/checkouts", asked, subject=subject, key=key()).status_code == 422
    fill(shop, cart_id, subject, {lamp["product_id"]: 2, "gone": 1})
    assert shop.post("storefront", "/v1/checkouts", asked, subject=subject, key=key()).json()["product_ids"] == ["gone"]
    fill(shop, cart_id, subject, {lamp["product_id"]: 2})
    answers = [shop.post("storefront", "/v1/checkouts", asked, subject=subject, key=once) for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content
    assert answers[0].json()["total_minor"] == 2468
    assert shop.post("storefront", "/v1/checkouts", asked, subject=subject).status_code == 400
    shop.get("storefront", f"/v1/pages/products/{lamp['product_id']}", subject=subject)
    told = wait_until(lambda: "ProductViewed" in kinds(shop, subject) and kinds(shop, subject), "all events")
    assert told.count("CheckoutStarted") == 1


def fill(shop: Shop, cart_id: str, subject: str, lines: dict[str, int]) -> None:
    content = {"lines": [{"product_id": name, "quantity": units} for name, units in lines.items()]}
    assert shop.request("storefront", "PUT", f"/v1/carts/{cart_id}", content, subject=subject).status_code == 200


def behaviour(shop: Shop, subject: str) -> list[Envelope[Any]]:
    return [event for event in shop.events("shop.behaviour") if event.subject == subject]


def kinds(shop: Shop, subject: str) -> list[str]:
    return [type(event.data).__name__ for event in behaviour(shop, subject)]


# Recommendations


def completed(order_id: str, *products: str) -> Event:
    lines = [Line(name, 1, 100) for name in products]
    return OrderCompleted(order_id=order_id, customer_id="c", lines=lines, total_minor=100 * len(lines), seconds=1.0)


def past(order_id: str, *products: str) -> Event:
    lines = [Line(name, 1, 100) for name in products]
    return PastOrderRecorded(order_id=order_id, customer_id=None, country=None, lines=lines,
                             total_minor=100 * len(lines), origin="imported", file_hash="f")  # fmt: skip


def append(shop: Shop, event: Event, order_id: str, times: int = 1) -> None:
    envelope = Envelope(id=imported_id("test", order_id), source="/orders", subject=order_id, time=NOW, data=event)
    shop.log.append(event.topic.name, [Record(key=order_id, value=encode(envelope))] * times)


def beside(shop: Shop, product_id: str) -> list[tuple[str, str]]:
    items = shop.get("recommendations", f"/v1/recommendations/{product_id}?n=20").json()["items"]
    return [(item["product_id"], item["because"]) for item in items if item["because"] == "bought_together"]


def test_what_is_bought_together_is_recommended_each_order_counted_once(shop: Shop):
    tea, cup, rare = (product(name) for name in ("tea", "cup", "rare"))
    t, c, r = (p["product_id"] for p in (tea, cup, rare))
    add(shop, tea, cup, rare)
    for number in range(3):
        append(shop, completed(key(), t, c), f"{t}-{number}", times=3)
    append(shop, past(key(), t, r, r), f"{t}-past")
    store = shop.context("recommendations")
    counted = wait_until(lambda: counts(store, t) if sum(counts(store, t).values()) >= 4 else None, "four orders")
    assert counted == {c: 3, r: 1}
    wait_until(lambda: len(beside(shop, c)) == 1, "the names")
    assert beside(shop, t) == [(c, "bought_together"), (r, "bought_together")]
    assert beside(shop, r) == [(t, "bought_together")]


def counts(context: Any, product_id: str) -> dict[str, int]:
    from shop_stack.services.recommendations import store

    with context.read() as connection:
        return {n.product_id: n.together for n in store.neighbours(connection, product_id)}


def test_a_new_shopper_gets_what_is_popular(shop: Shop):
    add(shop, product("lamp"))
    items = wait_until(
        lambda: shop.get("recommendations", "/v1/recommendations?subject=anyone&n=3").json()["items"], "popular items"
    )
    assert {item["because"] for item in items} == {"popular"}
    assert shop.get("recommendations", "/v1/recommendations/unheard-of?n=1").json()["items"]
