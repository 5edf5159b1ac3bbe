"""The warehouse is made again from the log and equals the old one; killed at any moment, the old one is untouched."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.ingest import Ingest
from analytics.rebuilding import rebuild
from analytics.scrubbing import Scrubbing
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.errors import ForeignLog
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.events import CustomerErased, OrderRejected
from shop_stack.settings import Home, Settings, to_environment
from tests.analytics_stand import NOW, Stand, days_before, past_minute, past_order, placed, record
from tests.flows.canary import traces

pytestmark = pytest.mark.embedded
ASKED = ("orders_by_minute", "revenue_by_day", "top_products", "events_by_topic_by_minute", "records_counted")


def filled(folder: Path, orders: int = 50) -> Stand:
    """A warehouse with orders, a past, repeats and records that are no events; a part of it rolled up."""
    made = Stand(folder)
    made.put(*(placed(f"o{n}", 100 + n) for n in range(orders)))
    made.put(past_order("h1"), past_minute(30.0), at=days_before(3))
    made.catch_up()
    made.ingest.roll_up()
    made.put(OrderRejected(order_id="o0", reason="declined"))
    made.log.append("shop.orders", [record(placed("twice"), NOW, "same"), record(placed("twice"), NOW, "same")])
    made.log.append("shop.orders", [Record("x", b"no event at all")])
    made.catch_up()
    return made


def answers(made: Stand) -> dict[str, Any]:
    return {name: made.ask(name) for name in ASKED}


def test_made_again_it_equals_the_old_one_and_goes_on(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before, delays = answers(made), made.warehouse.write("from delay_buckets order by all")
    late = made.warehouse.write("from late_events order by all")
    assert late != []
    made.warehouse.close()
    made.put(placed("later"))  # not yet read: the comparison is with what the old one has read
    done = rebuild(tmp_path / "warehouse.duckdb", made.log)
    assert (done.swapped, done.differences, done.compared) == (True, [], None)
    assert done.records == 50 + 2 + 1 + 2 + 1
    made.log.close()
    again = Stand(tmp_path)
    assert answers(again) == before
    assert again.warehouse.write("from delay_buckets order by all") == delays
    assert again.warehouse.write("from late_events order by all") == late
    again.check()
    again.catch_up()
    assert len(again.ask("order_states")) == 50 + 2
    again.check()
    again.close()


def test_what_the_log_no_longer_keeps_is_taken_from_the_old_one(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    made.put(past_minute(30.0), at=days_before(3))
    samples = [record(placed(f"s{n}"), NOW) for n in range(20)]
    made.log.append("ops.samples", samples)  # any event will do on the topic that is kept two days
    made.catch_up()
    before = answers(made)
    made.warehouse.close()
    assert made.log.enforce_retention(NOW + timedelta(days=4000)) >= 20
    done = rebuild(tmp_path / "warehouse.duckdb", made.log)
    assert (done.swapped, done.differences, done.carried) == (True, [], 20)
    made.log.close()
    again = Stand(tmp_path)
    assert answers(again) == before
    again.check()
    again.close()


def test_a_difference_is_named_and_the_old_one_stays_unless_it_is_accepted(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.ingest.roll_up()
    made.warehouse.write("update kept_sales_minutes set revenue_minor = revenue_minor + 7 where origin = 'live'")
    made.warehouse.close()
    done = rebuild(tmp_path / "warehouse.duckdb", made.log)
    assert not done.swapped
    assert [words.split(" was ")[0] for words in done.differences] == ["sales: live: revenue_minor"]
    assert rebuild(tmp_path / "warehouse.duckdb", made.log, accept=True).swapped
    assert rebuild(tmp_path / "warehouse.duckdb", made.log).differences == []
    made.log.close()


def test_without_an_old_one_or_with_one_that_cannot_be_read_it_is_made_all_the_same(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before = answers(made)
    made.warehouse.close()
    (tmp_path / "warehouse.duckdb").write_bytes(b"torn to pieces" * 1000)
    done = rebuild(tmp_path / "warehouse.duckdb", made.log)
    assert done.swapped
    assert done.compared is not None
    assert "cannot be read" in done.compared
    (tmp_path / "warehouse.duckdb").unlink()
    assert rebuild(tmp_path / "warehouse.duckdb", made.log).compared == "there was no warehouse"
    made.log.close()
    again = Stand(tmp_path)
    assert answers(again) == before
    again.close()


def test_another_log_and_another_owner_are_refused(tmp_path: Path) -> None:
    made = filled(tmp_path)
    with EmbeddedLog(tmp_path / "other") as other:
        made.warehouse.close()
        with pytest.raises(ForeignLog, match="bring the old log back"):
            rebuild(tmp_path / "warehouse.duckdb", other)
    code = "import sys, pathlib; from analytics.warehouse import Warehouse\n"
    code += "owned = Warehouse(pathlib.Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "warehouse.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        with pytest.raises(WarehouseError, match="another process has"):
            rebuild(tmp_path / "warehouse.duckdb", made.log)
        owner.communicate()
    made.log.close()


def test_erased_people_stay_erased(tmp_path: Path) -> None:
    made = Stand(tmp_path)
    person = "0190-jane-quixotl"
    made.log.append("shop.orders", [Record("x", f"no event, but it names {person} Zoë-Quixotl".encode())])
    made.put(CustomerErased(customer_id=person, erasure_id="e1"))
    made.catch_up()
    made.warehouse.write("checkpoint")
    assert Scrubbing(made.warehouse, made.log, lambda: {}).scrub() == 1
    made.catch_up()
    made.warehouse.close()
    done = rebuild(tmp_path / "warehouse.duckdb", made.log)
    assert (done.swapped, done.differences) == (True, [])
    made.log.close()
    found = {name for name, _ in traces(tmp_path, ["Zoë-Quixotl".encode()])}
    assert not {name for name in found if "duckdb" in name}


def answered(command: list[str], environment: dict[str, str]) -> bytes:
    """What a program says that lives as long as its standard input."""
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        return child.stdout.read()


def test_killed_at_any_moment_the_old_one_is_whole_and_the_next_rebuild_succeeds(tmp_path: Path) -> None:
    home, chance = Home(tmp_path), random.Random(4)
    with EmbeddedLog(home.log) as log:
        log.append("shop.orders", [record(placed(f"o{n}"), NOW) for n in range(5000)])
        with contextlib.closing(Warehouse(home.warehouse)) as warehouse:
            ingest = Ingest(log, warehouse)
            while ingest.step():
                ingest.roll_up()
    environment = os.environ | to_environment(Settings(home=home))
    command = [sys.executable, "-m", "analytics.rebuilding"]
    begun = time.monotonic()
    assert b'"swapped":true' in answered(command, environment)
    whole_s = time.monotonic() - begun
    for _ in range(8):
        child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        time.sleep(chance.uniform(0, 1.2 * whole_s))  # the moment at which it dies
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        with contextlib.closing(Warehouse(home.warehouse)) as warehouse:
            assert warehouse.write("select count(*), count(distinct position || '/' || partition) from raw_events") == [
                (5000, 5000)
            ]
    assert b'"swapped":true' in answered(command, environment)
    assert not (home.warehouse.parent / "rebuild").exists()
