"""The audit over whole books: clean as the services wrote them, and each hand that breaks them is caught in the act."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import uvicorn

from analytics import desk, questions
from analytics.ingest import Ingest
from analytics.questions_api import make_app
from analytics.warehouse import Warehouse
from console.rows.invariants import MEANINGS
from shop_stack.__main__ import main
from shop_stack.access import Verifier, prepare_keys
from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.events import Event, IncidentOpened, IncidentResolved
from shop_stack.hosting.topology import read_topology
from shop_stack.moments import micros
from shop_stack.operations import audit_analytics, audit_run
from shop_stack.operations.audit import Invariant, Report
from shop_stack.operations.audit_home import audit_home, desired_of, shop_of
from shop_stack.operations.audit_log import LogThroughInterface
from shop_stack.operations.audit_run import HomeBooks, run_audit, when_last_alive
from shop_stack.operations.audit_stores import BookUnreadable
from shop_stack.operations.auditing import Auditing
from shop_stack.runtime.desired import write_desired
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests.analytics_stand import record
from tests.audit_stand import PRICE, Books
from tests.flows.broken_books import (
    BREAKS,
    Break,
    assert_noticed,
    double_capture,
    lost_inbox_row,
    never_sent,
    one_order,
    stuck,
    topic_file,
)
from tests.flows.shop_at_work import Shop, free_port, until
from tests.operations_stand import Stand
from tests.store_hands import OnSqlite, change, look

pytestmark = pytest.mark.embedded
ORDERS = 200
OF_OPERATORS = {"actions_recorded_once", "audit_chain_whole", "replicas_as_asked"}
OF_ANALYTICS = {"analytics_equals_log", "analytics_equals_orders"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Books of orders that never ran."""
    books = Books(tmp_path_factory.mktemp("books"), products=5)
    books.fill(ORDERS)
    return books.home


@pytest.fixture
def home(whole: Home, tmp_path: Path) -> Home:
    """A copy of them to break."""
    shutil.copytree(whole.path, tmp_path / "home")
    return Home(tmp_path / "home")


def audited(home: Home, *, strict: bool = True, **settings: object) -> Report:
    return audit_home(replace(Settings(home=home, delivery_seconds=1.0), **settings), strict=strict)  # type: ignore[arg-type]


def named(report: Report) -> dict[str, Invariant]:
    return {found.name: found for found in report.invariants}


def test_whole_books_are_ok_and_every_row_was_looked_at(home: Home) -> None:
    report = audited(home)
    found = named(report)
    assert {one.name: one.counter_examples for one in report.invariants if one.status not in ("ok", "skipped")} == {}
    assert {name for name, one in found.items() if one.status == "skipped"} == OF_ANALYTICS
    assert {name for name, one in found.items() if one.rows_checked == 0} == (
        OF_OPERATORS | OF_ANALYTICS | {"erased_people_absent"}
    )
    assert (report.ok, report.quiet, report.orders) == (True, True, ORDERS)
    assert found["orders_reach_an_end"].rows_checked == ORDERS
    topics = ("shop.orders", "shop.inventory", "shop.payments", "shop.shipping", "shop.catalog")
    counted = [look(topic_file(home, topic), "SELECT count(*) FROM records")[0][0] for topic in topics]
    assert report.records == sum(int(str(number)) for number in counted)


def test_the_console_has_plain_words_for_every_invariant(home: Home) -> None:
    assert set(MEANINGS) == set(named(audited(home)))


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.__name__)
def test_a_broken_book_is_found_and_named(home: Home, broken: Break) -> None:
    assert_noticed(broken, OnSqlite(home), lambda: audited(home))


def test_what_a_parked_message_explains_is_not_violated_and_gone_after_its_replay(home: Home) -> None:
    order_id = one_order(OnSqlite(home))
    rows = look(topic_file(home), "SELECT id & 0xffffffffffff, id >> 48, value FROM records WHERE key = ?", order_id)
    position, partition, value = next(row for row in rows if b"dispatch-requested" in bytes(row[2]))
    event_id = json.loads(bytes(value))["id"]
    kept = list(look(home.store("inventory"), "SELECT * FROM inbox WHERE event_id = ?", event_id))
    change(home.store("inventory"), "DELETE FROM inbox WHERE event_id = ?", [(event_id,)])
    stuck(OnSqlite(home))
    assert set(violations(audited(home))) == {"inboxes_equal_log", "orders_reach_an_end"}
    parked = (
        "INSERT INTO stopped_aggregates (consumer, topic, aggregate, event_id, error, partition, position, value, at) "
        "VALUES ('inventory', 'shop.orders', ?, ?, 'ValueError: poison', ?, ?, ?, 0)"
    )
    change(home.store("inventory"), parked, [(order_id, event_id, partition, position, value)])
    report = audited(home)
    assert report.ok
    explained = {one.name: one.counter_examples for one in report.invariants if one.status == "explained"}
    assert explained == {
        "inboxes_equal_log": [f"{event_id} is parked at inventory"],
        "orders_reach_an_end": [f"{order_id} is still shipped after {seconds(report, order_id)} s"],
    }
    change(home.store("inventory"), "INSERT INTO inbox VALUES (?, ?, ?)", kept)
    assert set(violations(audited(home))) == {"one_effect_per_event"}, "handled and still parked"
    change(home.store("inventory"), "DELETE FROM stopped_aggregates")
    change(home.store("orders"), "UPDATE orders SET state = 'completed' WHERE order_id = ?", [(order_id,)])
    assert {one.status for one in audited(home).invariants} == {"ok", "skipped"}


def test_an_open_incident_explains_its_order_until_it_is_resolved(home: Home) -> None:
    order_id = one_order(OnSqlite(home))
    stuck(OnSqlite(home))

    def tell(event: Event) -> None:
        with EmbeddedLog(home.log) as log:
            log.append("ops.incidents", [record(event, datetime.now(UTC))])

    tell(IncidentOpened(incident_id="i", kind="checkout_stuck", service="orders", summary="stuck", subject=order_id))
    tell(IncidentOpened(incident_id="j", kind="crash_loop", service="orders", summary="it crashes"))
    assert {one.name for one in audited(home).invariants if one.status == "explained"} == {"orders_reach_an_end"}
    tell(IncidentResolved(incident_id="i"))
    assert violations(audited(home)) == ["orders_reach_an_end"]


def seconds(report: Report, order_id: str) -> str:
    found = named(report)["orders_reach_an_end"].counter_examples[0]
    return found.removeprefix(f"{order_id} is still shipped after ").removesuffix(" s")


def violations(report: Report) -> list[str]:
    return [one.name for one in report.invariants if one.status == "violated"]


def test_what_is_unsent_unread_or_young_is_in_flight_until_asked_strictly(home: Home) -> None:
    never_sent(OnSqlite(home))
    change(home.log / "groups" / "payments" / "group.db", "UPDATE positions SET position = position - 20")
    now_us = micros(datetime.now(UTC))
    newest = "UPDATE orders SET state = 'placed', placed_us = ? WHERE order_id = (SELECT max(order_id) FROM orders)"
    change(home.store("orders"), newest, [(now_us,)])
    report = audited(home, strict=False)
    assert (violations(report), report.quiet) == ([], False)
    assert report.watermark < when_last_alive(HomeBooks(home)), "so far everything is sent and handled"
    in_flight = {one.name for one in report.invariants if one.in_flight}
    assert in_flight == {"outboxes_equal_log", "inboxes_equal_log", "orders_reach_an_end", "money_sums_agree"}
    assert violations(audited(home)) == ["orders_reach_an_end", "outboxes_equal_log"]


def test_two_processes_find_what_one_finds(home: Home) -> None:
    lost_inbox_row(OnSqlite(home))
    settings = Settings(home=home, delivery_seconds=1.0)
    books, shop, now = HomeBooks(home), shop_of(settings), datetime.now(UTC)
    one, two = (run_audit(books, lambda: shop, {}, now, strict=True, few=few) for few in (10**9, 0))
    assert one.invariants == two.invariants
    assert violations(two) == ["inboxes_equal_log"]


def test_a_log_elsewhere_is_audited_through_its_interface(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, now = shop_of(Settings(home=home, delivery_seconds=1.0)), when_last_alive(HomeBooks(home))
    monkeypatch.setattr(audit_run, "open_log", lambda settings: EmbeddedLog(settings.home.log))
    elsewhere = HomeBooks(home, "kafka://broker:9092")
    with closing(elsewhere.log()) as log:
        assert isinstance(log, LogThroughInterface)
    through = run_audit(elsewhere, lambda: shop, {}, now, strict=True)
    assert through.invariants == run_audit(HomeBooks(home), lambda: shop, {}, now, strict=True).invariants
    assert through.records == audited(home).records


def test_whatever_lies_in_the_log_its_neighbours_are_audited(home: Home) -> None:
    strange = (b'{"id": "x",\n "type": "t",\n "source": "/elsewhere"}', b"", b"{broken", b"two\nlines")
    with EmbeddedLog(home.log) as log:
        log.append("shop.shipping", [Record("strange", value) for value in strange])
    found = named(audited(home))["outboxes_equal_log"]
    assert (found.status, found.violations) == ("ok", 0)
    assert "shop.shipping: 3 records are no events" in found.because


def test_a_store_that_is_none_is_said(home: Home) -> None:
    home.store("orders").write_bytes(b"not a database" * 1000)
    with pytest.raises(BookUnreadable, match=r"orders\.db"):
        audited(home)


@contextmanager
def answering(home: Home) -> Iterator[int]:
    """Analytics that has read the log, on a port."""
    prepare_keys(home, datetime.now(UTC))
    home.endpoints.write_text("{}")
    port = free_port()
    with EmbeddedLog(home.log) as log, closing(Warehouse(home.warehouse)) as warehouse:
        ingest = Ingest(log, warehouse)
        while ingest.step():
            pass
        app_desk = desk.Desk(warehouse, lambda: ingest.watermark, ZoneInfo("Europe/London"))
        app = make_app(app_desk, lambda: Verifier(home, "operators"))
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join(10)


def test_analytics_is_held_to_log_and_orders_both_ways(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(home) as port:
        ports = {"analytics": port}
        with monkeypatch.context() as small:  # before an answer is kept
            small.setattr(desk, "MOST_BYTES", 60 * ORDERS)
            in_parts = named(audited(home, ports=ports))["analytics_equals_orders"]
            assert (in_parts.status, in_parts.rows_checked) == ("ok", ORDERS)
        found = named(audited(home, ports=ports))
        assert {found[name].status for name in OF_ANALYTICS} == {"ok"}
        assert found["analytics_equals_orders"].rows_checked == ORDERS
        assert found["analytics_equals_log"].rows_checked == audited(home, ports=ports).records
        monkeypatch.setattr(audit_analytics, "_PAGE_ROWS", "30")
        in_pages = named(audited(home, ports=ports))["analytics_equals_orders"]
        assert (in_pages.status, in_pages.rows_checked) == ("ok", ORDERS)
        stuck(OnSqlite(home))
        gone = one_order(OnSqlite(home), "rejected")
        change(home.store("orders"), "DELETE FROM orders WHERE order_id = ?", [(gone,)])
        broken = named(audited(home, ports=ports))["analytics_equals_orders"]
        assert broken.violations == 2
        assert {f"{gone} is rejected in analytics and no order"} < set(broken.counter_examples)
        with EmbeddedLog(home.log) as log:
            log.append("shop.orders", [Record("x", b"{}")])
        behind = named(audited(home, ports=ports))["analytics_equals_log"]
        assert (behind.status, behind.violations) == ("violated", 1)
        assert named(audited(home, ports=ports, strict=False))["analytics_equals_log"].in_flight == 1
        monkeypatch.delitem(questions.QUESTIONS, "records_counted")
        unknown = named(audited(home, ports=ports))["analytics_equals_log"]
        assert unknown.status == "skipped"
        assert "analytics answers 404 to records_counted" in unknown.because
    silent = named(audited(home, ports=ports))
    assert {silent[name].status for name in OF_ANALYTICS} == {"skipped"}
    assert "does not answer" in silent["analytics_equals_log"].because


def test_the_erased_are_looked_for_in_stores_and_files(home: Home, tmp_path: Path) -> None:
    person = "INSERT INTO people (customer_id, version, registered_us, erased_us) VALUES ('customer-1', 1, 1, ?)"
    change(home.store("customers"), person, [(10**15,)])
    change(home.store("orders"), "DELETE FROM idempotency_keys WHERE subject = 'customer-1'")
    kept = named(audited(home, strict=False))
    assert kept["one_key_one_order"].status == "ok", "the key of an erased person's order went with them"
    assert kept["erased_people_absent"].rows_checked == 1
    change(home.store("customers"), "UPDATE people SET erased_us = ?", [(4 * 10**15,)])
    found = named(audited(home))["erased_people_absent"]
    assert found.counter_examples == ["customer-1 is erased and shipping keeps 1 parcels under the id"]
    words = tmp_path / "words"
    words.write_text("Zoë Quixotl\ncustomer-1\n")
    assert main(["audit", "--home", str(home.path), "--absent", str(words)]) == 1
    assert main(["audit", "--home", str(home.path), "--absent", str(tmp_path / "none")]) == 2
    words.write_text("\n")
    assert main(["audit", "--home", str(home.path), "--absent", str(words)]) == 2


def test_the_command_answers_programs_and_people(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--home", str(home.path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"]
    assert {"name", "status", "rows_checked", "counter_examples"} <= set(answer["invariants"][0])
    double_capture(OnSqlite(home))
    assert main(["audit", "--home", str(home.path)]) == 1
    shown = capsys.readouterr().out
    assert "violated: captured_at_most_once" in " ".join(shown.split())
    assert main(["audit", "--home", str(home.path / "nowhere")]) == 3
    assert desired_of(home) == {}


def test_operations_audits_for_whoever_may_see_and_its_own_actions_with_it(home: Home) -> None:
    stand = Stand(home)
    with stand.served(), stand.client("operator") as operator, stand.client("viewer") as viewer:
        acted = operator.scale("orders", 3, "more of them")
        until(lambda: operator.action(acted).state == "applied")
        until(lambda: not stand.engine.store.outgoing())
        write_desired(home, read_topology("microservices", read_stack()), {"orders": 3, "payments": 1})
        report = viewer.audit(strict=True)
        found = named(report)
        assert {found[name].status for name in OF_OPERATORS} == {"ok"}
        assert all(found[name].rows_checked for name in OF_OPERATORS)
        assert found["outboxes_equal_log"].status == "ok"
        assert violations(report) == []
        write_desired(home, read_topology("microservices", read_stack()), {"orders": 1, "payments": 1})
        change(home.operations_store, "UPDATE audit SET actor = 'somebody else'")
        assert violations(viewer.audit()) == sorted(OF_OPERATORS)
        assert viewer.audit().quiet
        home.store("orders").write_bytes(b"not a database" * 1000)
        with pytest.raises(NotRunning, match=r"orders\.db"):
            viewer.audit()


def test_one_audit_at_a_time(home: Home) -> None:
    auditing = Auditing(Settings(home=home, delivery_seconds=1.0))
    first: list[Report] = []
    under_way = threading.Thread(target=lambda: first.append(auditing.report()))
    under_way.start()

    def refused() -> bool:
        try:
            auditing.report()
        except ActionRefused:
            return True
        return not under_way.is_alive()

    assert until(refused)
    under_way.join()
    assert first[0].ok


def test_a_shop_at_work_is_never_violated_and_whole_when_quiet(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "monolith")
    try:
        shop.add_products({"tea": 1000, "cup": 1000, "pot": 5})
        placed = [shop.order({"tea": 1 + number % 2, "cup": 1}) for number in range(10)]
        for _ in range(3):
            report = audit_home(shop.settings, now=shop.clock())
            assert violations(report) == [], report
        placed.append(shop.order({"pot": 6}))
        for order_id in placed:
            shop.until_state(order_id, "completed", "rejected")
        shop.behave(decline_rate=1.0)
        declined = shop.order({"cup": 3})
        shop.until_state(declined, "rejected")
        until(lambda: audit_home(shop.settings, now=shop.clock()).quiet, what="quiet")
        report = audit_home(shop.settings, strict=True, now=shop.clock())
    finally:
        shop.close()
    assert {one.status for one in report.invariants} == {"ok", "skipped"}
    assert named(report)["money_equals_orders"].rows_checked == 12
    assert sum(account["captured_minor"] for account in ledger(shop).values()) == sum(
        PRICE * (2 + number % 2) for number in range(10)
    )


def ledger(shop: Shop) -> dict[str, dict[str, int]]:
    rows = look(shop.settings.home.provider_ledger, "SELECT order_id, captured_minor FROM accounts")
    return {str(order_id): {"captured_minor": int(str(minor))} for order_id, minor in rows}
