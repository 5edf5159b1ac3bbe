"""The simulation: schedules under faults leave balanced books, a seed tells one story, a failing one is told short."""

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shop_stack.events import ReservationRequested
from shop_stack.hosting.context import WriteTransaction
from shop_stack.operations.audit import Invariant
from shop_stack.services.inventory import rules
from shop_stack.trials import books, injection, oracle
from shop_stack.trials.plan import Fault, OrderPlan, Plan, draw
from shop_stack.trials.schedules import Report, run_seeds, simulate, stories
from shop_stack.trials.shrinking import shortest
from shop_stack.trials.simulation import run

pytestmark = pytest.mark.embedded
ROOT = Path(__file__).parents[2]
SCHEDULES = 300


def plan_of(*faults: Fault, orders: int = 3, **changes: Any) -> Plan:
    """A plain schedule of tea, with these faults."""
    wanted = tuple(OrderPlan(number=n, at_s=float(n), lines={"tea": n}) for n in range(1, orders + 1))
    usual = {"replicas": {}, "step_deadline_s": 20.0, "reservation_s": 120.0}
    return Plan(seed=1, orders=wanted, faults=faults, **(usual | changes))


@pytest.fixture(scope="module")
def report() -> Report:
    return simulate(SCHEDULES, 1)


def test_the_books_balance_whatever_strikes(report: Report) -> None:
    assert report.failed == [], "\n".join(stories(report))
    assert report.schedules == SCHEDULES


def test_schedules_are_long_enough_and_not_all_orders_are_called_off(report: Report) -> None:
    assert report.orders >= 3
    assert report.deliveries >= 40
    orders = sum(report.outcomes.values())
    assert report.outcomes["completed"] > 0.35 * orders
    for end in ("cancelled (deadline)", "cancelled (customer)", "rejected (declined)", "rejected (out_of_stock)"):
        assert report.outcomes[end] > 0.02 * orders, end


def test_every_kind_of_fault_strikes(report: Report) -> None:
    kinds = {
        *("crash", "kill", "stall", "moved", "late", "twice", "echo", "half", "away", "lost ack", "busy"),
        *("fails", "fails and dies", "poison", "jump", "slow", "unheard", "lost answer", "frozen", "told", "lost"),
    }
    assert kinds <= set(report.faults)


def test_without_faults_every_order_completes() -> None:
    outcome = run(plan_of(orders=4))
    assert outcome.violations == []
    assert outcome.ends == {"completed": 4}
    assert outcome.struck == {}


def test_the_auditor_judges_every_book_of_a_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = []
    monkeypatch.setattr(oracle, "audited", lambda *given: reports.append(books.audited(*given)) or reports[-1])
    plan = plan_of(orders=3)
    declined = msgspec.structs.replace(plan.orders[0], declined=True)
    outcome = run(msgspec.structs.replace(plan, orders=(declined, *plan.orders[1:])))
    assert (outcome.violations, outcome.ends) == ([], {"completed": 2, "rejected (declined)": 1})
    (report,) = reports
    assert (report.strict, report.quiet, report.orders) == (True, True, 3)
    of_operators = {"actions_recorded_once", "audit_chain_whole", "replicas_as_asked"}
    looked = {found.name for found in report.invariants if found.rows_checked} | of_operators
    assert looked == {found.name for found in report.invariants}
    assert len(looked - of_operators) == 14


def test_at_rest_nothing_may_be_in_flight_or_explained() -> None:
    invariant = partial(Invariant, name="a", rows_checked=9)
    explained = invariant(status="explained", counter_examples=["b is open"], explained=1)
    in_flight = invariant(status="ok", counter_examples=[], in_flight=2)
    unseen = invariant(status="skipped", counter_examples=[], because="nobody answers")
    words = [found.example for found in oracle.audit_findings([explained, in_flight, unseen])]
    assert words == ["b is open", "2 differences are in flight at rest", "nobody answers"]
    assert list(oracle.audit_findings([invariant(status="ok", counter_examples=[])])) == []


def test_what_is_late_in_one_partition_is_overtaken_in_another() -> None:
    late = Fault(site="append", what="late", actor="orders", nth=1, amount=10.0)
    outcome = run(plan_of(late, orders=4), telling=True)
    assert (outcome.violations, outcome.struck) == ([], {"late": 1})
    handled = [told.what for told in outcome.story if told.what.startswith("handles ReservationRequested")]
    assert sorted(handled) == [f"handles ReservationRequested of order {number}" for number in range(1, 5)]
    assert handled[-1].endswith("order 1"), "the first request is read last"


@pytest.mark.parametrize("seed", [3, 8])
def test_a_seed_tells_one_story(seed: int) -> None:
    first, second = run(draw(seed), telling=True), run(draw(seed), telling=True)
    assert first.log == second.log
    assert first.story == second.story
    assert len(first.log) > 20
    assert run(draw(seed + 1), telling=True).log != first.log


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    told = [_told_in_a_process(hashing) for hashing in ("1", "2")]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 12


def _told_in_a_process(hashing: str) -> str:
    """Digests of twelve logs and stories, made where sets of texts have another order."""
    program = (
        "import hashlib\n"
        "from shop_stack.trials.plan import draw\n"
        "from shop_stack.trials.simulation import run\n"
        "for seed in range(1, 13):\n"
        "    outcome = run(draw(seed), telling=True)\n"
        "    told = repr((outcome.log, outcome.story)).encode()\n"
        "    print(seed, hashlib.sha256(told).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hashing}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, check=True)
    return done.stdout.decode()


def test_no_turn_waits_by_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float | None] = []
    monkeypatch.setattr(threading.Condition, "wait", lambda self, timeout=None: waited.append(timeout))
    away = [Fault(site="poll", what="away", actor="inventory", nth=nth) for nth in (1, 2, 5)]
    outcome = run(plan_of(*away))
    assert (outcome.violations, outcome.struck) == ([], {"away": 3})
    assert waited == []


@pytest.mark.parametrize(
    "site", ["commit", "committed", "append", "appended", "position", "positioned", "handle", "call", "called"]
)
def test_a_crash_between_two_effects_loses_and_doubles_nothing(site: str) -> None:
    for service in ("payments",) if site.startswith("call") else ("orders", "inventory", "payments", "shipping"):
        for nth in range(1, 5):
            crash = Fault(site=site, what="crash", actor=service, nth=nth, amount=1.0)
            outcome = run(plan_of(crash, orders=4))
            assert outcome.violations == [], f"{service} at its {nth}th {site}"
            assert outcome.struck == {"crash": 1}
            assert sum(outcome.ends.values()) == 4


def test_a_failing_schedule_tells_its_shortest_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WriteTransaction, "handle", _handling_twice(WriteTransaction.handle))
    failed = run_seeds(range(1, 3)).failed
    assert failed
    told = stories(_report_of(failed))[0]
    assert told.startswith(f"the shortest story of seed {failed[0].seed}:")
    assert "  broken: " in told
    assert "orders {" in told
    assert len(told.splitlines()) < 60


def _handling_twice(handle: Callable[..., None]) -> Callable[..., None]:
    """A reservation that ignores that it was made before."""

    def twice(self: Any, envelope: Any) -> None:
        handle(self, envelope)
        if isinstance(envelope.data, ReservationRequested):
            driver = self.driver
            driver.execute("UPDATE stock_items SET reserved = reserved + 1 WHERE product_id = 'tea'")

    return twice


def _report_of(failed: list[Any]) -> Report:
    return Report(schedules=2, seed=1, violations=len(failed), failed=failed, outcomes={}, faults={}, orders=0.0,
                  deliveries=0.0, seconds=1.0, per_second=1.0, cpu_ms=1.0)  # fmt: skip


def test_shrinking_keeps_what_is_needed_and_no_more() -> None:
    plan = draw(11)
    needed = plan.orders[-1].number

    def fails(candidate: Plan) -> bool:
        return any(order.number == needed for order in candidate.orders) and len(candidate.faults) >= 1

    small = shortest(plan, fails)
    assert [order.number for order in small.orders] == [needed]
    assert len(small.faults) == 1
    assert small.unhurried


def test_everything_on_the_simulated_path_that_reads_clock_or_chance_is_injected() -> None:
    injected = {Path(str(module.__file__)) for module in (*injection.READS_THE_CLOCK, *injection.ROLLS_DICE)}
    ours = [ROOT / "shop_stack" / "services" / name for name in ("orders", "inventory", "payments", "shipping")]
    paths = [path for folder in ours for path in folder.glob("*.py")]
    paths += [ROOT / "shop_stack/eventlog" / f"{name}.py" for name in
              ("delivery", "relay", "dead_letters", "inbox", "outbox", "arrivals", "idempotency")]  # fmt: skip
    paths += [ROOT / "shop_stack/hosting/context.py", ROOT / "shop_stack/services/handover.py"]
    assert len(paths) > 20
    provider = ROOT / "shop_stack/services/payments/provider.py"  # replaced whole: its call is the network
    readers = {path for path in paths if _uses(path, {"time", "random"})}
    assert readers - {provider} == injected


def _uses(path: Path, modules: set[str]) -> bool:
    nodes = ast.walk(ast.parse(path.read_text()))
    return any(isinstance(n, ast.Import) and modules & {name.name for name in n.names} for n in nodes)


def test_the_command_prints_its_report_and_fails_when_the_books_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shop_stack.__main__ import main

    assert main(["simulate", "--schedules", "5", "--seed", "21", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["schedules"], printed["violations"]) == (5, 0)
    assert {"outcomes", "per_second", "deliveries", "orders"} <= set(printed)
    monkeypatch.setattr(rules, "giving_back", lambda lines: [])
    assert main(["simulate", "--schedules", "5", "--seed", "21"]) == 1
    assert "broken: stock_adds_up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--schedules", "0"], "--schedules 0: give a number from 1 to 1000000"),
        (["--schedules", "1000001"], "--schedules 1000001: give a number from 1 to 1000000"),
        (["--seed", "-1"], "--seed -1: give a number from 0 on"),
    ],
)
def test_the_command_says_in_a_sentence_what_is_wrong(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from shop_stack.__main__ import main

    assert main(["simulate", *words]) == 2
    assert capsys.readouterr().err == f"shopfloor: {said}\n"
