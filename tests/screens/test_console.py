"""What the console shows, driven by its keys against a real HTTP server in the operations API's shapes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.screens.floor import Floor
from console.screens.help import Help
from console.screens.journey import JourneyScreen
from console.widgets.lines import Lines
from shop_stack.events import WorkInHand
from shop_stack.operations.model import IncidentView
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


async def test_at_80x24_everything_an_operator_needs_is_on_one_screen(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "revenue GBP 12,345", "order.placed", "events 2"))
        screen = shown(app)
        lines = screen.splitlines()
        assert len(lines) == 24
        assert {len(line) for line in lines} == {80}
        for word in ("The bundled shop", "microservices", "live ", "! payments degraded", "REPL", "PEAK 1H", "1/1↑3",
                     "912ms!", "advised: 1 → 3 replicas", "s scale", "? help"):  # fmt: skip
            assert word in screen
        assert "sampled" not in screen


async def test_at_160x48_every_pane_is_there_at_once(fake: FakeOperations) -> None:
    async with console(fake.home, (160, 48)) as (app, pilot):
        wanted = (
            "events 2",
            "actions 0",
            "logs of payments",
            "orders-1 line 39",
            "replicas of payments",
            "parts",
            "gateway",
        )
        await until(pilot, says(app, *wanted))


async def test_it_begins_at_the_worst_service_and_comes_back_by_key(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        floor = floor_of(app)
        assert floor.services.selected == "payments"
        await pilot.press("g")
        assert floor.services.selected == "storefront"
        await pilot.press("j", "down", "k")
        assert floor.services.selected == "customers"
        await pilot.press("exclamation_mark")
        assert floor.services.selected == "payments"


async def test_dead_parts_are_named_while_the_rest_works(fake: FakeOperations, state: State) -> None:
    names = ("gateway", "log", "analytics", "operations")
    state.parts = [part(n, n in ("operations",), "killed") for n in names]
    state.analytics_silent = True
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "GATEWAY, LOG, ANALYTICS DOWN", "shop today: analytics cannot answer now"))
        await pilot.press("i")
        await until(pilot, says(app, "gateway      DOWN", "killed"))
        await pilot.press("s")
        await until(pilot, says(app, "p95 should fall"))


async def test_an_open_incident_is_counted_and_listed(fake: FakeOperations, state: State) -> None:
    state.incidents = [
        IncidentView(incident_id="1", kind="crash", service="orders", summary=EXPLOIT, opened_at=datetime.now(UTC),
                     resolved_at=None, acknowledged_by=None)
    ]  # fmt: skip
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "1 incident", "nobody owns it (i)"))
        await pilot.press("i")
        await until(pilot, says(app, "orders: [@click=app.scale"))


async def test_silence_is_said_with_its_age_and_ends_by_itself(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        floor = floor_of(app)
        state.silent = True
        await until(pilot, lambda: bool(floor.reading.trouble))
        assert "payments" in shown(app)
        late = datetime.now(UTC) + timedelta(seconds=30)
        floor.now = lambda: late  # type: ignore[method-assign]
        await until(pilot, says(app, "STALE: 3", "operations is being restarted"))
        del floor.now
        state.silent = False
        await until(pilot, lambda: "live" in shown(app) and not floor.reading.trouble)


async def test_standing_samples_are_stale(fake: FakeOperations, state: State) -> None:
    state.sample_age_s = 42.0
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "STALE: 42 s old", "samples stand still"))


async def test_nothing_running_says_how_to_start_and_waits_for_it(tmp_path: Path, state: State) -> None:
    home = tmp_path / "home"
    async with console(home, wait="NOT RUNNING") as (app, pilot):
        await until(pilot, says(app, "shopfloor up"))
        await pilot.press("s")
        await until(pilot, says(app, "no service is known yet"))
        with FakeOperations(home, state):
            await until(pilot, says(app, "! payments degraded"))


async def test_no_service_at_all_is_said(fake: FakeOperations, state: State) -> None:
    state.services = []
    async with console(fake.home, wait="names no service") as (app, pilot):
        await pilot.press("exclamation_mark", "s", "r", "enter", "l", "d")
        assert isinstance(app.screen, Floor)


async def test_events_are_filtered_paused_and_followed(fake: FakeOperations, state: State) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "payment.declined", "order.placed"))
        await pilot.press("slash", *"declined")
        await until(pilot, lambda: len(floor_of(app).tail.rows) == 1)
        await pilot.press("enter")
        await until(pilot, says(app, "events 1 of 3 with “declined”"))
        await pilot.press("space")
        state.events.append(tail_event(4, "shop.payment.declined.v1"))
        await until(pilot, says(app, "PAUSED, 1 more"))
        await pilot.press("space")
        await until(pilot, says(app, "events 2 of 4"))
        await pilot.press("slash", *"xyz", "enter")
        await until(pilot, says(app, "no event of the last 4"))
        await pilot.press("escape")
        await until(pilot, says(app, "order.placed"))


async def test_the_tail_is_a_ring_and_keeps_the_place_of_the_reader(fake: FakeOperations, state: State) -> None:
    state.events = [tail_event(i) for i in range(2500)]
    async with console(fake.home) as (app, pilot):
        tail = floor_of(app).tail
        await until(pilot, lambda: len(tail.rows) == 2000)
        await pilot.press("e", "up", "up")
        chosen = tail.selected
        state.events.append(tail_event(9999))
        await until(pilot, lambda: tail.rows[-1].key.endswith("/9999"))
        assert tail.selected == chosen
        await pilot.press("G")
        assert tail.selected is not None
        assert tail.selected.endswith("/9999")


async def test_an_event_opens_its_orders_journey(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "order.placed"))
        await pilot.press("e", "g", "enter")
        await until(pilot, lambda: isinstance(app.screen, JourneyScreen))
        await until(pilot, says(app, "order 0190-order-0001 completed GBP 45.99", "order.completed", "30s", "customer"))
        await pilot.press("down")
        await until(pilot, says(app, "reservation-requested.v1"))
        await pilot.press("escape")
        assert isinstance(app.screen, Floor)


async def test_an_event_of_no_order_is_said_and_shown(fake: FakeOperations, state: State) -> None:
    state.events = [tail_event(1, "shop.product.added.v1", correlation=None), tail_event(2, correlation="session-9")]
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "product.added"))
        await pilot.press("e", "g", "enter")
        await until(pilot, says(app, "belongs to no order"))
        await pilot.press("escape", "G", "enter")
        await until(pilot, says(app, "no order is called session-9"))


async def test_logs_follow_the_chosen_service(fake: FakeOperations, state: State) -> None:
    state.logs = [f"line {i}" for i in range(50)] + [f"hello {EXPLOIT}"]
    async with console(fake.home) as (app, pilot):
        await pilot.press("l")
        await until(pilot, says(app, "payments: hello [@click=app.scale('orders',0)]Jane[/]·[31m·gnp.exe"))
        await pilot.press("escape", "g")
        await until(pilot, says(app, "logs of storefront", "storefront: hello"))


async def test_zoom_gives_a_pane_the_screen_and_back(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("l", "z")
        await until(pilot, lambda: "SERVICE" not in shown(app) and "line 30" in shown(app))
        await pilot.press("escape")
        await until(pilot, says(app, "SERVICE"))


async def test_help_lists_every_key(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await until(pilot, says(app, "scale the service", "(changes the stack)"))
        await pilot.press("q")
        assert isinstance(app.screen, Floor)


async def test_each_theme_is_readable_and_a_small_terminal_does_not_break(fake: FakeOperations) -> None:
    async with console(fake.home, (60, 16)) as (app, pilot):
        for _ in range(4):
            await pilot.press("t")
            assert "payments" in shown(app)
        await pilot.resize_terminal(40, 12)
        await until(pilot, says(app, "SERVICE"))
        await pilot.resize_terminal(160, 48)
        await until(pilot, says(app, "replicas of payments"))


async def test_a_repaint_without_news_draws_nothing(fake: FakeOperations) -> None:
    async with console(fake.home) as (app, _):
        floor = floor_of(app)
        floor.paint()
        dirty = [widget for widget in floor.query(Lines) if widget._dirty_regions]
        before = [set(widget._dirty_regions) for widget in floor.query(Lines)]
        floor.paint_panes()
        floor.paint_why()
        assert [set(widget._dirty_regions) for widget in floor.query(Lines)] == before, dirty


async def test_work_that_waits_outside_is_found_where_requests_and_lag_are_quiet(
    fake: FakeOperations, state: State
) -> None:
    waits = "14 authorisations wait for the provider, the oldest 6 s"
    work = [WorkInHand(kind="authorisation", waits_for="the provider", items=14, oldest_s=6.2)]
    quiet = service("payments", health="degraded", because=waits, work=work, objective_work_age_s=2.5,
                    request_rate=0.0, p95_ms=None)  # fmt: skip
    late = "it waits for payments, which is degraded: look there first; 9 orders wait for payments, the oldest 7 s"
    state.change("payments", lambda _: quiet)
    state.change("orders", lambda view: service("orders", health="degraded", because=late, waits_for=["payments"]))
    async with console(fake.home) as (app, pilot):
        await until(pilot, says(app, "! payments degraded: 14 authorisations wait", f"payments is degraded: {waits}"))
        await pilot.press("up")
        await until(pilot, says(app, "orders is degraded: it waits for payments, which is degraded: look there"))
        await pilot.press("exclamation_mark")
        assert floor_of(app).services.selected == "payments"
    async with console(fake.home, (160, 48)) as (app, pilot):
        await until(pilot, says(app, "IN HAND", "14 6.2s"))
