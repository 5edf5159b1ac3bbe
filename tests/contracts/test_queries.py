"""Operators' own statements: answers as documented, bounded and honest about it, and the same as the questions'."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from analytics import encoding
from analytics.asked import Limits
from analytics.binding import bind
from analytics.marts import MARTS
from analytics.questions import QUESTIONS, find
from analytics.questions_api import ARROW
from analytics.relations import relations
from shop_stack.access import read_token
from shop_stack.events import ProductViewed
from tests.analytics_stand import NOW, ZONE, record
from tests.query_stand import Asked, asked

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with asked(tmp_path_factory.mktemp("queries")) as made:
        yield made


def test_an_answer_has_columns_with_types_rows_watermark_and_seconds(shop: Asked) -> None:
    sql = "select order_id, sum(total_minor) as total, max(placed_at) as at from orders_placed group by all order by 1"
    answer = shop.answer(sql, limit=2)
    assert answer["columns"] == [
        {"name": "order_id", "type": "varchar"},
        {"name": "total", "type": "hugeint"},
        {"name": "at", "type": "timestamp"},
    ]
    assert answer["rows"] == [
        {"order_id": "o1", "total": 500, "at": "2026-11-18T12:00:30Z"},
        {"order_id": "o2", "total": 700, "at": "2026-11-18T12:00:30Z"},
    ]
    assert (answer["truncated"], answer["sql"], answer["copied"]) == (True, sql, {"orders_placed": 3})
    assert answer["watermark"]["positions"]["shop.orders"]
    assert 0 < answer["seconds"] < 60


def test_arrow_has_the_same_and_says_it_in_its_metadata(shop: Asked) -> None:
    body = {"sql": "select order_id, total_minor, 1 as x, 2 as x from orders_placed order by 1", "limit": 2}
    response = shop.client.post("/analytics/v1/query", json=body, headers={"accept": ARROW})
    assert response.headers["content-type"] == ARROW
    table = pa.ipc.open_stream(response.content).read_all()
    assert table.to_pydict() == {"order_id": ["o1", "o2"], "total_minor": [500, 700], "x": [1, 1], "x_1": [2, 2]}
    said = table.schema.metadata
    assert (said[b"truncated"], said[b"copied"]) == (b"true", b'{"orders_placed":3}')
    assert set(said) >= {b"watermark", b"sql", b"seconds"}


def test_values_of_every_kind_are_json(shop: Asked) -> None:
    sql = """select null as n, 1.50::decimal(9, 2) as d, 170141183460469231731687303715884105727 as huge,
        'nan'::double as nan, 'infinity'::timestamp as never, interval 1 day as day, 'a'::blob as bytes, [1, 2] as list,
        {'a': date '2026-01-02'} as struct, map {'k': 1} as pairs, '{"a": [1]}'::json as document, time '10:00' as t,
        uuid_extract_version('01a1ee87-a730-7989-abe0-f41353f90827'::uuid) as v, timestamptz '2026-01-01 00:00+01' as z
    """
    row = shop.answer(sql)["rows"][0]
    assert (row["n"], row["nan"], row["d"]) == (None, None, "1.50")
    assert row["huge"] == "170141183460469231731687303715884105727"
    assert (row["list"], row["struct"], row["document"]) == ([1, 2], {"a": "2026-01-02"}, {"a": [1]})
    assert row["never"] == "9223372036854775807 timestamp[us]"
    assert (row["z"], row["t"], row["v"]) == ("2025-12-31T23:00:00Z", "10:00:00", 7)


@pytest.mark.parametrize(
    "value", ["340282366920938463463374607431768211455::uhugeint", "'10:00:00+01'::timetz", "['1'::bit]"]
)
def test_a_value_that_would_arrive_as_another_is_refused(shop: Asked, value: str) -> None:
    assert "cast it to VARCHAR" in shop.refusal(f"select {value} as x")
    assert shop.answer(f"select {value}::varchar as x")["rows"] != []


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from raw_events",
        "from orders_placed",
        "with o as (select * from orders_placed) select o.order_id, e.state from o natural left join order_ends as e",
        "select p from orders_placed as p order by p.order_id",
        "select #2 from orders_placed as x (a, b)",
        "select columns('.*_minor') from order_lines union all by name select total_minor from orders_placed",
        "with recursive n as (select 1 as i union all select i + 1 from n where i < 5) select sum(i) as s from n",
        "select origin, sum(events) as e from topic_minutes group by rollup (origin) having e > 0 order by all",
        "select type, row_number() over (partition by topic order by time) as r from raw_events qualify r = 1",
        "select data ->> 'order_id' as o, list_transform([1], lambda x: x + 1) as l from raw_events",
        "select m.minute, s.orders from topic_minutes as m asof join sales_minutes as s on m.minute >= s.minute",
        "select case when exists (select 1 from order_ends) then 1 end as c, unnest([1, 2]) as u from range(2)",
        "values (1, 'a'), (2, 'b')",
    ],
)
def test_a_statement_answers_what_the_warehouse_itself_answers(shop: Asked, sql: str) -> None:
    """So no column that a statement means without naming it is left out of the copies."""
    own = shop.stand.warehouse.ask_arrow(sql, {})
    types = [kind for _, kind in shop.stand.warehouse.ask(sql, {}).columns]
    expected = json.loads(encoding.json(own.column_names, types, own.to_batches(), 1000, 100_000, {}).body)
    answer = shop.answer(sql)
    assert sorted(map(json.dumps, answer["rows"])) == sorted(map(json.dumps, expected["rows"])) != []
    assert [column["name"] for column in answer["columns"]] == own.column_names


@pytest.mark.parametrize("name", ["orders_by_minute", "revenue_by_day", "top_products", "data_range", "order_states"])
def test_the_sql_that_a_question_shows_can_be_asked(shop: Asked, name: str) -> None:
    """ "Explain this number" goes on: the statement behind an answer, with its values written in, answers the same."""
    question = find(name)
    sql = question.sql
    values = bind(question, {}, shop.stand.now, ZONE)
    for key in sorted(values, key=len, reverse=True):
        sql = sql.replace(f"${key}", _literal(values[key]))
    asked_ = shop.client.get(f"/analytics/v1/questions/{name}").json()
    assert asked_["rows"] != []
    assert shop.answer(sql)["rows"] == asked_["rows"]


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else f"'{value}'" + ("" if isinstance(value, str) else "::timestamp")


def test_since_and_until_bound_what_is_read(shop: Asked) -> None:
    sql = "select count(*) as n from orders_placed"
    assert shop.answer(sql, since=NOW.isoformat())["rows"] == [{"n": 2}]
    before = shop.answer(sql, since=(NOW - timedelta(days=2)).isoformat(), until=NOW.isoformat())
    assert (before["rows"], before["copied"]) == ([{"n": 1}], {"orders_placed": 1})
    assert shop.answer("select count(*) as n from products", since="2030-01-01T00:00:00Z")["rows"] == [{"n": 1}]
    assert "beyond" in shop.refusal(sql, since="9999-12-31T23:59:59-23:00")


def test_what_is_wrong_is_said_in_one_sentence(shop: Asked) -> None:
    assert "nowhere" in shop.refusal("select * from nowhere")
    assert "relations" in shop.refusal("select * from nowhere")
    assert "totl" in shop.refusal("select totl from orders_placed")
    assert "syntax error" in shop.refusal("selct 1")
    assert "0 statements" in shop.refusal("-- nothing")
    for body in ({}, {"sql": ""}, {"sql": "select 1", "limit": 0}, {"sql": "select 1", "x": 1}, {"sql": "x" * 10_001}):
        assert shop.client.post("/analytics/v1/query", json=body).status_code == 400


def test_an_answer_is_bounded_in_bytes_and_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with asked(tmp_path_factory.mktemp("small"), Limits(seconds=60.0, answer_bytes=1000, copied_rows=5)) as shop:
        answer = shop.answer("select repeat('x', 100) as x from range(100)")
        assert (len(answer["rows"]), answer["truncated"]) == (9, True)
        assert "more than 5 rows" in shop.refusal("select count(*) from raw_events")
        assert shop.answer("select count(*) as n from orders_placed")["rows"] == [{"n": 3}]


def test_copies_that_do_not_fit_are_said_to_be_too_much(tmp_path: Path) -> None:
    with asked(tmp_path, Limits(seconds=60.0, memory_bytes=1024 * 1024)) as shop:
        event = ProductViewed(session_id="s", product_id="p" * 1000)
        shop.stand.log.append(event.topic.name, [record(event, NOW) for _ in range(40_000)])
        shop.stand.catch_up()
        assert "more memory than its 1 MiB" in shop.refusal("select max(data) from raw_events")
        assert shop.stand.warehouse.ask("select count(*) from raw_events where repeat", {}).rows == [(0,)]


def test_only_as_many_run_as_may_and_the_questions_answer_meanwhile(shop: Asked) -> None:
    slow = "select count(*) from range(100000000) as a, range(100000000) as b"
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(shop.query(slow).status_code)) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(sandboxes()) < 2:
        assert statuses == []
    busy = shop.query("select 1")
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
    assert shop.client.get("/analytics/v1/questions/orders_by_minute").json()["rows"] != []
    assert statuses == [], "a question waits for no statement"
    for child in sandboxes():
        child.kill()
    for thread in threads:
        thread.join()
    assert statuses == [422, 422]
    assert sandboxes() == []
    assert shop.answer("select 1 as x")["rows"] == [{"x": 1}]


def sandboxes() -> list[psutil.Process]:
    """The processes that run statements now."""
    return [p for p in psutil.Process().children() if "analytics.sandbox" in " ".join(p.cmdline())]


def test_viewers_and_managers_may_not_and_nothing_is_started_for_them(shop: Asked) -> None:
    token = {"authorization": f"Bearer {read_token(shop.home, 'viewer')}"}
    for response in (
        shop.client.post("/analytics/v1/query", json={"sql": "select 1"}, headers=token),
        shop.client.get("/analytics/v1/relations", headers=token),
    ):
        assert response.status_code == 403
        assert "needs operator" in response.json()["detail"]
    assert sandboxes() == []


def test_every_relation_and_column_is_documented_as_it_is(shop: Asked) -> None:
    listed = {one["name"]: one for one in shop.client.get("/analytics/v1/relations").json()}
    assert list(listed) == list(relations())
    assert listed.keys() >= set(MARTS)
    for name, one in listed.items():
        real = [column for column, _ in shop.stand.warehouse.ask(f"select * from {name} limit 0", {}).columns]  # noqa: S608
        left_out = {"rejected_records": ["log_id"]}.get(name, [])
        assert list(one["columns"]) == [column for column in real if column not in left_out]
        assert one["row"].startswith("one row per")
        assert all(one["columns"].values())
        assert one["time"] is None or one["time"] in one["columns"]
    assert QUESTIONS.keys() & listed.keys() == set(), "a question and a relation are never confused"
