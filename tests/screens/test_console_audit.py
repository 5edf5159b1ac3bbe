"""The books on the console: asked for beside everything else, told in words, followed to an order, in every state."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.rows.invariants import MEANINGS
from console.screens.audit import AuditScreen
from console.screens.finding import Finding
from console.screens.floor import Floor
from console.screens.journey import JourneyScreen
from console.widgets.line_list import LineList
from tests.screens.console_driver import console, floor_of, says, shown, until
from tests.screens.fake_audits import ORDER, invariant, report
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_operations import FakeOperations, State

pytestmark = pytest.mark.embedded
BALANCED = "The books balance: 20 of 20 invariants hold"
MONEY = invariant(
    "money_equals_orders", "violated", f"{ORDER} is completed with a total of 500 and the provider took 600"
)
TWICE = [f"{ORDER[:-2]}{at:02} was captured 2 times by the provider's ledger" for at in range(10)]


@pytest.fixture
def state() -> State:
    """A shop whose books balance."""
    return State()


@pytest.fixture
def fake(tmp_path: Path, state: State) -> Iterator[FakeOperations]:
    """The server, with a home folder that leads to it; no audit outlives a test."""
    with FakeOperations(tmp_path / "home", state) as server:
        yield server
        state.audits.go.set()


async def books(app: ConsoleApp, pilot: Pilot[None], *words: str) -> None:
    """The books, once these words are on the screen."""
    await pilot.press("b")
    await until(pilot, lambda: isinstance(app.screen, AuditScreen) and says(app, *words)())


async def test_at_80x24_the_verdict_stands_on_top_and_each_invariant_in_plain_words(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "b books"))
        await books(app, pilot, BALANCED, "56 orders, 3,412 records up to ", "ago in 800ms", "quiet: ")
        screen = shown(app)
        lines = screen.splitlines()
        assert {len(line) for line in lines} == {80}
        for word in ("STATUS", "ROWS", "BROKEN", "EXPL", "FLIGHT", "✔ ok", "no order is charged twice", "1.2k",
                     "orders_reach_an_end: 1,234 rows checked", "r audit again", "s strictly", "Esc back"):  # fmt: skip
            assert word in screen, word
        await pilot.press("end")
        await until(pilot, says(app, "nothing is left of erased people", "erased_people_absent: "))
        await pilot.press("escape")
        assert isinstance(app.screen, Floor)


async def test_at_160x48_all_invariants_have_their_names_and_the_chosen_one_its_examples(
    fake: FakeOperations, state: State
) -> None:
    state.audits.report = report(invariant("captured_at_most_once", "violated", *TWICE, violations=12))
    async with console(fake.home, (160, 48)) as (app, pilot):
        await books(app, pilot, "THE BOOKS DO NOT BALANCE: 1 of 20 broken: no order is charged twice")
        await until(pilot, says(app, *MEANINGS, *(meaning.short for meaning in MEANINGS.values()), *TWICE))
        assert {len(line) for line in shown(app).splitlines()} == {160}


async def test_an_audit_says_that_it_runs_and_holds_up_nothing(fake: FakeOperations, state: State) -> None:
    state.audits.go.clear()
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "The books are being audited", "an audit runs since ", "GMT, 0 s")
        await until(pilot, says(app, "GMT, 1 s"))
        await pilot.press("r", "s", "escape", "l")
        await until(pilot, says(app, "storefront: orders-1 line 39"))
        await pilot.press("b")
        await until(pilot, says(app, "an audit runs since "))
        await pilot.press("escape")
        assert state.audits.asked == [False]
        state.audits.go.set()
        await until(pilot, lambda: isinstance(app.screen, Floor) and says(app, BALANCED, "b shows it")())
        await books(app, pilot, BALANCED)
        assert state.audits.asked == [False]


async def test_what_is_broken_comes_first_and_leads_to_the_order_and_to_what_to_do(
    fake: FakeOperations, state: State
) -> None:
    state.audits.report = report(MONEY, invariant("stock_adds_up", "violated", "P7 has 1 + 0 + 2 units and received 4"))
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "THE BOOKS DO NOT BALANCE: 2 of 20 broken", "Enter shows it: …e76df4a0 is completed")
        rows = [line for line in shown(app).splitlines() if "✔" in line or "✖" in line]
        assert [row[1] for row in rows[:3]] == ["✖", "✖", "✔"]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Finding))
        await until(pilot, says(app, "✖ BROKEN: the provider took what each order costs; 1 broken, 1,234 rows",
                                f"{ORDER} is completed with a total of 500", "refund or claim", "Enter o"))  # fmt: skip
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, JourneyScreen))
        await until(pilot, says(app, f"order {ORDER} completed"))
        await pilot.press("escape", "o")
        await until(pilot, lambda: isinstance(app.screen, JourneyScreen))
        await pilot.press("escape", "escape", "down", "enter")
        await until(pilot, says(app, "P7 has 1 + 0 + 2 units", "Count the shelf"))
        assert "its order's journey" not in shown(app)
        await pilot.press("o")
        await until(pilot, says(app, "it begins with no order's id"))
        assert isinstance(app.screen, Finding)


async def test_an_id_that_is_no_order_is_said(fake: FakeOperations, state: State) -> None:
    lost = "01a21e73-8b60-75cb-b6ec-000000000000 was sent to shop.orders and is not in the log"
    state.audits.report = report(invariant("outboxes_equal_log", "violated", lost))
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "1 of 20 broken")
        await pilot.press("enter", "o")
        await until(pilot, says(app, "no journey: no order is called 01a21e73-8b60-75cb-b6ec-000000000000"))
        assert isinstance(app.screen, Finding)


async def test_data_stays_text(fake: FakeOperations, state: State) -> None:
    state.audits.report = report(
        invariant("new_invariant", "violated", f"{EXPLOIT} says {EXPLOIT}"),
        invariant("analytics_equals_log", "skipped", because=EXPLOIT),
    )
    literal = "[@click=app.scale('orders',0)]Jane[/]·[31m·gnp.exe"
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "1 of 21 broken, 1 skipped: new invariant", literal)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Finding) and says(app, literal, "its code tells more")())
        assert not {"\x1b", "\u202e", "\x07"} & set(shown(app))
        await pilot.click("#steps", offset=(3, 0))
        await pilot.press("escape", "down")
        await until(pilot, says(app, "analytics_equals_log: 0 rows checked", literal))
        assert state.asked == []


async def test_it_runs_again_and_strictly(fake: FakeOperations, state: State) -> None:
    state.audits.report = report(invariant("inboxes_equal_log", in_flight=7), quiet=False)
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, BALANCED, "7 in flight: younger than that or on its way, not broken")
        state.audits.report = report(MONEY)
        await pilot.press("end", "r")
        await until(pilot, says(app, "1 of 20 broken"))
        assert app.screen.query_one("#steps", LineList).selected == "money_equals_orders"
        await pilot.press("s")
        await until(pilot, says(app, "strict: what is on its way counts as broken; for a shop at rest"))
        assert state.audits.asked == [False, False, True]


async def test_somebody_elses_audit_is_waited_for(fake: FakeOperations, state: State) -> None:
    state.audits.refusals = 2
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "once another audit has ended", "an audit waits since ", "under way already")
        await until(pilot, says(app, BALANCED))
        assert state.audits.asked == [False] * 3


async def test_silence_is_said_and_what_was_found_gets_stale(fake: FakeOperations, state: State) -> None:
    state.audits.problem = (503, "the audit came to no answer: the log is away")
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "no audit: the audit came to no answer: the log is away", "r asks again")
        await pilot.press("enter", "o")
        state.audits.problem = None
        await pilot.press("r")
        await until(pilot, says(app, BALANCED))
        state.audits.problem = (503, "operations is being restarted")
        await pilot.press("r")
        await until(pilot, says(app, "STALE: no newer audit: operations is being restarted; r asks again", BALANCED))
        state.audits.problem = None
        await pilot.press("r")
        await until(pilot, lambda: "STALE" not in shown(app) and BALANCED in shown(app))


async def test_a_role_that_may_not_is_told(fake: FakeOperations, state: State) -> None:
    state.audits.problem = (403, "the role of this token may not do this; it needs viewer")
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "this role may not audit: the role of this token", "any of the operators' tokens may")


async def test_what_could_not_be_looked_at_is_no_balance(fake: FakeOperations, state: State) -> None:
    state.audits.report = report(*(invariant(name, "skipped", because="analytics is not running")
                                   for name in ("analytics_equals_log", "analytics_equals_orders")))  # fmt: skip
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "Nothing is broken, but 2 of 20 could not be looked at; 18 hold", "? skipped")
        await pilot.press("enter")
        await until(pilot, says(app, "could not be looked at: analytics is not running", "shopfloor status"))
        await pilot.press("o")
        await until(pilot, says(app, "there is no counter-example to follow"))


async def test_a_shop_without_orders_has_nothing_to_balance(fake: FakeOperations, state: State) -> None:
    empty = [invariant(name, rows_checked=0) for name in MEANINGS]
    state.audits.report = report(*empty, orders=0, records=0)
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "Nothing to balance yet: no order was placed; 20 of 20 invariants hold", "0 orders")
        await pilot.press("enter")
        await until(pilot, says(app, "there was nothing to check", "nothing is to be done"))


async def test_an_old_audit_says_so(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, BALANCED)
        floor = floor_of(app)
        late = floor.now() + timedelta(minutes=12)
        floor.now = lambda: late  # type: ignore[method-assign]
        await until(pilot, says(app, "; OLD, audited 12 min ago"))


async def test_reading_the_books_changes_nothing_and_read_only_may(fake: FakeOperations, state: State) -> None:
    async with console(fake.home, read_only=True) as (app, pilot):
        await books(app, pilot, BALANCED)
        await pilot.press("s", "r", "enter", "escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, Floor))
        assert state.asked == []


async def test_another_size_is_another_arrangement(fake: FakeOperations, state: State) -> None:
    state.audits.report = report(invariant("captured_at_most_once", "violated", *TWICE))
    async with console(fake.home) as (app, pilot):
        await books(app, pilot, "Enter shows 10 of 10, the first")
        await pilot.resize_terminal(160, 48)
        await until(pilot, says(app, "Enter shows what to do about", *TWICE))
        await pilot.resize_terminal(40, 12)
        await until(pilot, lambda: {len(line) for line in shown(app).splitlines()} == {40} and "✖ BROKEN" in shown(app))
