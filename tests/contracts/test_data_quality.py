"""Data quality as a question: what was read of each topic, rejected and why, repeated, late, strange, and how fresh."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from analytics.checks import all_checks, in_words
from analytics.ingest import Ingest
from shop_stack.eventlog.interface import Record
from shop_stack.events import TOPICS, ProductViewed
from tests.analytics_stand import NOW, Stand, days_before, past_order, placed, record, stand

pytestmark = pytest.mark.embedded


def retyped(kind: str, identifier: str) -> Record:
    """An order's event under another type."""
    fields = msgspec.json.decode(record(placed("x"), NOW, identifier).value)
    return Record("x", msgspec.json.encode(fields | {"type": kind}))


def filled(made: Stand) -> None:
    made.ingest = Ingest(made.log, made.warehouse, clock=lambda: NOW.timestamp() + 1)
    made.put(placed("o1"), placed("o2"))
    made.put(placed("late"), at=NOW - timedelta(minutes=6))
    made.put(placed("in time"), at=NOW - timedelta(minutes=4, seconds=50))
    made.put(past_order("long ago"), at=days_before(9))
    made.log.append("shop.orders", [record(placed("twice"), NOW, "same"), record(placed("twice"), NOW, "same")])
    made.log.append("shop.orders", [Record("a", b"no event"), Record("b", b"no event"), Record("c", b'{"id": 3}')])
    for number, kind in enumerate(("shop.order.placed.v7", "shop.order.teleported.v1", "shop.order.teleported.v1")):
        made.log.append("shop.orders", [retyped(kind, f"strange {number}")])
    made.put(ProductViewed(session_id="s", product_id="p"), at=NOW - timedelta(seconds=40))
    made.catch_up()


def test_what_was_read_of_each_topic_is_said_with_what_was_wrong_with_it(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        filled(made)
        made.ingest.roll_up()
        rows = {row["topic"]: row for row in made.ask("data_quality")}
        assert set(rows) == set(TOPICS)
        orders = rows["shop.orders"]
        counted = {name: orders[name] for name in ("records", "rejected", "repeats", "late")}
        assert counted == {"records": 12, "rejected": 3, "repeats": 1, "late": 1}
        assert (orders["unknown_types"], orders["new_versions"]) == (2, 1)
        assert orders["freshness_s"] == 0.0
        reasons = msgspec.json.decode(orders["reject_reasons"], type=dict[str, int])
        assert sum(reasons.values()) == 3
        assert max(reasons.values()) == 2
        assert rows["shop.behaviour"]["freshness_s"] == 40.0
        assert (rows["shop.history"]["late"], rows["shop.history"]["records"]) == (0, 1)
        assert (rows["ops.samples"]["records"], rows["ops.samples"]["freshness_s"]) == (0, None)


def test_rolling_up_changes_only_what_is_late_and_compacting_nothing(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        filled(made)
        before = [{**row, "late": 0} for row in made.ask("data_quality")]
        made.ingest.roll_up()
        rolled = made.ask("data_quality")
        assert [{**row, "late": 0} for row in rolled] == before
        with made.warehouse.transaction():
            made.warehouse.compact(days_before(30).replace(tzinfo=None))
        assert made.ask("data_quality") == rolled


def test_every_check_is_listed_with_what_it_says_before_it_has_run(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        rows = made.ask("checks")
        assert [(row["name"], row["says"]) for row in rows] == [(one.name, one.says) for one in all_checks()]
        assert {row["state"] for row in rows} == {"not run yet"}
        assert "freshness" in {row["name"] for row in rows}


def test_a_stack_whose_samples_are_no_longer_read_is_not_fresh(tmp_path: Path) -> None:
    [check] = [one for one in all_checks() if one.name == "freshness"]
    with stand(tmp_path) as made:
        assert made.warehouse.ask(check.sql, check.bound(NOW)).rows == [], "nothing was ever sampled"
        made.log.append("ops.samples", [record(placed("any"), NOW - timedelta(seconds=119))])
        made.catch_up()
        assert made.warehouse.ask(check.sql, check.bound(NOW)).rows == []
        late = NOW + timedelta(seconds=2)
        found = made.warehouse.ask(check.sql, check.bound(late))
        words = in_words([name for name, _ in found.columns], found.rows[0])
        assert words == "topic ops.samples, newest read at 2026-11-18 11:58:31 UTC"


def test_a_counter_example_is_bounded_and_controls_no_terminal() -> None:
    assert in_words(["order_id", "total"], ["o\x1b[2J\n1", None]) == "order id o [2J 1, total none"
    assert len(in_words(["x"], ["y" * 5000])) == 240
