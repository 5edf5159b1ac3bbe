"""The books checked while analytics runs: broken by hand they become an incident, mended it closes; on a budget."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from analytics.checking import Checking
from analytics.checks import all_checks
from shop_stack.envelope import decode
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.events import INCIDENTS, CheckJudged, OrderRejected
from shop_stack.operations.model import IncidentView
from shop_stack.operations.sampling import Snapshot
from tests.analytics_stand import NOW, Stand, days_before, past_order, placed, stand
from tests.operations_stand import Stand as Operations
from tests.operations_stand import make_home, until

pytestmark = pytest.mark.embedded
BREAK = "update kept_orders_placed set total_minor = 501 where order_id = 'o1'"
MEND = "update kept_orders_placed set total_minor = 500 where order_id = 'o1'"


def filled(made: Stand) -> None:
    made.put(*(placed(f"o{number}") for number in range(4)))
    made.put(placed("of last week"), at=days_before(7))
    made.put(past_order("imported", origin="imported"), at=days_before(4000))
    made.put(OrderRejected(order_id="o3", reason="declined"))
    made.catch_up()
    made.ingest.roll_up()


def checking(made: Stand, budget_s: float = 60.0, most_events: int = 200_000) -> Checking:
    return Checking(made.warehouse, made.log, lambda: made.now, budget_s, most_events)


def verdicts(made: Stand) -> list[CheckJudged]:
    found = [decode(record.value).data for record in made.log.read(INCIDENTS.name, 0, 0)]
    return [event for event in found if isinstance(event, CheckJudged)]


def failed(made: Stand) -> set[str]:
    return {row["name"] for row in made.ask("checks") if row["state"] == "failed"}


def watched(operations: Operations, wanted: Callable[[list[IncidentView]], bool]) -> list[IncidentView]:
    """The incidents, once operations has read what analytics published and they are as wanted."""
    engine = operations.engine

    def read() -> bool:
        engine.link.turn()
        engine.incidents.watch(Snapshot(observation=operations.runtime.observe()), NOW)
        return wanted(engine.store.incidents())

    until(read)
    return engine.store.incidents()


def test_books_broken_by_hand_open_an_incident_and_mended_close_it(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    operations = Operations(home)
    made = Stand(tmp_path, EmbeddedLog(home.log))
    try:
        filled(made)
        checks = checking(made)
        checks.turn()
        assert {verdict.passed for verdict in verdicts(made)} == {True}
        made.warehouse.write(BREAK)
        checks.turn()
        assert failed(made) == {"lines_reconcile", "sales_reconcile"}
        opened = watched(operations, lambda incidents: len(incidents) == 2)
        assert {(one.kind, one.service, one.resolved_at) for one in opened} == {("check_failed", "analytics", None)}
        assert "the check lines_reconcile found 1 row where there should be none (one row per live order whose lines " \
            "do not sum to its total); the first: order id o1, total minor 501, lines minor 500" in {
                one.summary.removeprefix("the books do not agree: ") for one in opened}  # fmt: skip
        checks.turn()
        assert len(verdicts(made)) == len(all_checks()) + 2, "said when it changes, not every minute"
        made.warehouse.write(MEND)
        checks.turn()
        assert failed(made) == set()
        closed = watched(operations, lambda incidents: all(one.resolved_at for one in incidents))
        assert len(closed) == 2
    finally:
        operations.engine.stop()
        made.close()


def test_both_sides_remember_what_fails_over_a_restart(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    operations = Operations(home)
    made = Stand(tmp_path, EmbeddedLog(home.log))
    try:
        filled(made)
        made.warehouse.write(BREAK)
        checking(made).turn()
        [before, _] = watched(operations, lambda incidents: len(incidents) == 2)
        assert operations.engine.link.log() is not None
        again = checking(made, budget_s=0.0)
        again.turn()
        assert failed(made) == {"lines_reconcile", "sales_reconcile"}, "nothing was run, and nothing forgotten"
        operations.engine.stop()
        operations = Operations(home)
        engine = operations.engine
        engine.incidents.watch(Snapshot(observation=operations.runtime.observe()), NOW)
        assert before in engine.store.incidents(), "the log was not read yet: it neither closes nor opens again"
        made.warehouse.write(MEND)
        checking(made).turn()
        watched(operations, lambda incidents: len(incidents) == 2 and all(one.resolved_at for one in incidents))
    finally:
        operations.engine.stop()
        made.close()


def test_old_books_are_checked_span_by_span_as_the_budget_allows(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        filled(made)
        made.warehouse.write("update kept_sales_minutes set orders = 2 where minute < '2026-11-12' and origin = 'live'")
        checks = checking(made, budget_s=0.002, most_events=1)
        turns = 0
        while "sales_reconcile" not in failed(made):
            checks.turn()
            turns += 1
            assert turns < 500
        assert turns > 2, "each turn is over after one statement"
        passed = {one.check for one in verdicts(made) if one.passed}
        assert not passed & {one.name for one in all_checks() if one.spans}, "before everything was checked"
        [row] = [row for row in made.ask("checks") if row["name"] == "sales_reconcile"]
        words = "minute 2026-11-11 12:00:00 UTC, orders 1, summed orders 2, revenue minor 500, summed revenue minor 500"
        assert (row["found"], row["example"], row["passed_at"]) == (1, words, None)
        made.warehouse.write("update kept_sales_minutes set orders = 1 where minute < '2026-11-12' and origin = 'live'")
        for _ in range(100):
            checks.turn()
        assert failed(made) == set()


@pytest.mark.parametrize("most_events", [1, 200_000])
def test_new_events_are_checked_at_once_and_what_cannot_run_neither_passes_nor_fails(
    tmp_path: Path, most_events: int
) -> None:
    with stand(tmp_path) as made:
        filled(made)
        checks = checking(made, most_events=most_events)
        checks.turn()
        if most_events == 1:
            checks._pass_s = 60.0  # as if it had taken long: the next pass is due in an hour
        made.now = NOW + timedelta(minutes=1)
        made.put(placed("new"))
        made.catch_up()
        made.warehouse.write("update raw_events set repeat = true where subject = 'new'")
        checks.turn()
        assert "events_once" in failed(made)
        made.warehouse.write("alter table kept_order_lines rename to hidden")
        before = len(verdicts(made))
        checks.turn()
        [row] = [row for row in made.ask("checks") if row["name"] == "lines_reconcile"]
        assert row["state"] == "not run in time"
        assert "kept_order_lines" in row["example"]
        assert "lines_reconcile" not in {one.check for one in verdicts(made)[before:]}
