"""What the console does to the stack, by key and mouse, and what it must never do."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input

from console.rows import plain
from console.screens.floor import Floor
from console.screens.restart import RestartDialog
from console.screens.scale import ScaleDialog
from console.screens.story import Story
from console.widgets.lines import Lines
from tests.screens.console_driver import console, floor_of, says, shown, until
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_operations import FakeOperations, State, part, service, slow, tail_event

pytestmark = pytest.mark.embedded


@pytest.fixture
def state() -> State:
    """Eight services, payments slow, three events."""
    state = State(measure_s=0.5)
    state.change("payments", slow)
    state.events = [
        tail_event(1),
        tail_event(2, "shop.payment.declined.v1"),
        tail_event(3, "ops.stack.sampled.v1", topic="ops.samples"),
    ]
    return state


@pytest.fixture
def fake(tmp_path: Path, state: State) -> Iterator[FakeOperations]:
    """The server, with a home folder that leads to it."""
    with FakeOperations(tmp_path / "home", state) as server:
        yield server


async def test_a_stranger_scales_the_slow_service_and_reads_the_verdict(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, says(app, "scale payments", "1 → 3", "used 92% → 31%", "912ms → 120ms", "p95 should fall"))
        assert state.asked == []
        await pilot.press("up")
        await until(pilot, says(app, "1 → 4", "used 92% → 23%"))
        await pilot.press("down", "enter")
        await until(pilot, says(app, "applied in", "measuring for 60 s"))
        what, name, body = state.asked[0]
        assert (what, name, body["replicas"]) == ("scale", "payments", 3)
        assert "p95 912 ms" in body["reason"]
        await until(pilot, says(app, "✔ HELPED", "p95 fell from 912 ms to 110 ms, as promised"))
        assert len(state.asked) == 1
        await pilot.press("a", "enter")
        await until(pilot, lambda: isinstance(app.screen, Story))
        await until(pilot, says(app, "promised", "before", "after", "over 60 s", "because"))


async def test_scaling_needs_a_reason_and_esc_does_nothing(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ScaleDialog))
        app.screen.query_one("#reason", Input).value = "  "
        await pilot.press("enter")
        await until(pilot, says(app, "a reason is needed"))
        await pilot.press("escape")
        assert isinstance(app.screen, Floor)
        assert state.asked == []


async def test_a_refused_scaling_stays_open_and_says_why(fake: FakeOperations, state: State) -> None:
    state.refuse = "orders is being scaled already; wait for it"
    async with console(fake.home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, says(app, "p95 should fall"))
        await pilot.press("enter")
        await until(pilot, says(app, "is being scaled already"))
        assert isinstance(app.screen, ScaleDialog)


async def test_scaling_again_at_once_needs_a_second_enter(fake: FakeOperations, state: State) -> None:
    state.rests_s = 21.0
    async with console(fake.home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, says(app, "refused: payments was scaled just now; wait 21 s more"))
        await pilot.press("enter")
        await until(pilot, says(app, "force it with one more Enter"))
        assert state.asked == []
        await pilot.press("enter")
        await until(pilot, lambda: bool(state.asked))
        assert state.asked[0][2]["force"] is True


async def test_the_number_stays_within_its_bounds(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ScaleDialog))
        await pilot.press(*["plus"] * 9)
        assert isinstance(app.screen, ScaleDialog)
        assert app.screen.replicas == 8
        await pilot.press(*["minus"] * 12)
        assert app.screen.replicas == 1


async def test_stopping_a_service_needs_a_second_confirmation(fake: FakeOperations, state: State) -> None:
    state.change("payments", lambda view: msgspec.structs.replace(view, min_replicas=0, recommended=0))
    async with console(fake.home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, says(app, "1 → 0", "used 92%"))
        await pilot.press("enter")
        await until(pilot, says(app, "stops answering. Enter once more"))
        assert state.asked == []
        await pilot.press("enter")
        await until(pilot, lambda: bool(state.asked))
        assert state.asked[0][2]["confirm_zero"] is True


async def test_restart_asks_which_replica_and_why(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, RestartDialog))
        await until(pilot, says(app, "its one replica", "no request should fail."))
        await pilot.press("down")
        await until(pilot, says(app, "payments-1", "pid 4242"))
        await pilot.press("tab", *"leak")
        await pilot.press("enter")
        await until(pilot, lambda: bool(state.asked))
        assert state.asked == [("restart", "payments", {"reason": "leak", "replica": "payments-1"})]


async def test_a_viewer_sees_all_and_is_told_why_not(fake: FakeOperations, state: State) -> None:
    state.role = "viewer"
    async with console(fake.home, role="viewer") as (app, pilot):
        await until(pilot, says(app, "as viewer", "(s scale)", "(r restart)"))
        await pilot.press("s")
        await until(pilot, says(app, "your role is viewer; to change anything you need the role operator"))
        assert isinstance(app.screen, Floor)


async def test_read_only_offers_nothing_dangerous(fake: FakeOperations, state: State) -> None:
    async with console(fake.home, read_only=True) as (app, pilot):
        await until(pilot, says(app, "as read-only"))
        assert "scale" not in shown(app).splitlines()[-1]
        await pilot.press("s", "r")
        assert isinstance(app.screen, Floor)
        await app.run_action("scale", default_namespace=app.screen)
        await until(pilot, says(app, "changes nothing"))
        assert state.asked == []


async def test_markup_in_data_is_text_wherever_it_is_clicked(fake: FakeOperations, state: State) -> None:
    """The exploit of a customer whose name is an action: nothing in data may ever run one."""
    state.change("orders", lambda view: service(EXPLOIT, EXPLOIT, health="degraded", because=EXPLOIT, recommended=3,
                                                recommended_because=EXPLOIT, moves_with=[EXPLOIT]))  # fmt: skip
    state.parts = [part(EXPLOIT, False, EXPLOIT)]
    state.events = [
        tail_event(i, EXPLOIT, subject=EXPLOIT, source=EXPLOIT, summary=EXPLOIT, correlation=None) for i in range(30)
    ]
    state.logs = [EXPLOIT] * 30
    async with console(fake.home, (120, 34)) as (app, pilot):
        await until(pilot, says(app, "payments: [@click=app", "gnp.exe· [@click=app", "![@click=app", "▸[@click=app"))
        for y in range(33):
            for x in (30, 90):
                await pilot.click(offset=(x, y))
                if not isinstance(app.screen, Floor):
                    assert not isinstance(app.screen, ScaleDialog)
                    await pilot.press("escape")
        text = shown(app)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\x07" not in text
        assert state.asked == []


async def test_the_mouse_does_what_keys_do(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.click("#services", offset=(5, 2))
        assert floor_of(app).services.selected == "customers"
        keys = plain(app.screen.query_one("#keys", Lines).lines[0])
        await pilot.click("#keys", offset=(keys.index("s scale") + 1, 0))
        await until(pilot, says(app, "scale customers"))
