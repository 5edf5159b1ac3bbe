"""Answers in pages of one state, made once however many ask, kept in bounds, dropped when they may not be told."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from analytics import desk as desk_module
from analytics.answers import Answers, JsonRows, Kept
from analytics.archiving import Archive
from analytics.client import QuestionsClient
from analytics.desk import Desk
from analytics.ingest import Watermark
from analytics.questions_api import ARROW, make_app
from analytics.scrubbing import Scrubbing
from analytics.warehouse import Warehouse
from shop_stack.access import Verifier, prepare_keys, read_token
from shop_stack.errors import NotRunning
from shop_stack.events import CustomerErased
from shop_stack.settings import Home
from shop_stack.stack import Retention
from tests.analytics_stand import NOW, ZONE, Stand, days_before, placed, stand

pytestmark = pytest.mark.embedded
ORDERS = 25


class Counting(Warehouse):
    """Counts how often a question is really run, and lets each wait until it may."""

    runs = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may = threading.Event()
        self.may.set()

    def asking(self, *given: Any, **named: Any) -> Any:
        self.runs += 1
        self.may.wait(10)
        return super().asking(*given, **named)


class Shop:
    """A stand, the desk over it, and a client with a viewer's token."""

    def __init__(self, folder: Path, made: Stand) -> None:
        home = Home(folder / "home")
        prepare_keys(home, datetime.now(UTC))
        self.stand = made
        made.warehouse.close()
        self.warehouse = Counting(folder / "warehouse.duckdb")
        made.warehouse = self.warehouse
        made.ingest = type(made.ingest)(made.log, made.warehouse)
        for number in range(ORDERS):
            made.put(placed(f"o{number:02}"), at=NOW - timedelta(minutes=number))
        made.catch_up()
        self.desk = Desk(made.warehouse, lambda: made.ingest.watermark, ZONE, now=lambda: made.now)
        self.app: Litestar = make_app(self.desk, lambda: Verifier(home, "operators"))
        self.client = TestClient(self.app)
        self.client.headers["authorization"] = f"Bearer {read_token(home, 'viewer')}"

    def get(self, name: str = "order_states", headers: dict[str, str] | None = None, **given: Any) -> httpx.Response:
        return self.client.get(f"/analytics/v1/questions/{name}", params=given, headers=headers)

    def page(self, **given: Any) -> dict[str, Any]:
        response = self.get(**given)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with stand(tmp_path) as made:
        asked = Shop(tmp_path, made)
        with asked.client:
            yield asked
        asked.desk.queries.close()


def test_pages_are_of_one_answer_while_the_warehouse_goes_on(shop: Shop) -> None:
    whole = shop.page()
    assert (len(whole["rows"]), whole["all_rows"], whole["first_row"], whole["next"]) == (ORDERS, ORDERS, 0, None)
    page = shop.page(limit=10)
    assert (len(page["rows"]), page["all_rows"]) == (10, ORDERS)
    pages = [page]
    while page["next"] is not None:
        shop.stand.put(placed(f"later {len(pages)}"), at=NOW - timedelta(minutes=30 + len(pages)))
        shop.stand.catch_up()
        page = shop.page(limit=10, cursor=page["next"])
        pages.append(page)
    assert [row for page in pages for row in page["rows"]] == whole["rows"]
    assert [page["first_row"] for page in pages] == [0, 10, 20]
    assert {str(page["watermark"]) for page in pages} == {str(pages[0]["watermark"])}
    assert shop.page(limit=10)["all_rows"] == ORDERS + 2
    assert shop.warehouse.runs == 2


def test_arrow_has_the_same_pages(shop: Shop) -> None:
    rows, cursor = [], None
    for _ in range(3):
        response = shop.get(headers={"accept": ARROW}, limit=10, **({"cursor": cursor} if cursor else {}))
        table = pa.ipc.open_stream(response.content).read_all()
        rows += [row["order_id"] for row in table.to_pylist()]
        told = table.schema.metadata
        cursor = None if told[b"next"] == b"null" else told[b"next"].decode()
        assert told[b"all_rows"] == str(ORDERS).encode()
    assert cursor is None
    assert rows == [row["order_id"] for row in shop.page()["rows"]]


def test_the_client_reads_all_pages_and_begins_again_when_they_were_dropped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "PAGE_ROWS", 7)
    dropped = iter([True])
    forwarded: list[str] = []

    def forward(request: httpx.Request) -> httpx.Response:
        forwarded.append(str(request.url))
        if "cursor" in request.url.params and next(dropped, False):
            shop.desk.answers.forget()
        answer = shop.client.get(str(request.url.copy_with(scheme="http", host="testserver.local", port=None)))
        return httpx.Response(answer.status_code, content=answer.content)

    client = QuestionsClient("http://analytics", "unused")
    client._client = httpx.Client(base_url="http://analytics", transport=httpx.MockTransport(forward))
    with client:
        answer = client.ask("order_states", since=days_before(1))
        assert [row["order_id"] for row in answer.rows] == [f"o{n:02}" for n in reversed(range(ORDERS))]
        assert len(forwarded) == 2 + 4
        dropped = iter([True] * 99)
        with pytest.raises(NotRunning, match="faster than they are read"):
            client.ask("order_states", since=days_before(2))


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"limit": 0}, 400, "from 1 to 50000"),
        ({"limit": 50_001}, 400, "from 1 to 50000"),
        ({"limit": "²"}, 400, "from 1 to 50000"),
        ({"cursor": "nonsense"}, 400, "cursor"),
        ({"cursor": "a.b.c"}, 400, "cursor"),
    ],
)
def test_a_page_that_is_none_is_refused(shop: Shop, given: dict[str, Any], status: int, said: str) -> None:
    response = shop.get(**given)
    assert (response.status_code, said in response.json()["detail"]) == (status, True)


def test_a_cursor_is_of_its_question_parameters_and_form_alone(shop: Shop) -> None:
    cursor = shop.page(limit=10)["next"]
    key, first, given = cursor.split(".")
    assert shop.get("orders_by_minute", limit=10, cursor=cursor).status_code == 400
    assert shop.get(limit=10, cursor=cursor, since=days_before(1).isoformat()).status_code == 400
    assert shop.get(limit=10, cursor=cursor, headers={"accept": ARROW}).status_code == 400
    assert shop.get(limit=10, cursor=f"{key}.999999.{given}").status_code == 400
    for odd in ("Z" * 32, key[:-1], '"\r\nset-cookie: a=b'):
        refused = shop.get(limit=10, cursor=f"{odd}.{first}.{given}", headers={"if-none-match": "*"})
        assert (refused.status_code, "set-cookie" in refused.headers) == (400, False)
    gone = shop.get(limit=10, cursor=f"{'0' * 32}.{first}.{given}")
    assert (gone.status_code, "ask without a cursor" in gone.json()["detail"]) == (410, True)


def test_a_question_is_run_once_for_a_state_and_anew_for_the_next(shop: Shop) -> None:
    for name in ("funnel", "service_minutes", "revenue_by_day", "vital_signs"):
        before = shop.warehouse.runs
        first = shop.get(name)
        shop.stand.now = NOW + timedelta(seconds=20)
        assert shop.get(name).json() == first.json(), name
        assert shop.warehouse.runs == before + 1, f"{name}: the same minute, the same positions"
        shop.stand.now = NOW + timedelta(seconds=40)
        shop.get(name)
        assert shop.warehouse.runs == before + 2, f"{name}: another minute"
        shop.stand.now = NOW
    before = shop.warehouse.runs
    rows = len(shop.page()["rows"])
    shop.stand.put(placed("new"))
    shop.stand.catch_up()
    assert len(shop.page()["rows"]) == rows + 1
    assert shop.warehouse.runs == before + 2


def test_an_earlier_time_is_said_with_the_answer_and_refused_where_only_now_is_known(shop: Shop) -> None:
    at = (NOW - timedelta(minutes=10)).replace(second=0)
    answer = shop.page(at=at.isoformat(), limit=10)
    said = at.isoformat().replace("+00:00", "Z")
    assert (answer["parameters"]["at"], answer["parameters"]["until"], answer["all_rows"]) == (said, said, ORDERS - 11)
    following = shop.page(at=at.isoformat(), limit=10, cursor=answer["next"])
    assert (following["parameters"], following["next"]) == (answer["parameters"], None)
    assert "at" not in shop.page()["parameters"]
    refused = shop.get("freshness", at=at.isoformat())
    assert (refused.status_code, "as of an earlier time" in refused.json()["detail"]) == (400, True)


def test_what_depends_on_the_very_moment_is_never_an_old_answer(shop: Shop) -> None:
    rows = {row["topic"]: row["freshness_s"] for row in shop.get("data_quality").json()["rows"]}
    shop.stand.now = NOW + timedelta(seconds=2)
    later = {row["topic"]: row["freshness_s"] for row in shop.get("data_quality").json()["rows"]}
    assert later["shop.orders"] == rows["shop.orders"] + 2.0


def test_many_who_ask_at_once_are_answered_by_one_run_and_others_do_not_wait(shop: Shop) -> None:
    shop.warehouse.may.clear()
    with ThreadPoolExecutor(12) as many:
        same = [many.submit(shop.page) for _ in range(10)]
        other = many.submit(shop.get, "data_range", headers={"accept": ARROW})
        assert other.result(10).status_code == 200, "a thread is left"
        assert not any(one.done() for one in same)
        shop.warehouse.may.set()
        answers = [one.result(10) for one in same]
    assert all(answer == answers[0] for answer in answers)
    assert shop.warehouse.runs == 1


def test_a_failure_is_told_to_all_who_wait_and_not_kept(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MOST_BYTES", 500)
    response = shop.get()
    assert response.status_code == 400
    assert "too many rows for one answer" in response.json()["detail"]
    assert "since and until" in response.json()["detail"]
    assert shop.get(headers={"accept": ARROW}).status_code == 400
    monkeypatch.setattr(desk_module, "MOST_BYTES", 100_000)
    assert shop.page()["all_rows"] == ORDERS


def test_an_unchanged_answer_is_not_sent_again(shop: Shop) -> None:
    first = shop.get(limit=10)
    again = shop.get(limit=10, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert shop.get(limit=11, headers={"if-none-match": first.headers["etag"]}).status_code == 200
    halted = Watermark(shop.desk.watermark().at, shop.desk.watermark().positions, halted="a foreign log")
    shop.stand.ingest.watermark = halted
    said = shop.get(limit=10, headers={"if-none-match": first.headers["etag"]})
    assert (said.status_code, said.json()["watermark"]["halted"]) == (200, "a foreign log")
    shop.stand.put(placed("new"))
    shop.stand.catch_up()
    assert shop.get(limit=10, headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_an_erasure_drops_every_answer_before_it_is_answered(shop: Shop) -> None:
    cursor = shop.page(limit=10)["next"]
    shop.stand.put(CustomerErased(customer_id="c", erasure_id="e1"))
    shop.stand.catch_up()
    kept_then: list[int] = []
    log = shop.stand.log
    scrubbing = Scrubbing(shop.warehouse, log, lambda: {}, forget=shop.desk.answers.forget)
    real = log.append
    log.append = lambda *given: (kept_then.append(shop.desk.answers.size), real(*given))[1]  # type: ignore[method-assign]
    try:
        assert scrubbing.scrub() == 1
    finally:
        log.append = real  # type: ignore[method-assign]
    assert kept_then == [0]
    assert shop.get(limit=10, cursor=cursor).status_code == 410


def test_rolling_up_and_archiving_make_answers_anew(shop: Shop) -> None:
    assert shop.get("event_to_query_delay").json()["rows"] == []
    shop.stand.ingest.roll_up()
    assert shop.get("event_to_query_delay").json()["rows"] != [], "at the same positions"
    before = shop.page()
    runs = shop.warehouse.runs
    later = NOW + timedelta(days=3)
    assert Archive(shop.warehouse, Retention(raw_days=1), now=lambda: later).turn() == ORDERS
    assert shop.page()["rows"] == before["rows"]
    assert shop.warehouse.runs == runs + 1


def kept(key: str, size: int) -> Kept:
    rows = JsonRows()
    rows.add({"x": "y" * size})
    return Kept(key, "q", [], rows, Watermark(), {})


def test_answers_are_bounded_in_number_bytes_and_time() -> None:
    answers = Answers(most=3, most_bytes=10_000)
    with ThreadPoolExecutor(1) as threads:
        for number in range(5):
            answers.make(str(number), lambda number=number: kept(str(number), 10), threads).result()  # type: ignore[misc]
        assert [answers.find(str(number)) is not None for number in range(5)] == [False, False, True, True, True]
        answers.find("2")
        answers.make("large", lambda: kept("large", 9_900), threads).result()
        assert answers.size <= 10_000
        assert answers.find("3") is None, "asked for longest ago"
        soon = Answers(kept_s=0.0)
        soon.make("a", lambda: kept("a", 10), threads).result()
        assert soon.find("a") is None
