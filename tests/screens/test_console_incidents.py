"""Incidents on the console: seen, taken, kept by their owner; and an order's journey by its typed id."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.screens.floor import Floor
from console.screens.journey import JourneyScreen
from console.screens.order import OrderDialog
from console.screens.story import Story
from shop_stack.operations.model import IncidentView
from tests.screens.console_driver import console, floor_of, says, shown, until
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_operations import FakeOperations, State, tail_event

pytestmark = pytest.mark.embedded


def incident(number: int, owner: str | None = None, over: bool = False, minutes: float = 12.0) -> IncidentView:
    """An incident that began some minutes ago."""
    began = datetime.now(UTC) - timedelta(minutes=minutes)
    return IncidentView(
        incident_id=f"incident-{number}", kind="crash_loop", service="payments", opened_at=began,
        summary=f"payments was started anew {number} times within a minute; read its log {EXPLOIT}",
        resolved_at=began + timedelta(minutes=2) if over else None, acknowledged_by=owner,
    )  # fmt: skip


@pytest.fixture
def state() -> State:
    """One open incident of nobody's, one of anna's, one that is over."""
    events = [tail_event(1), tail_event(2), tail_event(12)]
    return State(incidents=[incident(4), incident(5, "anna", minutes=3), incident(6, over=True)], events=events)


@pytest.fixture
def fake(tmp_path: Path, state: State) -> Iterator[FakeOperations]:
    """The server, with a home folder that leads to it."""
    with FakeOperations(tmp_path / "home", state) as server:
        yield server


async def test_what_is_open_since_when_and_whose_is_on_the_floor(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "2 incidents, 1 unowned, oldest 12 min (i)", "m mine"))
        await pilot.press("i")
        await until(pilot, says(app, "OWNER", "nobody", "anna", "open since", "nobody owns it: m takes it"))
        rows = [line for line in shown(app).splitlines() if "payments: payments was" in line]
        assert "✖" in rows[0]
        assert "12 min" in rows[0]
        assert "●" in rows[1]
        assert "3 min" in rows[1]
        await pilot.press("up")
        assert floor_of(app).pane_list("parts").selected == "incident-4"
        await pilot.press("end")
        await until(pilot, says(app, "over after 2 min"))
        await pilot.press("home")
        await until(pilot, says(app, "OWNER"))


async def test_the_key_of_incidents_leads_to_the_first_open_one(fake: FakeOperations, state: State) -> None:
    opened, state.incidents = state.incidents, [incident(6, over=True)]
    async with console(fake.home) as (app, pilot):
        parts = floor_of(app).pane_list("parts")
        await until(pilot, lambda: bool(floor_of(app).incidents))
        await pilot.press("i", "end")
        assert parts.selected == "incident-6"
        state.incidents = opened
        await until(pilot, says(app, "2 incidents, parts"))
        await pilot.press("i")
        assert parts.selected == "incident-4"
        await pilot.press("down", "i")
        assert parts.selected == "incident-5", "one that is open already has the cursor"


async def test_an_incident_is_taken_after_it_was_read(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "2 incidents"))
        await pilot.press("m")
        await until(pilot, says(app, "first open incident"))
        assert state.asked == []
        await pilot.press("m")
        await until(pilot, says(app, "is yours", "operator owns it (you)"))
        assert state.incidents[0].acknowledged_by == "operator"
        await pilot.press("m")
        await until(pilot, says(app, "you look after it already"))
        assert len(state.asked) == 1


async def test_anothers_incident_is_taken_over_only_on_a_second_press(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "2 incidents"))
        await pilot.press("i")
        floor_of(app).pane_list("parts").select("incident-5")
        await pilot.press("m")
        await until(pilot, says(app, "anna looks after it; m once more takes it over"))
        assert state.incidents[1].acknowledged_by == "anna"
        await pilot.press("m")
        await until(pilot, lambda: state.incidents[1].acknowledged_by == "operator")


async def test_a_refusal_and_a_viewer_are_told(fake: FakeOperations, state: State) -> None:
    state.refuse = "the incident of payments is over; nobody needs to look after it"
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "2 incidents"))
        await pilot.press("m", "m")
        await until(pilot, says(app, "not taken: the incident of payments is over"))
    state.refuse, state.role = "", "viewer"
    async with console(fake.home, role="viewer") as (app, pilot):
        await until(pilot, says(app, "(m mine)"))
        await pilot.press("m", "m")
        await until(pilot, says(app, "your role is viewer; to change anything you need the role operator"))
    assert state.incidents[0].acknowledged_by is None


async def test_enter_tells_all_of_an_incident(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "2 incidents"))
        await pilot.press("m", "enter")
        await until(pilot, lambda: isinstance(app.screen, Story))
        await until(pilot, says(app, "incident of payments", "crash loop", "12 min ago", "started anew 4 times"))
        assert "\x1b" not in shown(app)
        await pilot.press("m")
        await until(pilot, says(app, "operator owns it (you)"))
        await pilot.press("escape")
        assert isinstance(app.screen, Floor)


async def test_none_open_is_said(fake: FakeOperations, state: State) -> None:
    state.incidents = []
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "all 8 services"))
        await pilot.press("m")
        await until(pilot, says(app, "no incident is open"))
        await pilot.press("i")
        await until(pilot, says(app, "[no incident; parts]", "gateway is up"))


async def test_a_typed_order_is_found_by_its_end_and_an_unknown_one_is_said(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "order.placed"))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, OrderDialog))
        await pilot.press(*"ghost", "enter")
        await until(pilot, says(app, "not found: no order is called ghost"))
        await pilot.press(*["backspace"] * 5, *"2", "enter")
        await until(pilot, says(app, "2 ids end with 2; type more of it"))
        await pilot.press(*["backspace"], *"0012", "enter")
        await until(pilot, lambda: isinstance(app.screen, JourneyScreen))
        await until(pilot, says(app, "order 0190-order-0012 completed GBP 45.99", "order.completed", "customer"))
        await pilot.press("r", "escape")
        assert isinstance(app.screen, Floor)
        assert floor_of(app).tail.wanted == ""


async def test_esc_leaves_the_typed_order(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("o", *"abc", "escape")
        assert isinstance(app.screen, Floor)
