"""Ingestion: every record once, repeats counted, halts said, and the warehouse equal to the log after kill -9."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics import ingest as ingest_module
from analytics.ingest import Ingest
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.errors import LogUnavailable
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.events import OrderCompleted, OrderRejected
from shop_stack.ids import imported_id
from tests.analytics_stand import NOW, Stand, days_before, past_order, placed, record, stand
from tests.contracts.event_log_places import read_all

pytestmark = pytest.mark.embedded
WRITER = Path(__file__).with_name("ingest_process.py")


def counted(made: Stand) -> tuple[int, int, int]:
    """Rows kept, rows that count, rows rejected."""
    return made.warehouse.ask(
        "select count(*), count(*) filter (where not repeat), (select count(*) from rejected_records) from raw_events",
        {},
    ).rows[0]


def test_every_record_is_kept_once_and_repeats_are_marked(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        twice = record(placed("o1"), NOW)
        made.log.append("shop.orders", [twice, twice, record(placed("o2"), NOW)])
        made.catch_up()
        made.log.append("shop.orders", [twice])
        made.catch_up()
        assert counted(made) == (4, 2, 0)
        assert sum(r["orders"] for r in made.ask("orders_by_minute")) == 2
        made.ingest.roll_up()
        made.check()


def test_an_import_that_comes_again_in_bulk_counts_once(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        orders = [record(past_order(f"h{n}"), days_before(9), imported_id("file", str(n))) for n in range(1500)]
        for _ in range(2):
            made.log.append("shop.history", orders)
            made.catch_up()
        assert counted(made) == (3000, 1500, 0)
        assert sum(r["orders"] for r in made.ask("revenue_by_day")) == 1500
        made.check()


def test_repeats_are_marked_in_bulk_wherever_the_first_one_lies(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    early, late = days_before(2), days_before(1)
    before = [record(placed(f"b{n}"), early) for n in range(1200)]
    made.log.append("shop.orders", before)
    made.log.append("shop.history", [record(past_order("h1"), early, "no-uuid")])
    made.catch_up()
    assert counted(made) == (1201, 1201, 0)
    made = made.reopen()  # what was kept before is not in memory any more
    new = [record(placed(f"n{n}"), late) for n in range(3000)]
    made.log.append("shop.orders", new)
    made.log.append("shop.orders", [before[3], new[7], new[7]])
    made.log.append("shop.payments", [new[9]])
    made.log.append("shop.history", [record(past_order("h1"), late, "no-uuid")])
    made.catch_up()
    assert counted(made) == (4206, 4201, 0)
    made.log.append("shop.orders", [*(record(placed(f"m{n}"), NOW) for n in range(2000)), new[11], before[5]])
    made.catch_up()
    assert counted(made) == (6208, 6201, 0)
    made.put(placed("last"))
    made.log.append("shop.orders", [new[12]])
    made.catch_up()
    assert counted(made) == (6210, 6202, 0)
    made.check()
    made.ingest.roll_up()
    made.check()
    assert sum(r["orders"] for r in made.ask("orders_by_minute", since=days_before(3).isoformat())) == 6201
    made.close()


def test_in_bulk_an_event_is_read_as_it_is_one_by_one(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    event = '{"id":"%s","source":"/s","type":"t","time":"%s","sequence":%s,"data":%s}'
    odd = [
        event % ("offset", "2026-11-22T12:00:00.5+01:00", 3, '{"a": "ü"}'),
        event % ("lines", "2026-11-22T12:00:00Z", 1, '{\n "a": 1}'),
        event % ("no zone", "2026-11-22T12:00:00", 1, "{}"),
        event % ("no time", "yesterday", 1, "{}"),
        event % ("large", "2026-11-22T12:00:00Z", 2**63, "{}"),
        event % ("null", "2026-11-22T12:00:00Z", "null", "null"),
        '{"id":"no data","source":"/s","type":"t","time":"2026-11-22T12:00:00Z"}',
        "7",
        "",
    ]
    values = [text.encode() for text in odd] + [event.encode()[:20] + b"\xff"]
    few = [Record("same", value) for value in values]
    made.log.append("shop.orders", few)
    made.catch_up()
    sql = "select subject, time, sequence, data, source from raw_events where id = $id"
    names = ("offset", "lines", "null")
    one_by_one = [made.warehouse.ask(sql, {"id": name}).rows for name in names]
    assert [len(rows) for rows in one_by_one] == [1, 1, 1]
    rejected = "select reason from rejected_records where topic = $topic order by position"
    said = made.warehouse.ask(rejected, {"topic": "shop.orders"}).rows
    other = Stand(tmp_path / "other")
    good = [record(placed(f"o{n}"), NOW) for n in range(1500)]
    other.log.append("shop.payments", [*few[:1], *good[:700], *few[1:], *good[700:]])
    other.log.append("shop.catalog", [r for r in few if b"\n" not in r.value] + [record(placed("x"), NOW)] * 1200)
    other.catch_up()
    assert [other.warehouse.ask(sql + " and topic = 'shop.payments'", {"id": name}).rows for name in names] == (
        one_by_one
    )
    assert other.warehouse.ask(rejected, {"topic": "shop.payments"}).rows == said
    assert other.warehouse.ask(rejected, {"topic": "shop.catalog"}).rows == said
    assert len(said) == len(odd) + 1 - len(names)
    other.check()
    other.close()
    made.close()


def test_a_bulk_that_fails_midway_leaves_nothing_and_is_read_again(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.log.append("shop.orders", [record(placed(f"o{n}"), NOW) for n in range(3000)])
        made.log.append("shop.payments", [record(placed(f"p{n}"), NOW) for n in range(12_000)])
        read, reads = made.log.read_lines, [0]

        def fail(*given: Any) -> Any:
            reads[0] += 1
            if reads[0] == 8:
                raise LogUnavailable("the disk is away")
            return read(*given)

        made.log.read_lines = fail  # type: ignore[method-assign,assignment]
        with pytest.raises(LogUnavailable):
            made.ingest.step()
        assert counted(made) == (0, 0, 0)
        made.catch_up()
        assert reads[0] > 8
        assert counted(made) == (15_000, 15_000, 0)
        made.check()


@pytest.mark.parametrize("others", [2, 1500], ids=["small", "bulk"])
def test_what_is_no_event_is_kept_with_its_position_and_reason(tmp_path: Path, others: int) -> None:
    with stand(tmp_path) as made:
        bad = [Record("k", b"{not json"), Record("k", b"{}"), Record("k", b"\xff\xff")]
        good = [record(placed(f"o{n}"), NOW) for n in range(others)]
        made.log.append("shop.orders", [*good, *bad])
        made.catch_up()
        assert counted(made) == (others, others, 3)
        rows = made.warehouse.ask("select * from rejected_records order by position", {})
        names = [name for name, _ in rows.columns]
        assert names == ["log_id", "topic", "partition", "position", "batch", "reason"], "the log has their content"
        assert len({row[names.index("position")] for row in rows.rows}) == 3
        assert all(row[names.index("reason")] for row in rows.rows)
        again = made.reopen()
        try:
            assert again.ingest.step() == 0
            again.check()
        finally:
            again.warehouse.close()


def test_marts_are_the_same_before_and_after_rolling_up_and_when_made_anew(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.put(*(placed(f"o{n}") for n in range(5)))
    made.put(OrderRejected(order_id="o0", reason="declined"))
    made.put(past_order("h1"), at=days_before(7))
    made.catch_up()
    asked = ("orders_by_minute", "revenue_by_day", "top_products", "events_by_topic_by_minute", "freshness")
    fresh = {name: made.ask(name) for name in asked}
    made.check()
    made.ingest.roll_up()
    assert {name: made.ask(name) for name in asked} == fresh
    made.check()
    made.warehouse.write("update rolled_up set marts = 'of an older version'")
    made = made.reopen()
    assert {name: made.ask(name) for name in asked} == fresh
    made.put(OrderRejected(order_id="o1", reason="declined"), OrderCompleted(
        order_id="o2", customer_id="c", lines=[], total_minor=500, seconds=1.0))  # fmt: skip
    made.catch_up()
    made.ingest.roll_up()
    made.check()
    assert sum(r["orders"] for r in made.ask("revenue_by_day", origin="live")) == 3
    made.close()


def test_compacting_changes_no_answer_and_bounds_the_marts(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.ingest = Ingest(made.log, made.warehouse, clock=lambda: NOW.timestamp() + 1)
        made.put(placed("old"), at=days_before(5))
        made.put(past_order("h1"), at=days_before(7))
        for n in range(6):
            made.put(placed(f"o{n}"))
            made.log.append("shop.orders", [Record(f"k{n}", b"no event")])
            made.catch_up()
            made.ingest.roll_up()
        made.put(OrderRejected(order_id="o0", reason="declined"))
        made.catch_up()
        made.ingest.roll_up()
        asked = ("orders_by_minute", "revenue_by_day", "events_by_topic_by_minute", "freshness", "event_to_query_delay")
        before = {name: made.ask(name) for name in asked}
        assert all(before.values())
        partitions = {(r.topic, r.partition) for t in made.log.topics() for r in read_all(made.log, t)}
        assert made.warehouse.rows_to_compact() > len(partitions)
        with made.warehouse.transaction():
            made.warehouse.compact(days_before(1).replace(tzinfo=None))
        assert {name: made.ask(name) for name in asked} == before
        made.check()
        assert made.warehouse.rows_to_compact() == len(partitions)
        minutes = made.warehouse.ask("select count(*), sum(events) from kept_topic_minutes", {}).rows
        assert minutes == [(3, 9)]  # two of other days, the present one
        made.put(placed("later"))
        made.catch_up()
        made.ingest.roll_up()
        made.check()


def test_marts_are_compacted_when_rollups_have_piled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.ingest._COMPACT_ROWS", 3)
    with stand(tmp_path) as made:
        for n in range(9):
            made.put(past_order(f"h{n}"))
            made.catch_up()
            made.ingest.roll_up()
            assert made.warehouse.rows_to_compact() <= 3
        assert counted(made) == (9, 9, 0)
        made.check()


def test_another_log_halts_ingestion_and_is_said(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.put(placed("o1"))
    made.catch_up()
    with EmbeddedLog(tmp_path / "other") as other:
        ingest = Ingest(other, made.warehouse)
        assert ingest.watermark.halted is not None
        assert other.log_id in ingest.watermark.halted
    made.close()


def test_a_lost_tail_halts_ingestion_and_is_said(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.put(*(placed("o1") for _ in range(3)))
    made.catch_up()
    made.log.close()
    files = list((tmp_path / "log" / "topics").glob("*orders*"))
    for file in files:
        if file.suffix in (".db", ".sqlite"):
            with contextlib.closing(sqlite3.connect(file)) as connection, connection:
                connection.execute("delete from records where id = (select max(id) from records)")
    with EmbeddedLog(tmp_path / "log") as log:
        ingest = Ingest(log, made.warehouse)
        assert "lost its tail" in (ingest.watermark.halted or ""), files
        ingest.run(threading.Event())
    made.warehouse.close()


def test_what_retention_removed_before_it_was_read_is_said_and_passed_over(tmp_path: Path) -> None:
    now = [1_700_000_000.0]
    log = EmbeddedLog(tmp_path / "log", clock=lambda: now[0])
    log.append("ops.samples", [Record("k", b"old")] * 3)
    now[0] += 10 * 86400
    log.append("ops.samples", [record(placed("o1"), NOW)])
    log.enforce_retention(NOW.fromtimestamp(now[0], NOW.tzinfo))
    made = Stand(tmp_path, log)
    made.catch_up()
    assert counted(made) == (1, 1, 1)
    assert "removed by retention" in made.warehouse.ask("select reason from rejected_records", {}).rows[0][0]
    made.check()
    made.close()


def test_one_owner_has_the_file(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    code = "import sys, pathlib; from analytics.warehouse import Warehouse; Warehouse(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "warehouse.duckdb")]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tried.returncode != 0
    assert "cannot open the warehouse" in tried.stderr
    made.close()


def test_a_failing_transaction_leaves_nothing_and_is_read_again(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.put(placed("o1"))
        whole = made.warehouse.write

        def refuse(sql: str, parameters: object = None) -> object:
            if "from incoming_events" in sql:
                raise WarehouseError("disk full")
            return whole(sql, parameters)  # type: ignore[arg-type]

        made.warehouse.write = refuse  # type: ignore[method-assign,assignment]
        with pytest.raises(WarehouseError):
            made.ingest.step()
        made.warehouse.write = whole  # type: ignore[method-assign]
        assert counted(made) == (0, 0, 0)
        made.catch_up()
        assert counted(made) == (1, 1, 0)


def test_killed_under_load_and_restarted_it_equals_the_log(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    appended = 0
    for round_ in range(4):
        process = subprocess.Popen([sys.executable, str(WRITER), str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        until = time.monotonic() + 0.5 + 0.2 * round_
        while time.monotonic() < until:
            log.append("shop.orders", [record(placed(f"o{appended + n}"), NOW) for n in range(20)])
            appended += 20
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    made = Stand(tmp_path, log)
    made.catch_up()
    assert counted(made) == (appended, appended, 0)
    assert sum(r["orders"] for r in made.ask("orders_by_minute")) == appended
    assert {r["partition"]: r["position"] for r in made.ask("freshness")} == dict(enumerate(log.ends("shop.orders")))
    made.check()
    made.ingest.roll_up()
    made.check()
    made.close()


@pytest.mark.parametrize("missing", [1, 1500], ids=["few", "much"])
def test_an_end_behind_which_nothing_can_be_read_is_waited_at(tmp_path: Path, missing: int) -> None:
    with stand(tmp_path) as made:
        made.put(placed("o1"))
        made.catch_up()
        ends = {("shop.orders", 0): made.log.ends("shop.orders")[0] + missing}
        made.log.news = lambda known: ends  # type: ignore[method-assign]
        assert made.ingest.step() == 0
        assert counted(made) == (1, 1, 0)
        assert made.ingest.watermark.positions["shop.orders"][0] == made.log.ends("shop.orders")[0]


def test_rows_are_rolled_up_when_they_are_many_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "_ROLL_ROWS", 3)
    now = [NOW.timestamp()]
    with stand(tmp_path) as made:
        made.ingest = Ingest(made.log, made.warehouse, clock=lambda: now[0])
        made.ingest.roll_up()
        assert not made.ingest.roll_up_when_due(), "nothing came"
        made.put(placed("o1"), placed("o2"))
        made.ingest.step()
        assert not made.ingest.roll_up_when_due(), "few and young"
        made.put(placed("o3"))
        made.ingest.step()
        assert made.ingest.roll_up_when_due(), "many"
        made.put(placed("o4"))
        made.ingest.step()
        now[0] += 61
        assert made.ingest.roll_up_when_due(), "old"
        assert made.warehouse.ask("select sum(events) from kept_topic_minutes", {}).rows == [(4,)]


def test_nothing_is_committed_while_nothing_happens(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.put(placed("o1"))
        made.catch_up()
        before = made.ingest.watermark
        assert made.ingest.step() == 0
        assert made.ingest.watermark is before


def test_the_delay_from_event_to_query_is_measured_at_the_commit(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    warehouse = Warehouse(tmp_path / "w.duckdb")
    clock = [NOW.timestamp()]
    ingest = Ingest(log, warehouse, clock=lambda: clock[0])
    log.append("shop.orders", [record(placed(f"o{n}"), NOW - timedelta(milliseconds=10 * n)) for n in range(1, 101)])
    ingest.step()
    ingest.roll_up()
    from analytics.binding import bind
    from analytics.questions import find
    from tests.analytics_stand import ZONE

    question = find("event_to_query_delay")
    rows = warehouse.ask(question.sql, bind(question, {}, NOW + timedelta(minutes=1), ZONE)).dictionaries()
    assert sum(r["events"] for r in rows) == 100
    assert max(r["p99_ms"] for r in rows) == pytest.approx(990, rel=0.06)
    warehouse.close()
    log.close()
