"""The console looks back: the shop as of an earlier minute, unmistakably, and nothing that acts on it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.screens.floor import Floor
from console.screens.help import Help
from console.screens.journey import JourneyScreen
from console.screens.moment import MomentDialog
from console.screens.past import PastScreen
from console.screens.story import Story
from shop_stack.operations.model import IncidentView
from tests.screens.console_driver import console, says, shown, until
from tests.screens.fake_operations import FakeOperations, State, tail_event

pytestmark = pytest.mark.embedded


@pytest.fixture
def state() -> State:
    """All is well now; what was is told by fake_questions."""
    return State(events=[tail_event(12)], measure_s=0.5)


@pytest.fixture
def fake(tmp_path: Path, state: State) -> Iterator[FakeOperations]:
    """The server, with a home folder that leads to it."""
    with FakeOperations(tmp_path / "home", state) as server:
        yield server


async def look_back(app: ConsoleApp, pilot: Pilot[None], typed: str = "-2h") -> PastScreen:
    """Type a moment, and wait until the shop of then is shown."""
    await pilot.press("w")
    await until(pilot, lambda: isinstance(app.screen, MomentDialog))
    await pilot.press(*typed, "enter")
    await until(pilot, says(app, "LOOKING BACK: as of", "912ms!"))
    screen = app.screen
    assert isinstance(screen, PastScreen)
    return screen


async def test_every_panel_of_the_floor_is_as_of_the_minute_that_was_typed(fake: FakeOperations, state: State) -> None:
    before = datetime.now(UTC)
    async with console(fake.home) as (app, pilot):
        past = await look_back(app, pilot)
        assert (before - past.at).total_seconds() == pytest.approx(7200, abs=70)
        assert (past.at.second, past.at.microsecond) == (0, 0)
        asked = {name: query["at"] for name, query in state.questions if "at" in query}
        assert set(asked) == {"vital_signs", "service_minutes", "lag_by_group", "lag_by_partition", "replicas",
                              "incidents", "operator_actions", "events_by_topic_by_minute"}  # fmt: skip
        assert set(asked.values()) == {f"{past.at:%Y-%m-%dT%H:%MZ}"}
        screen = shown(app)
        assert {len(line) for line in screen.splitlines()} == {80}
        for word in (" ago", "n: back to now", "until ", "revenue GBP 12,345", "2 incidents, 1 unowned, oldest 7 min",
                     "! payments: p95 912ms", "WAITS", "12s", "THE HOUR BEFORE", "13 orders waited, worth GBP 1,234",
                     "known of now alone", "shop.orders", "(s scale)"):  # fmt: skip
            assert word in screen, word
        for word in ("live ", "HEALTH", "PEAK 1H", "order.placed"):
            assert word not in screen, word
        assert past.services.selected == "payments", "the one in most trouble"


async def test_the_panes_tell_what_stood_then(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await look_back(app, pilot)
        await pilot.press("i")
        await until(
            pilot, says(app, "[2 incidents open then]", "payments lost its way", "nobody owned it", "over after")
        )
        assert "m takes it" not in shown(app)
        await pilot.press("enter")
        await until(pilot, says(app, "incident of payments", "stopped aggregate", "7 min before"))
        assert isinstance(app.screen, Story)
        assert "tries them again" not in shown(app)
        await pilot.press("escape", "down")
        await until(pilot, says(app, "12 orders worth GBP 520.00, 9 still: orders are stuck and wait for payments"))
        await pilot.press("enter")
        await until(pilot, says(app, "o-1, o-2, o-3 and 9 more", "o and an order's id show its journey"))
        await pilot.press("escape", "a")
        await until(pilot, says(app, "restart payments", "✖ FAILED", "no such replica", "scale payments 3→1"))
        await pilot.press("enter")
        await until(pilot, says(app, "by anna", "not known then"))
        await pilot.press("escape", "d")
        await until(pilot, says(app, "WANTED", "6 s", "shop.orders/3: 118 events waited, the oldest 12 s, 98%"))
        await pilot.press("l")
        await until(pilot, says(app, "logs are known of now alone"))
        assert "\x1b" not in shown(app)


async def test_at_160x48_every_pane_is_there_at_once(fake: FakeOperations) -> None:
    async with console(fake.home, (160, 48)) as (app, pilot):
        await look_back(app, pilot)
        panes = ("events by topic", "actions 2", "replicas of payments", "logs: of now alone", "2 incidents open then")
        await until(pilot, says(app, *panes, "scale payments 3→1", "payments lost its way"))
        await pilot.press("up")
        await until(pilot, says(app, "replicas of orders"))


@pytest.mark.parametrize("key", ["s", "r", "m"])
async def test_nothing_that_changes_the_stack_is_offered_and_it_says_why(
    fake: FakeOperations, state: State, key: str
) -> None:
    async with console(fake.home) as (app, pilot):
        await look_back(app, pilot)
        await pilot.press(key)
        await until(pilot, says(app, f"nothing can be changed in the past: n goes back to now, where {key} works"))
        await pilot.press("enter")
        assert state.asked == []


@pytest.mark.parametrize(("key", "what"), [("b", "books"), ("x", "dead letters"), ("slash", "filter"), ("p", "pause")])
async def test_what_is_known_of_now_alone_says_so(fake: FakeOperations, key: str, what: str) -> None:
    async with console(fake.home) as (app, pilot):
        past = await look_back(app, pilot)
        await pilot.press(key)
        await until(pilot, says(app, f"{what}: known of now alone; n goes back to now"))
        assert app.screen is past


@pytest.mark.parametrize("keys", [["n"], ["q"], ["escape"], ["i", "z", "escape", "escape", "escape"]])
async def test_a_key_returns_to_now(fake: FakeOperations, keys: list[str]) -> None:
    async with console(fake.home) as (app, pilot):
        await look_back(app, pilot)
        await pilot.press(*keys)
        await until(pilot, says(app, "live ", "HEALTH"))
        assert isinstance(app.screen, Floor)
        assert "LOOKING BACK" not in shown(app)


async def test_a_minute_earlier_and_later_and_another_moment(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        past = await look_back(app, pilot, "-1m")
        first = past.at
        await pilot.press("right", "right", "right")
        await until(pilot, says(app, "is yet to come"))
        await pilot.press("left", "left", "left", "left", "left")
        assert first - timedelta(minutes=5) <= past.at <= first - timedelta(minutes=2)
        await until(pilot, lambda: past.past is not None and past.past.at == past.at)
        await until(pilot, lambda: "reading" not in shown(app))
        await pilot.press("w")
        await until(pilot, says(app, "known from Sat 03 Oct 2026, 09:01 BST on"))
        await pilot.press(*"2026-10-04", "enter")
        await until(pilot, says(app, "LOOKING BACK: as of Sun 04 Oct 2026, 00:00 BST"))
        await pilot.press("w", "escape")
        assert past.at == datetime(2026, 10, 3, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("yesterday", "“yesterday” is not a time such as 20"),
        ("2126-01-01", "Tue 01 Jan 2126, 00:00 GMT is yet to come"),
        ("2026-10-01", "nothing is known of Thu 01 Oct 2026, 00:00 BST: the data begin"),
    ],
)
async def test_a_bad_moment_gets_a_sentence(fake: FakeOperations, typed: str, why: str) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, MomentDialog))
        await pilot.press(*typed, "enter")
        await until(pilot, says(app, why))
        await pilot.press("enter", "escape")
        assert isinstance(app.screen, Floor)


async def test_without_analytics_it_says_so_and_goes_on_by_itself(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        state.analytics_silent = True
        await pilot.press("w")
        await until(pilot, says(app, "looking back is asked of analytics: analytics cannot answer now"))
        state.analytics_silent = False
        await pilot.press("escape")
        past = await look_back(app, pilot)
        state.analytics_silent = True
        await pilot.press("left")
        await until(pilot, says(app, "analytics cannot answer now", "asking again", "reading"))
        assert "912ms!" in shown(app), "what is shown stays, under its own time"
        state.analytics_silent = False
        await until(pilot, lambda: past.past is not None and past.past.at == past.at)
        await until(pilot, lambda: "asking again" not in shown(app))


async def test_an_orders_journey_is_told_as_far_as_it_had_come(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        past = await look_back(app, pilot)
        await pilot.press("o", *"0012", "enter")
        await until(pilot, says(app, "AS OF", "order 0190-order-0012"))
        assert isinstance(app.screen, JourneyScreen)
        await pilot.press("r")
        await until(pilot, lambda: len(state.journeys) == 2)
        assert {datetime.fromisoformat(at) for _, at in state.journeys} == {past.at}
        await pilot.press("escape")
        assert app.screen is past


async def test_what_opens_now_is_told_while_looking_back(fake: FakeOperations, state: State) -> None:
    old, new = (
        IncidentView(incident_id=name, kind="crash", service="orders", summary=f"{name} it is", resolved_at=None,
                     opened_at=datetime.now(UTC), acknowledged_by=None)
        for name in ("old", "new")
    )  # fmt: skip
    state.incidents = [old]
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "1 incident"))
        await look_back(app, pilot)
        state.incidents = [old, new]
        await until(pilot, says(app, "NOW an incident opened, orders: new it is (n goes there)"))
        assert "old it is" not in shown(app)


async def test_help_and_read_only(fake: FakeOperations) -> None:
    async with console(fake.home, read_only=True) as (app, pilot):
        await look_back(app, pilot)
        assert "(s scale)" not in shown(app)
        await pilot.press("question_mark")
        await until(pilot, says(app, "look back: the shop as it was", "w, n", "back to now"))
        assert isinstance(app.screen, Help)
        await pilot.press("q", "s")
        assert isinstance(app.screen, PastScreen)
