"""A backup is made while ingestion goes on; restored, the warehouse goes on from its positions and equals the log."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.archiving import Archive
from analytics.backing_up import Backups
from analytics.restoring import restore
from analytics.warehouse import WarehouseError
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.stack import Retention
from tests.analytics_stand import NOW, Stand, days_before, placed, record

pytestmark = pytest.mark.embedded
ASKED = ("orders_by_minute", "revenue_by_day", "top_products", "events_by_topic_by_minute", "records_counted")


def backed_up(made: Stand) -> Path:
    """A backup by the owner, as it is asked for."""
    made.warehouse.backup.mkdir(exist_ok=True)
    (made.warehouse.backup / "b.wanted").touch()
    assert Backups(made.warehouse).answer() == 1
    assert [path.name for path in made.warehouse.backup.iterdir()] == ["b.duckdb"]
    return (made.warehouse.backup / "b.duckdb").rename(made.folder / "kept.duckdb")


def answers(made: Stand) -> dict[str, Any]:
    return {name: made.ask(name) for name in ASKED}


def archive(made: Stand) -> int:
    made.ingest.roll_up()
    return Archive(made.warehouse, Retention(raw_days=0), lambda: NOW).turn()


def test_restored_it_goes_on_and_equals_the_log(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.put(*(placed(f"o{n}", 100 + n) for n in range(40)), at=days_before(2))
    made.catch_up()
    assert archive(made) == 40
    made.put(*(placed(f"n{n}") for n in range(20)))
    made.catch_up()
    kept = backed_up(made)
    made.put(*(placed(f"later{n}") for n in range(20)))
    made.catch_up()
    at_the_end = answers(made)
    made.warehouse.close()
    assert restore(tmp_path / "warehouse.duckdb", kept, made.log).records == 60
    made.log.close()
    made = Stand(tmp_path)
    assert made.warehouse.write("select count(*) from raw_events") == [(60,)], "a backup needs no other file"
    made.check()
    made.catch_up()
    assert answers(made) == at_the_end
    assert archive(made) == 40
    made.check()
    made.close()


def test_a_backup_beside_ingestion_is_of_one_moment(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    ending = threading.Event()

    def ingest() -> None:
        while not ending.is_set():
            made.ingest.step()
            made.ingest.roll_up()

    writer = threading.Thread(target=ingest)
    writer.start()
    for turn in range(10):
        made.log.append("shop.orders", [record(placed(f"o{turn}-{n}"), NOW) for n in range(50)])
        if turn == 5:
            kept = backed_up(made)
    ending.set()
    writer.join()
    made.warehouse.close()
    restore(tmp_path / "warehouse.duckdb", kept, made.log)
    made.log.close()
    made = Stand(tmp_path)
    made.check()
    made.catch_up()
    assert sum(r["records"] for r in made.ask("records_counted")) == 500
    made.check()
    made.close()


def test_what_the_log_dropped_since_is_taken_from_what_is_there(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.log.append("ops.samples", [record(placed(f"s{n}"), days_before(3)) for n in range(20)])
    made.catch_up()
    kept = backed_up(made)
    made.log.append("ops.samples", [record(placed(f"t{n}"), days_before(2)) for n in range(20)])
    made.catch_up()
    assert archive(made) == 40
    at_the_end = answers(made)
    made.warehouse.close()
    assert made.log.enforce_retention(NOW + timedelta(days=4000)) == 40
    assert restore(tmp_path / "warehouse.duckdb", kept, made.log).carried == 20
    made.log.close()
    made = Stand(tmp_path)
    made.catch_up()
    assert answers(made) == at_the_end
    made.check(days_before(2))
    made.close()


def test_a_backup_has_nothing_of_what_was_no_event_but_its_place(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.log.append("shop.orders", [Record("x", b"no event, but it names 0190-jane Quixotl")])
    made.catch_up()
    made.warehouse.write("checkpoint")
    kept = backed_up(made)
    made.warehouse.close()
    assert b"Quixotl" not in kept.read_bytes()
    restore(tmp_path / "warehouse.duckdb", kept, made.log)
    made.log.close()
    made = Stand(tmp_path)
    assert made.warehouse.write("select topic, position from rejected_records") == [("shop.orders", 0)]
    made.close()


def test_what_is_no_backup_or_of_another_log_is_refused(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.put(placed("o1"))
    made.catch_up()
    kept = backed_up(made)
    made.warehouse.close()
    path = tmp_path / "warehouse.duckdb"
    before = path.read_bytes()
    with EmbeddedLog(tmp_path / "other") as other, pytest.raises(WarehouseError, match="does not fit this log"):
        restore(path, kept, other)
    kept.write_bytes(b"torn to pieces" * 1000)
    with pytest.raises(WarehouseError, match="cannot open"):
        restore(path, kept, made.log)
    with pytest.raises(WarehouseError, match="cannot read the backup"):
        restore(path, tmp_path / "absent", made.log)
    assert path.read_bytes() == before
    made.log.close()
