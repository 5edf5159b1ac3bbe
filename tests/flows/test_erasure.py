"""A person may see all that the shop knows of them, and be erased: no byte of them stays, and a certificate says so."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from psycopg import sql

from analytics.archiving import Archive
from analytics.ingest import Ingest
from analytics.scrubbing import Scrubbing
from analytics.warehouse import Warehouse
from shop_stack.eventlog import idempotency
from shop_stack.eventlog.database import Driver
from shop_stack.events import CustomerErased, PersonScrubbed
from shop_stack.hosting.cards import card_of
from shop_stack.postgres import Driver as PostgresDriver
from shop_stack.postgres import server_of
from shop_stack.services.customers import rules
from shop_stack.services.customers.vault import vault_of
from shop_stack.settings import SQLITE
from shop_stack.stack import Retention, read_stack
from tests.flows.canary import Canary, traces
from tests.flows.shop_at_work import Shop, gaps, until

pytestmark = pytest.mark.embedded
JANE = Canary()


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A shop on either engine."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    running = Shop(tmp_path, "microservices", postgres=server)
    try:
        running.add_products({"tea": 100})
        yield running
    finally:
        running.close()


def register(shop: Shop, who: Canary = JANE) -> str:
    answer = shop.ask("customers", "POST", "/v1/customers", who.registration)
    assert answer.status == 201, answer
    return str(answer.json()["customer_id"])


def erase(shop: Shop, subject: str) -> dict[str, Any]:
    answer = shop.ask("customers", "DELETE", "/v1/me", subject=subject)
    assert answer.status == 202, answer
    return dict(answer.json())


def certificate(shop: Shop, subject: str) -> dict[str, Any]:
    answer = shop.ask("customers", "GET", "/v1/me/erasure", subject=subject)
    assert answer.status == 200, answer
    return dict(answer.json())


def exported(shop: Shop, subject: str) -> dict[str, Any]:
    answer = shop.ask("customers", "GET", "/v1/me/export", subject=subject)
    assert answer.status == 200, answer
    return dict(answer.json())


def all_but_analytics(shop: Shop, subject: str) -> bool:
    return bool(certificate(shop, subject)["missing"] == ["analytics"])


@contextlib.contextmanager
def customers_store(shop: Shop) -> Iterator[Driver]:
    """The customers' own store, looked into from beside."""
    if shop.settings.stores_url == SQLITE:
        with contextlib.closing(sqlite3.connect(shop.settings.home.store("customers"))) as database:
            yield database
        return
    with server_of(shop.settings.stores_url, shop.settings.store_secrets).connect("customers") as connection:
        yield PostgresDriver(connection)


def sealed_of(shop: Shop, subject: str) -> list[bytes]:
    """What lies sealed of a person, and their wrapped key."""
    with customers_store(shop) as database:
        return [
            *database.execute("SELECT sealed FROM people WHERE customer_id = ?", (subject,)).fetchone(),
            *database.execute("SELECT wrapped FROM person_keys WHERE customer_id = ?", (subject,)).fetchone(),
        ]


def kept(shop: Shop, needles: list[bytes]) -> list[tuple[str, bytes]]:
    """Where any of these bytes lie: in the home's files, and in what PostgreSQL's tables hold."""
    found = traces(shop.settings.home.path, needles)
    if shop.settings.stores_url == SQLITE:
        return found
    for spec in shop.stack.services:
        for name, rows in tables_of(shop, spec.name):
            found += [(name, needle) for needle in needles if needle in rows]
    return found


def tables_of(shop: Shop, service: str) -> Iterator[tuple[str, bytes]]:
    """The tables of a service on PostgreSQL, each with its rows as the server sends them."""
    server = server_of(shop.settings.stores_url, shop.settings.store_secrets)
    with server.connect(service, who="auditor") as auditor, auditor.cursor() as cursor:
        names = cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert names, f"the search sees the tables of {service}"
        for (name,) in names:
            with cursor.copy(sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(name))) as copied:
                yield f"{service}.{name}", b"".join(bytes(part) for part in copied)


def answer_as_analytics(shop: Shop) -> int:
    """Ingest the log as it is, and let analytics do its part."""
    with contextlib.closing(Warehouse(shop.settings.home.warehouse)) as warehouse:
        ingest = Ingest(shop.log, warehouse)
        while ingest.step():
            pass
        return Scrubbing(warehouse, shop.log, lambda: {}).scrub()


def archive_all(shop: Shop) -> int:
    """Ingest the log as it is, and move every event into the archive; how many."""
    with contextlib.closing(Warehouse(shop.settings.home.warehouse)) as warehouse:
        ingest = Ingest(shop.log, warehouse)
        while ingest.step():
            pass
        ingest.roll_up()
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        return Archive(warehouse, Retention(raw_days=0), lambda: tomorrow).turn()


def test_no_byte_of_an_erased_person_stays(shop: Shop) -> None:
    home = shop.settings.home.path
    jane = register(shop)
    order_id = shop.order({"tea": 2}, subject=jane)
    shop.ask("storefront", "GET", f"/v1/pages/search?q={quote(JANE.name)}", subject=jane)
    wrong = {"email": JANE.email, "password": "not the one"}
    assert shop.ask("customers", "POST", "/v1/sessions", wrong).status == 401
    assert shop.until_state(order_id, "completed", subject=jane)["state"] == "completed"
    assert JANE.address in str(exported(shop, jane)["profiles"][0]["address"])
    sealed = sealed_of(shop, jane)
    assert kept(shop, JANE.needles()) == [], "personal data lies in the clear while the person is a customer"
    assert {needle for _, needle in kept(shop, sealed)} == set(sealed), "the search finds what is there"

    assert erase(shop, jane)["customer_id"] == jane
    until(lambda: all_but_analytics(shop, jane), what="answers of all services")
    assert answer_as_analytics(shop) == 1
    until(lambda: certificate(shop, jane)["state"] == "complete", what="the certificate")
    assert answer_as_analytics(shop) == 0, "analytics answers once"
    assert archive_all(shop) > 0
    found = {name for name, _ in traces(home, [order_id.encode(), jane.encode()]) if name.endswith(".parquet")}
    assert found, "the search finds what the archive holds"
    assert answer_as_analytics(shop) == 0, "what was answered is known from the archive"
    assert kept(shop, [*JANE.needles(), *sealed]) == []
    shop.close()
    assert kept(shop, [*JANE.needles(), *sealed]) == []


def test_the_certificate_says_what_was_erased_where(shop: Shop) -> None:
    jane = register(shop)
    order_id = shop.order({"tea": 1}, subject=jane)
    shop.until_state(order_id, "completed", subject=jane)
    erase(shop, jane)
    until(lambda: all_but_analytics(shop, jane), what="answers of all services")
    said = certificate(shop, jane)
    assert (said["state"], said["asked_by"], said["ids"]) == ("erasing", "the person", [jane])
    places = {place["place"]: place for place in said["places"]}
    assert places["customers"]["erased"] == {"profiles": 1, "keys": 1, "kept answers": 1}
    assert places["storefront"]["erased"] == {"carts": 1}
    assert places["orders"]["erased"] == {"kept answers": 1}
    assert places["shipping"]["erased"] == {"ids on parcels": 1}
    assert all(place["kept"] for place in said["places"])
    assert erase(shop, jane)["erasure_id"] == said["erasure_id"], "asking again changes nothing"
    assert gaps(shop.events()) == []
    assert shop.ask("customers", "GET", "/v1/me", subject=jane).status == 404
    assert shop.ask("customers", "GET", f"/v1/addresses/{jane}").status == 404
    sign_in = {"email": JANE.email, "password": JANE.password}
    assert shop.ask("customers", "POST", "/v1/sessions", sign_in).status == 401
    assert register(shop) != jane, "the e-mail is free for a new account"


def test_an_erasure_waits_for_open_orders_and_need_not_be_asked_twice(shop: Shop) -> None:
    shop.stop("shipping")
    jane = register(shop)
    order_id = shop.order({"tea": 1}, subject=jane)
    shop.until_state(order_id, "captured", subject=jane)
    assert erase(shop, jane)["state"] == "waiting"
    until(lambda: certificate(shop, jane)["open_orders"] == 1, what="the open order")
    assert shop.ask("customers", "GET", f"/v1/addresses/{jane}").status == 200, "the parcel still needs the address"
    shop.start("shipping")
    shop.until_state(order_id, "completed", subject=jane)
    until(lambda: all_but_analytics(shop, jane), what="answers of all services", timeout_s=90)
    assert certificate(shop, jane)["open_orders"] == 0


def test_an_erasure_waits_while_orders_does_not_answer(shop: Shop) -> None:
    jane = register(shop)
    shop.stop("orders")
    erase(shop, jane)
    assert certificate(shop, jane)["state"] == "waiting"
    assert shop.ask("customers", "GET", "/v1/me/export", subject=jane).status == 503
    shop.start("orders")
    until(lambda: all_but_analytics(shop, jane), what="answers of all services", timeout_s=60)


def test_an_export_tells_all_and_under_every_id(shop: Shop) -> None:
    guest = shop.ask("customers", "POST", "/v1/sessions", {}).json()
    details = {"name": "Jane as a guest", "address": "1 Guest Lane", "country": "GB"}
    assert shop.ask("customers", "PUT", "/v1/me", details, subject=guest["subject"]).status == 200
    first = shop.order({"tea": 1}, subject=guest["subject"])
    jane = register(shop)
    sign_in = {"email": JANE.email, "password": JANE.password, "guest_token": guest["token"]}
    assert shop.ask("customers", "POST", "/v1/sessions", sign_in).status == 201
    second = shop.order({"tea": 2}, subject=jane)
    shop.until_state(first, "completed", subject=guest["subject"])
    shop.until_state(second, "completed", subject=jane)
    told = exported(shop, jane)
    assert told["ids"] == [jane, guest["subject"]]
    assert [profile["name"] for profile in told["profiles"]] == [JANE.name, "Jane as a guest"]
    for service in ("orders", "payments", "shipping"):
        assert {part["order_id"] for part in told["services"][service]} == {first, second}, service
    assert {cart["lines"][0]["quantity"] for part in told["services"]["storefront"] for cart in part["carts"]} == {1, 2}
    assert "scrypt" not in str(told)

    erase(shop, jane)
    until(lambda: all_but_analytics(shop, jane), what="answers of all services")
    assert certificate(shop, jane)["ids"] == [jane, guest["subject"]]
    assert shop.ask("customers", "GET", "/v1/me", subject=guest["subject"]).status == 404
    assert sum(isinstance(event.data, CustomerErased) for event in shop.events()) == 2
    assert gaps(shop.events()) == []
    assert exported(shop, jane)["profiles"] == []


def test_only_known_people_are_erased_for_others_and_on_named_grounds(shop: Shop) -> None:
    asked = {"asked_by": "anna", "because": "an authority asked"}
    assert shop.ask("customers", "PUT", "/v1/people/nobody/erasure", asked).status == 404
    assert shop.ask("customers", "GET", "/v1/people/nobody/export").status == 404
    jane = register(shop)
    ground = asked | {"because": "Zoë asked on the phone"}
    assert shop.ask("customers", "PUT", f"/v1/people/{jane}/erasure", ground).status == 400
    assert shop.ask("customers", "PUT", f"/v1/people/{jane}/erasure", asked).json()["asked_by"] == "anna"


def test_every_holder_answers_for_an_erasure() -> None:
    holders = {spec.name for spec in read_stack().services if CustomerErased in card_of(spec.name).subscriptions}
    assert set(rules.PLACES) == holders | {"customers", "analytics"}
    assert all(PersonScrubbed in card_of(name).publications for name in holders | {"customers"})


def test_what_is_kept_of_a_registration_lets_nobody_try_out_its_password(shop: Shop) -> None:
    register(shop)
    body = msgspec.json.encode(JANE.registration)
    with customers_store(shop) as database:
        query = "SELECT body_hash FROM idempotency_keys WHERE path = '/v1/customers'"
        kept = [found for (found,) in database.execute(query)]
    fingerprint = vault_of(shop.settings.home.people_key).fingerprint(body)
    assert kept == [idempotency.digest(fingerprint)]
    assert kept != [idempotency.digest(body)]
