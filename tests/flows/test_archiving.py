"""Old raw rows go to Parquet and stay reachable; killed between any two steps none is lost or doubled."""

import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.archiving import Archive
from analytics.ingest import Ingest
from analytics.rebuilding import rebuild
from analytics.warehouse import WarehouseError
from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import OrderCompleted, OrderRejected, ProductViewed
from shop_stack.ids import uuid7
from shop_stack.stack import Retention
from tests.analytics_stand import NOW, Stand, days_before, past_minute, past_order, placed, record, stand

pytestmark = pytest.mark.embedded
ROOT = Path(__file__).parents[2]
STEPS = ("written", "fsynced", "renamed", "counted", "deleted", "viewed", "committed")
ASKED = ("orders_by_minute", "revenue_by_day", "top_products", "events_by_topic_by_minute", "records_counted")


def filled(folder: Path) -> Stand:
    """A warehouse with four days of orders and a simulated past, all rolled up."""
    made = Stand(folder)
    for day in range(4):
        made.put(*(placed(f"o{day}-{n}", 100 + n) for n in range(30)), at=days_before(day))
    made.put(past_order("h1"), past_minute(30.0), at=days_before(300))
    made.put(OrderRejected(order_id="o3-0", reason="declined"))
    made.catch_up()
    made.ingest.roll_up()
    return made


def archive(made: Stand, days: int = 0, at: timedelta = timedelta(), size_mb: int = 2048) -> Archive:
    return Archive(made.warehouse, Retention(raw_days=days, database_mb=size_mb), lambda: NOW + at)


def answers(made: Stand) -> dict[str, Any]:
    journeys = {order: made.ask("order_journey", order_id=order) for order in ("o0-1", "o3-0", "o2-5")}
    return {name: made.ask(name) for name in ASKED} | journeys


def rows(made: Stand, relation: str = "raw_events") -> int:
    return int(made.warehouse.write(f"select count(*) from {relation}")[0][0])  # noqa: S608


def entered(made: Stand) -> set[str]:
    """The files that the warehouse knows."""
    return {row[0] for row in made.warehouse.write("select file from archived_files")}


def on_disk(folder: Path) -> set[str]:
    """The files that lie in the archive."""
    return {str(path.relative_to(folder / "archive")) for path in (folder / "archive").rglob("*") if path.is_file()}


def test_old_days_leave_the_database_and_every_answer_stays(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before, all_rows = answers(made), rows(made)
    assert archive(made, days=2).turn() == 30 + 2
    assert rows(made) == all_rows - 32
    assert archive(made).turn() == 60
    assert archive(made).turn() == 0
    assert {path.parent.name for path in (tmp_path / "archive").rglob("*.parquet")} == {
        "past", "2026-11-15", "2026-11-16", "2026-11-17"}  # fmt: skip
    assert (rows(made), rows(made, "every_event")) == (31, all_rows)
    assert answers(made) == before
    made.check()
    made = made.reopen()
    assert answers(made) == before
    made.check()
    made.close()


def test_journeys_are_read_from_the_files_of_orders_alone(tmp_path: Path) -> None:
    made = filled(tmp_path)
    viewed = ProductViewed(session_id="s1", product_id="p1")
    about = [mentioned(OrderCompleted(order_id="o1-1", customer_id="c", lines=[], total_minor=1, seconds=1.0), "o1-2")]
    made.log.append("shop.orders", about)
    made.put(viewed)
    made.catch_up()
    made.ingest.roll_up()
    before = {order: made.ask("order_journey", order_id=order) for order in ("o1-1", "o1-2")}
    assert [[step["type"].split(".")[2] for step in steps] for steps in before.values()] == [
        ["placed", "completed"], ["placed", "completed"]]  # fmt: skip
    archive(made, at=timedelta(days=1)).turn()
    assert {Path(file).name.split("-")[0] for file in entered(made)} == {"orders", "rest"}
    assert rows(made, "(from every_event except from order_events)") == 2, "what was viewed, and a minute of the past"
    assert {order: made.ask("order_journey", order_id=order) for order in before} == before
    made.warehouse.write("update archived_files set part = null")
    made = made.reopen()
    assert rows(made, "(from every_event except from order_events)") == 0, "an earlier version kept all together"
    assert {order: made.ask("order_journey", order_id=order) for order in before} == before
    made.check()
    made.close()


def mentioned(event: OrderCompleted, correlation: str) -> Record:
    """An event about its order that bears another one as its correlation."""
    envelope = Envelope(
        id=uuid7(NOW), source="/tests", subject=event.order_id, time=NOW, correlationid=correlation, data=event
    )
    return Record(key=event.order_id, value=encode(envelope))


def test_what_comes_later_meets_what_was_archived(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.log.append("shop.history", [record(past_order("h2"), days_before(300), "not-ordered-in-time")])
    made.put(OrderCompleted(order_id="o2-5", customer_id="c", lines=[], total_minor=105, seconds=1.0))
    known = made.warehouse.write("select id from raw_events where subject = 'o2-5'")[0][0]
    made.catch_up()
    made.ingest.roll_up()
    archive(made, at=timedelta(days=1)).turn()
    assert rows(made) == 0
    for round_ in range(2):
        made = made.reopen()
        made.put(placed("o2-5", 105), at=days_before(2), identifier=known)
        made.log.append("shop.history", [record(past_order("h2"), days_before(300), "not-ordered-in-time")])
        made.put(placed(f"late{round_}"), at=days_before(3))
        made.catch_up()
        made.ingest.roll_up()
        assert made.warehouse.write("select count(*) from raw_events where repeat")[0][0] == 2
        archive(made, at=timedelta(days=1)).turn()
        assert sum(r["repeats"] for r in made.ask("records_counted")) == rows(made, "(from every_event where repeat)")
        made.check()
    made.close()


def test_a_bulk_that_comes_again_counts_once_although_it_was_archived(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        history = [record(past_order(f"h{n}"), days_before(30), f"import-{n}") for n in range(1500)]
        made.log.append("shop.history", history)
        made.catch_up()
        made.ingest.roll_up()
        assert archive(made).turn() == 1500
        made.log.append("shop.history", history)
        made.catch_up()
        made.ingest.roll_up()
        assert [(r["records"], r["repeats"]) for r in made.ask("records_counted")] == [(3000, 1500)]
        made.check()


def test_marts_made_anew_take_the_archive_in(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before, all_rows = answers(made), rows(made)
    archive(made).turn()
    made.warehouse.write("update rolled_up set marts = 'of an older version'")
    made = made.reopen()
    assert (answers(made), rows(made)) == (before, all_rows)
    made.ingest.roll_up()
    assert archive(made).turn() > 0
    assert answers(made) == before
    made.check()
    made.close()


def test_a_database_that_is_too_large_gives_up_younger_days(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        for day in range(3):
            records = [record(placed(f"o{day}-{n}"), days_before(day)) for n in range(6000)]
            made.log.append("shop.orders", records)
        made.catch_up()
        made.ingest.roll_up()
        made.warehouse.settle()
        assert archive(made, days=3).turn() == 0
        assert archive(made, days=3, size_mb=1).turn() == 12_000
        assert rows(made) == 6000


def test_a_rebuild_takes_what_the_log_has_lost_from_the_archive(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.log.append("ops.samples", [record(placed(f"s{n}"), days_before(2)) for n in range(20)])
    made.catch_up()
    made.ingest.roll_up()
    before = answers(made)
    archive(made).turn()
    made.warehouse.close()
    assert made.log.enforce_retention(NOW + timedelta(days=4000)) >= 20
    done = rebuild(tmp_path / "warehouse.duckdb", made.log)
    assert (done.swapped, done.differences, done.carried) == (True, [], 20)
    (tmp_path / "warehouse.duckdb").write_bytes(b"torn to pieces" * 1000)
    assert rebuild(tmp_path / "warehouse.duckdb", made.log).carried == 20
    made.log.close()
    made = Stand(tmp_path)
    assert answers(made) == before
    made.check(days_before(2))
    archive(made).turn()
    assert rows(made, "every_event") == sum(r["records"] for r in made.ask("records_counted"))
    made.check(days_before(2))
    made.close()


def test_files_whose_events_the_warehouse_has_not_are_left_for_a_rebuild(tmp_path: Path) -> None:
    made = filled(tmp_path)
    archive(made, days=2).turn()
    made.warehouse.close()
    (tmp_path / "warehouse.duckdb").unlink()
    made.log.close()
    made = Stand(tmp_path)
    files = set((tmp_path / "archive").rglob("*.parquet"))
    archive(made).turn()
    assert set((tmp_path / "archive").rglob("*.parquet")) == files
    made.catch_up()
    made.ingest.roll_up()
    archive(made, days=300).turn()
    assert entered(made) == on_disk(tmp_path)
    made.check()
    made.close()


def test_a_file_that_counts_otherwise_takes_no_row_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    all_rows = rows(made)
    moving = archive(made)
    path = tmp_path / "archive" / "2026-11-15"

    def lose(step: str) -> None:
        if step == "renamed":
            found = next(iter(path.glob("*.parquet")))
            made.warehouse.ask(f"copy (from '{found}' limit 7) to '{found}' (format parquet)", {})

    monkeypatch.setattr(moving, "_between", lose)
    with pytest.raises(WarehouseError, match="has 7 rows of 30"):
        moving.turn()
    assert (rows(made), rows(made, "every_event")) == (all_rows, all_rows)
    made.close()


@pytest.mark.parametrize("step", STEPS)
def test_killed_between_any_two_steps_nothing_is_lost_or_doubled(tmp_path: Path, step: str) -> None:
    made = filled(tmp_path)
    before, all_rows = answers(made), rows(made)
    for number in (1, 2):
        made.close()
        command = [sys.executable, "-m", "tests.flows.archive_process", str(tmp_path), step, str(number)]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        made = Stand(tmp_path)
        assert rows(made, "every_event") == all_rows
        assert answers(made) == before
        made.check()
    archive(made, at=timedelta(days=1)).turn()
    assert (rows(made), rows(made, "every_event")) == (0, all_rows)
    assert entered(made) == on_disk(tmp_path)
    assert answers(made) == before
    made.check()
    assert Ingest(made.log, made.warehouse).step() == 0
    made.close()


def test_archiving_goes_on_beside_ingestion(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        ending, troubles = threading.Event(), list[Exception]()

        def ingest() -> None:
            try:
                while not ending.is_set() or made.ingest.step():
                    made.ingest.step()
                    made.ingest.roll_up()
            except WarehouseError as error:
                troubles.append(error)

        writer = threading.Thread(target=ingest)
        writer.start()
        moved = 0
        for turn in range(25):
            events = [record(placed(f"o{turn}-{n}"), days_before(n % 3), f"id-{turn}-{n // 2}") for n in range(40)]
            made.log.append("shop.orders", events)
            moved += archive(made).turn()
        ending.set()
        writer.join()
        assert troubles == []
        assert moved > 0
        assert sum(r["records"] for r in made.ask("records_counted")) == rows(made, "every_event") == 25 * 40
        assert sum(r["repeats"] for r in made.ask("records_counted")) == 25 * 20


@pytest.mark.parametrize("of_orders", [False, True])
def test_many_large_events_are_archived_within_the_memory_that_there_is(tmp_path: Path, of_orders: bool) -> None:
    number, filling = 36_000, "0123456789" * 300
    order = b'"correlationid":"o%d",' if of_orders else b'"subject":"s%d",'
    with stand(tmp_path) as made:
        for start in range(0, number, 4_000):
            made.log.append("ops.samples", [
                Record("stack", b'{"id":"e%d","source":"/s","type":"ops.stack.t.v1","time":"2026-11-01T00:00:00Z",'
                                b'%s"data":"%d%s"}' % (n, order % (n % 997), n, filling.encode()))
                for n in range(start, start + 4_000)
            ])  # fmt: skip
        made.catch_up()
        made.ingest.roll_up()
        assert archive(made).turn() == number
        assert rows(made) == 0
        assert rows(made, "every_event") == number
