"""Dead letters on the console: listed, told, tried again after a dry run, and every state in which they may be."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from console.app import ConsoleApp
from console.screens.dead_letters import DeadLetters
from console.screens.floor import Floor
from console.screens.journey import JourneyScreen
from console.screens.replay import ReplayDialog
from console.screens.story import Story
from console.widgets.line_list import LineList
from shop_stack.operations.model import IncidentView
from tests.screens.console_driver import console, floor_of, says, shown, until
from tests.screens.fake_dead_letters import letter
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_operations import FakeOperations, State

pytestmark = pytest.mark.embedded


@pytest.fixture
def state() -> State:
    """Two of orders (one with an exploit for an error), one of shipping that is quarantined."""
    letters = [
        letter(12, error=f"KeyError: {EXPLOIT}"),
        letter(5),
        letter(3, "shipping", quarantined=True, replays=3, events_behind=1),
    ]
    state = State(letters=letters)
    state.change("orders", lambda view: msgspec.structs.replace(view, health="degraded",
                 because="2 aggregates are stopped", stopped_aggregates=["a", "b"]))  # fmt: skip
    return state


@pytest.fixture
def fake(tmp_path: Path, state: State) -> Iterator[FakeOperations]:
    """The server, with a home folder that leads to it."""
    with FakeOperations(tmp_path / "home", state) as server:
        yield server


def selected(app: ConsoleApp) -> str | None:
    """The dead letter with the cursor."""
    return app.screen.query_one("#steps", LineList).selected


async def test_at_80x24_what_why_since_when_and_what_waits_is_there(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "x dead letters", "2 stopped by dead letters (x)"))
        await pilot.press("x")
        await until(pilot, says(app, "3 dead letters, 1 quarantined; 5 events behind"))
        screen = shown(app)
        assert {len(line) for line in screen.splitlines()} == {80}
        for word in ("AGE", "SERVICE", "TOPIC", "AGGREGATE", "TRIES", "BEHIND", "ERROR", "12 min", "shop.payments",
                     "…der-0012", "3+3", "orders cannot handle shop.payments 0190-order-0012", "tried 3 times",
                     "2 events of it behind", "r tries it again", "r try again", "Esc back"):  # fmt: skip
            assert word in screen, word
        assert "\x1b" not in screen
        await pilot.press("end")
        await until(pilot, says(app, "QUARANTINED: failed in 3 replays"))


async def test_at_160x48_whole_ids_and_errors_are_on_the_line(fake: FakeOperations) -> None:
    async with console(fake.home, (160, 48)) as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "3 dead letters"))
        lines = shown(app).splitlines()
        assert {len(line) for line in lines} == {160}
        row = next(line for line in lines if "0190-order-0005" in line)
        assert "ValueError: no version v9 of shop.payment.captured" in row


async def test_enter_tells_the_whole_record_and_o_its_order(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "3 dead letters"))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Story))
        await until(pilot, says(app, "dead letter of orders", "shop.payments, partition 1, position 105", "event-5",
                                "5 min ago", "3 before it was parked, 0 in replays", "mend the cause"))  # fmt: skip
        await pilot.press("escape", "o")
        await until(pilot, lambda: isinstance(app.screen, JourneyScreen))
        await until(pilot, says(app, "order 0190-order-0005 completed"))
        await pilot.press("escape")
        assert isinstance(app.screen, DeadLetters)
        await pilot.press("escape")
        assert isinstance(app.screen, Floor)


async def test_a_replay_shows_its_dry_run_wants_a_reason_and_tells_its_outcome(
    fake: FakeOperations, state: State
) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "3 dead letters"))
        await pilot.press("r")
        await until(pilot, says(app, "this one", "Dry run: 1 dead letter, 2 events behind", "KeyError", "█"))
        await pilot.press("down")
        await until(pilot, says(app, "all of orders", "Dry run: 2 dead letters, 4 events behind", "ValueError"))
        await pilot.press("down")
        await until(pilot, says(app, "all of every service", "1 quarantined left out"))
        await pilot.press("up", "enter")
        await until(pilot, says(app, "a reason is needed"))
        assert state.asked == []
        await pilot.press(*"mended")
        await until(pilot, says(app, "Dry run: 2 dead letters"))
        await pilot.press("enter")
        await until(pilot, says(app, "replayed: 2 succeeded; 6 events had their effect", "1 dead letter, 1 quar"))
        [(what, service, body)] = state.asked
        assert (what, service, body["reason"], body["dry_run"]) == ("replay", "orders", "mended", False)
        assert isinstance(app.screen, DeadLetters)


async def test_a_quarantined_one_is_tried_alone_and_what_fails_stays(fake: FakeOperations, state: State) -> None:
    state.cured = False
    async with console(fake.home) as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "3 dead letters"))
        await pilot.press("end", "r")
        await until(pilot, says(app, "It is quarantined: it failed in 3 replays.", "Dry run: 1 dead letter"))
        await pilot.press("tab", *"once more", "enter")
        await until(pilot, says(app, "replayed: 1 failed", "3 dead letters"))
        assert (state.asked[0][2]["event_id"], state.asked[0][2]["quarantined"]) == ("event-3", True)


async def test_what_would_try_nothing_begins_nothing_and_a_refusal_is_told(fake: FakeOperations, state: State) -> None:
    state.letters = [letter(3, "shipping", quarantined=True, replays=3)]
    async with console(fake.home) as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "1 dead letter"))
        await pilot.press("r", "down")
        await until(pilot, says(app, "all of shipping", "Dry run: 0 dead letters", "1 quarantined left out"))
        await pilot.press("tab", "w", "enter")
        await until(pilot, says(app, "nothing would be tried"))
        await pilot.press("escape")
        state.refuse = "a replay is under way already"
        await pilot.press("r")
        await until(pilot, says(app, "no dry run: a replay is under way already"))
        await pilot.press("tab", "w", "enter")
        await until(pilot, says(app, "nothing was begun"))
        assert state.asked == []


async def test_none_is_said_and_there_is_nothing_to_try(fake: FakeOperations, state: State) -> None:
    state.letters = []
    async with console(fake.home) as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "no dead letter: every event was handled"))
        await pilot.press("r", "enter", "o")
        await until(pilot, says(app, "there is nothing to try again"))
        assert isinstance(app.screen, DeadLetters)


async def test_silence_is_said_and_what_was_read_gets_old(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        state.silent = True
        await pilot.press("x")
        await until(pilot, says(app, "dead letters: operations", "asked again every 5 s"))
        await pilot.press("r")
        await until(pilot, says(app, "no dead letter is known yet"))
        state.silent = False
        await until(pilot, says(app, "3 dead letters"))
        state.silent = True
        await until(pilot, says(app, "STALE: ", "being restarted", "0005"))


async def test_a_viewer_reads_and_may_not_replay(fake: FakeOperations, state: State) -> None:
    state.role = "viewer"
    async with console(fake.home, role="viewer") as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "3 dead letters"))
        await pilot.press("r")
        await until(pilot, says(app, "your role is viewer; to change anything you need the role operator"))
        assert not isinstance(app.screen, ReplayDialog)


async def test_read_only_has_no_key_for_it(fake: FakeOperations, state: State) -> None:
    async with console(fake.home, read_only=True) as (app, pilot):
        await pilot.press("x")
        await until(pilot, says(app, "3 dead letters"))
        assert "try again" not in shown(app)
        await pilot.press("r")
        assert isinstance(app.screen, DeadLetters)
        assert state.asked == []


async def test_an_incident_of_a_stopped_aggregate_leads_there(fake: FakeOperations, state: State) -> None:
    state.incidents = [IncidentView(
        incident_id="incident-1", kind="stopped_aggregate", service="shipping", summary="shipping stopped",
        opened_at=datetime.now(UTC) - timedelta(minutes=3), resolved_at=None, acknowledged_by=None,
    )]  # fmt: skip
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "1 incident"))
        await pilot.press("i", "home")
        await until(pilot, says(app, "x: its dead letters"))
        await pilot.press("enter")
        await until(pilot, says(app, "x shows its dead letters"))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, DeadLetters) and selected(app) is not None)
        await until(pilot, lambda: selected(app) == "shipping/shop.payments/event-3")
        await pilot.press("escape")
        assert app.screen is floor_of(app)
