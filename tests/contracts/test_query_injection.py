"""Statements that mean harm: none has an effect, each is refused in a sentence or answered honestly within bounds."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from analytics.asked import Limits
from analytics.parsed import BadStatement
from analytics.queries import _known
from analytics.relations import relations
from tests.query_stand import PATIENT, Asked, asked

pytestmark = pytest.mark.embedded
SECRET = "the-secret-of-the-owner-7f3a"

# What stops each is named by a word of its refusal. {folder} is the warehouse's, with a file of a secret in it.
REFUSED: dict[str, tuple[str, str]] = {
    # several statements, and statements that are no SELECT
    "a second statement": ("select 1; drop table raw_events", "2 statements"),
    "a second statement in comments": ("select 1 /* ; */ ;--\n delete from raw_events", "2 statements"),
    "a second SELECT": ("select 1; select 2", "2 statements"),
    "DROP": ("drop view orders_placed", "DROP"),
    "CREATE": ("create table evil as select 1 as a", "CREATE"),
    "a macro": ("create macro count(x) as 0", "CREATE"),
    "INSERT": ("insert into raw_events select * from raw_events", "INSERT"),
    "UPDATE": ("update raw_events set data = '{{}}'", "UPDATE"),
    "DELETE": ("delete from raw_events", "DELETE"),
    "TRUNCATE": ("truncate raw_events", "DELETE"),
    "MERGE": ("merge into products using raw_events on true when matched then delete", "MERGE"),
    "ALTER": ("alter table raw_events drop column data", "ALTER"),
    "BEGIN": ("begin transaction", "TRANSACTION"),
    "CHECKPOINT": ("force checkpoint", "only a SELECT"),
    "VACUUM": ("vacuum analyze", "only a SELECT"),
    "CALL": ("call pragma_version()", "CALL"),
    "PREPARE": ("prepare p as select 1", "PREPARE"),
    "EXECUTE": ("execute p", "EXECUTE"),
    "EXPLAIN ANALYZE": ("explain analyze delete from raw_events", "EXPLAIN"),
    "a dynamic PIVOT": ("pivot orders_placed on order_id using sum(total_minor)", "only a SELECT"),
    # changes hidden in a SELECT
    "DELETE in a CTE": ("with d as (delete from raw_events returning *) select * from d", "DELETE"),
    "INSERT in a CTE": ("with d as (insert into raw_events select * from raw_events returning 1) from d", "INSERT"),
    "UPDATE in a CTE": ("with d as (update raw_events set data = null returning 1) select * from d", "UPDATE"),
    # files, network, extensions, other databases
    "COPY to a file": ("copy (select 1) to '{folder}/out.csv'", "COPY"),
    "COPY from a file": ("copy products from '{folder}/secret.txt'", "COPY"),
    "EXPORT": ("export database '{folder}/export'", "EXPORT"),
    "IMPORT": ("import database '{folder}/export'", "only a SELECT"),
    "ATTACH the warehouse": ("attach '{folder}/warehouse.duckdb' as w (read_only)", "ATTACH"),
    "ATTACH memory": ("attach ':memory:' as m", "ATTACH"),
    "INSTALL": ("install httpfs", "LOAD"),
    "LOAD": ("load '{folder}/evil.duckdb_extension'", "LOAD"),
    "read_csv": ("select * from read_csv('{folder}/secret.txt')", "read_csv"),
    "read_text": ("select content from read_text('{folder}/secret.txt')", "read_text"),
    "read_blob of a device": ("select * from read_blob('/dev/zero')", "read_blob"),
    "glob": ("select * from glob('{folder}/*')", "glob"),
    "read_duckdb": ("from read_duckdb('{folder}/warehouse.duckdb', table_name = 'raw_events')", "read_duckdb"),
    "a file as a table": ("select * from '{folder}/secret.txt'", "no relation"),
    "a file named by quotes": ('select * from "{folder}/secret.txt"', "no relation"),
    "parquet over HTTP": ("select * from 'http://127.0.0.1:9/x.parquet'", "no relation"),
    "http in a function": ("from read_json('http://127.0.0.1:9/?x=' || (select 'data'))", "read_json"),
    "a scan of memory": ("select * from arrow_scan(140000000, 140000000, 140000000)", "arrow_scan"),
    "sniffing": ("from sniff_csv('/etc/passwd')", "sniff_csv"),
    # settings, environment, what DuckDB knows of itself
    "SET": ("set enable_external_access = true", "SET"),
    "RESET": ("reset lock_configuration", "SET"),
    "PRAGMA": ("pragma memory_limit = '9GB'", "only a SELECT"),
    "SET VARIABLE": ("set variable x = 1", "SET"),
    "getenv": ("select getenv('HOME')", "getenv"),
    "current_setting": ("select current_setting('lock_configuration')", "current_setting"),
    "getvariable": ("select getvariable('x')", "getvariable"),
    "duckdb_settings": ("select * from duckdb_settings()", "duckdb_settings"),
    "duckdb_secrets": ("from duckdb_secrets()", "duckdb_secrets"),
    "a catalog as a table": ("select * from duckdb_tables", "no relation"),
    "information_schema": ("select * from information_schema.tables", "without a schema"),
    "sqlite_master": ("select sql from sqlite_master", "no relation"),
    "a schema": ("select * from main.orders_placed", "without a schema"),
    "pg_catalog": ("select pg_catalog.pg_sleep(9)", "without a schema"),
    "SHOW": ("show all tables", "SHOW"),
    "DESCRIBE in a FROM": ("select * from (describe raw_events)", "SHOW"),
    "what is not documented": ("select log_id from rejected_records", "log_id"),
    "a table of the owner": ("select * from kept_orders_placed", "no relation"),
    # ways round the check
    "query()": ("from query('drop table raw_events')", "query"),
    "query_table()": ("from query_table('raw_events')", "query_table"),
    "SQL made of JSON": ("from json_execute_serialized_sql(json_serialize_sql('select 1'))", "json_execute"),
    "a pragma as a function": ("from pragma_table_info('raw_events')", "pragma_table_info"),
    "a parameter": ("select $1", "PARAMETER"),
    "a named parameter": ("select * from orders_placed where order_id = $order_id", "PARAMETER"),
    "a sequence": ("select nextval('s')", "nextval"),
    "a log written": ("select write_log('x', level := 'error')", "write_log"),
    "sleeping": ("select sleep_ms(600000)", "sleep_ms"),
    "sleeping by a macro": ("select pg_sleep(600)", "pg_sleep"),
    "a random seed": ("select setseed(0.5)", "setseed"),
    "time travel": ("select * from raw_events at (version => 1)", "AT another time"),
    "a file in a subquery": ("select (select content from read_text('{folder}/secret.txt'))", "read_text"),
    "a file in a CTE never used": ("with f as (from read_text('{folder}/secret.txt')) select 1", "read_text"),
    "a file in a lambda": ("select list_transform(['{folder}/secret.txt'], f -> read_text(f))", "read_text"),
    "a file in a LIMIT": ("select 1 limit (select count(*) from glob('{folder}/*'))", "glob"),
    "upper case": ("SELECT * FROM READ_TEXT('{folder}/secret.txt')", "read_text"),
    "a quoted function": ("select * from \"read_text\"('{folder}/secret.txt')", "read_text"),
    "a comment within a name": ("select * from read_/**/text('{folder}/secret.txt')", ""),
    "a zero byte": ("select 1\x00; drop table raw_events", ""),
    "a full-width semicolon": ("select 1\uff1b drop table raw_events", ""),
    "spaces that are none": ("select\u00a0*\u2003from\u200bread_text('{folder}/secret.txt')", ""),
    "text that runs backwards": ("select 1 \u202e;drop table raw_events", ""),
    "a look-alike relation": ("select * from r\u0430w_events", "no relation"),
    "an escape that ends a string": ("select e'\\'; drop table raw_events; --'; delete from raw_events", "statements"),
    "dollar quotes": ("select $a$ ; $a$; drop table raw_events", "2 statements"),
    "nested without end": ("select " + "(" * 4000 + "1" + ")" * 4000, ""),
    "NOT without end": ("select " + "not " * 2400 + "true", ""),
}  # fmt: skip

# Good SELECTs with much behind them: over the time or the memory that a statement has.
BOMBS = {
    "a recursion without end": "with recursive r as (select 1 a union all select a + 1 from r) select sum(a) from r",
    "a cross join": "select count(*) from raw_events a, raw_events b, range(100000000) c, range(100000000) d",
    "repeat": "select length(repeat('x', 3000000000))",
    "repeat by rows": "select max(repeat('x' || range, 30000000)) from range(1000)",
    "a list": "select list(range) from range(100000000000)",
    "a range": "select range(1000000000)",
    "a sort of everything": "select a from range(100000000) t(a), range(100) order by hash(a)",
    "groups without end": "select a, count(*) from range(1000000000) t(a) group by a",
    "replacing": "select replace(repeat('a', 1000000), 'a', repeat('b', 100000))",
    "a pattern": "select regexp_replace(repeat('a', 100000000), '(a?){50}', '\\0\\0', 'g')",
}
LONG = "select sum(hash(a) % 7) > 0 as x from range({rows}) t(a)"
ANSWERED = {
    "rows without end": ("select * from range(100000000000)", 1000),
    "wide rows": ("select repeat('x', 100000) as x from range(1000000)", None),
    "a comment": ("select 1 as x -- ; drop table raw_events", 1),
    "a string that is a statement": ("select '; drop table raw_events; --' as x", 1),
    "a column called one": ('select 1 as "x; drop table raw_events"', 1),
    "control characters": ("select chr(27) || '[2J' || chr(7) || chr(0) as x", 1),
    "markup": ("select '[@click=app.scale(''orders'',0)]x[/]<script>alert(1)</script>' as \"<b>[red]\"", 1),
    "a relation's name for a CTE": ("with raw_events as (select 1 as a) select a from raw_events", 1),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    yield from _shop(tmp_path_factory.mktemp("injection"), PATIENT)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Statements have seconds, and not the minute of the others."""
    yield from _shop(tmp_path_factory.mktemp("bombs"), Limits(seconds=5.0))


def _shop(folder: Path, limits: Limits) -> Iterator[Asked]:
    (folder / "secret.txt").write_text(SECRET)
    with asked(folder, limits) as made:
        yield made


def state(shop: Asked) -> dict[str, object]:
    """Everything that a statement could have changed: tables, views, rows, settings, files, processes."""
    ask = shop.stand.warehouse.ask
    catalog = "select table_name, sql from duckdb_tables() union all select view_name, sql from duckdb_views()"
    names = [row[0] for row in ask("select table_name from duckdb_tables()", {}).rows]
    folder = shop.stand.folder
    settings = "select name, value from duckdb_settings() where name in ('memory_limit', 'enable_external_access')"
    return {
        "catalog": sorted(map(str, ask(f"{catalog} order by all", {}).rows)),
        "rows": {n: ask(f"select count(*), sum(hash(t::varchar)) from {n} as t", {}).rows for n in names},  # noqa: S608
        "settings": ask(f"{settings} order by 1", {}).rows,
        "files": {str(p): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()},
        "secret": hashlib.sha256((folder / "secret.txt").read_bytes()).hexdigest(),
        "here": sorted(os.listdir()),
        "processes": [p.pid for p in psutil.Process().children(recursive=True)],
    }


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_select_is_refused_and_has_no_effect(shop: Asked, name: str) -> None:
    sql, word = REFUSED[name]
    before = state(shop)
    why = shop.refusal(sql.replace("{folder}", str(shop.stand.folder)).replace("{{}}", "{}"))
    assert word in why
    assert SECRET not in why
    assert state(shop) == before


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_at_its_bounds_and_the_owner_answers_meanwhile(short: Asked, name: str) -> None:
    before = state(short)
    said: list[str] = []
    bomb = threading.Thread(target=lambda: said.append(short.refusal(BOMBS[name])))
    bomb.start()
    answers = 0
    while bomb.is_alive():
        bomb.join(0.1)
        assert short.client.get("/analytics/v1/questions/orders_by_minute").json()["rows"] != []
        answers += 1
    assert answers > 0
    assert any(word in said[0] for word in ("longer than 5 s", "more memory than", "want of memory", "beyond")), said
    assert state(short) == before


@pytest.mark.parametrize("name", ANSWERED)
def test_what_only_looks_like_harm_is_answered_within_bounds(shop: Asked, name: str) -> None:
    sql, rows = ANSWERED[name]
    before = state(shop)
    response = shop.query(sql)
    assert response.status_code == 200, response.text
    assert len(response.content) < 9 * 1024 * 1024
    assert not set(response.content) & {*range(32)}, "no control character leaves as itself"
    answer = response.json()
    assert len(answer["rows"]) == rows if rows else len(answer["rows"]) < 1000
    assert answer["truncated"] == (rows != 1)
    assert state(shop) == before


def test_there_are_thirty_and_more() -> None:
    assert len(REFUSED) + len(BOMBS) + len(ANSWERED) > 100
    assert len({sql for sql, _ in REFUSED.values()}) == len(REFUSED)


def test_a_statement_of_more_than_two_seconds_is_answered_whole(shop: Asked) -> None:
    rows, took_s = 50_000_000, 0.0
    while took_s < 3.0:
        rows, began = rows * 2, time.monotonic()
        response = shop.query(LONG.replace("{rows}", str(rows)))
        took_s = time.monotonic() - began
        assert response.status_code == 200, response.text
        assert response.json()["rows"] == [{"x": True}]


def test_a_statement_cannot_name_what_is_not_documented(shop: Asked) -> None:
    """The owner looks up what the child asks for: a child that was taken over gets no more than the list has."""
    for needs in ({"kept_orders_placed": ["order_id"]}, {"rejected_records": ["log_id"]},
                  {"orders_placed": ['order_id" from x; drop table raw_events; --']}):  # fmt: skip
        with pytest.raises(BadStatement):
            _known(needs)
    assert [relation.name for relation, _ in _known({"products": ["name"]})] == ["products"]
    assert "log_id" not in relations()["rejected_records"].columns
