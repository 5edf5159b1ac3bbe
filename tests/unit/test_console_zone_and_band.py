"""The console's times in the stack's zone, and the live rate held against the forecast's band."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
import pytest

from console.rows import figures, incidents, plain, services, stack
from console.zone import PLACES, shown_in, zone_called
from shop_stack.operations import model
from shop_stack.operations.audit import Report
from tests.screens.fake_journeys import journey
from tests.screens.fake_operations import State, service, tail_event

pytestmark = pytest.mark.pure
NOW = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)


def test_times_are_of_the_stacks_zone_whatever_the_machines() -> None:
    tokyo = zone_called("Asia/Tokyo")
    event = shown_in(tokyo, msgspec.structs.replace(tail_event(1), at=NOW))
    assert figures.clock(event.at) == "05:00:00"
    assert figures.zoned(event.at) == "05:00:00 JST"
    assert shown_in(tokyo, ["a line"]) == ["a line"]
    placed = shown_in(tokyo, journey("order-1"))
    assert {step.at.tzinfo for step in placed.steps} == {tokyo}
    view = shown_in(tokyo, State().view())
    assert view.services[0].forecast_peak_at is not None
    assert figures.hour(view.services[0].forecast_peak_at) == "05:40"


def test_a_zone_that_nobody_knows_is_utc_and_says_so() -> None:
    assert figures.zoned(shown_in(zone_called("Nowhere/None"), NOW)) == "20:00:00 UTC"
    assert figures.zoned(shown_in(zone_called("../etc"), NOW)) == "20:00:00 UTC"


def test_summer_time_is_said() -> None:
    assert figures.zoned(shown_in(ZoneInfo("Europe/London"), NOW)) == "21:00:00 BST"


def test_no_time_of_the_model_is_left_in_another_zone() -> None:
    """Every field of the answers that is a time, or holds one, is among the places."""
    for name in ("StackView", "ServiceView", "ActionView", "IncidentView", "TailEvent", "Journey", "JourneyStep"):
        hints = get_type_hints(getattr(model, name))
        timed = {field for field, hint in hints.items() if hint is datetime or datetime in get_args(hint)}
        assert timed <= set(PLACES[name]), name
    assert {field for field, hint in get_type_hints(Report).items() if hint is datetime} <= set(PLACES["Report"])


@pytest.mark.parametrize(
    ("rate", "mark"), [(18.1, "▲"), (18.0, ""), (12.0, ""), (10.0, ""), (9.9, "▼")]
)  # fmt: skip
def test_the_band_is_breached_above_and_below(rate: float, mark: str) -> None:
    view = service("orders", forecast_band=(10.0, 18.0), minute_rate=rate)
    assert services.beyond(view) == mark
    row = plain(services.table([view], 79)[0].line)
    assert len(row) == 79
    assert f"12.4{mark}" in row
    assert ("▲" in row or "▼" in row) == bool(mark)


def test_without_a_forecast_of_now_nothing_is_breached() -> None:
    assert services.beyond(service("orders", minute_rate=99.0)) == ""
    assert services.breach(service("orders", minute_rate=99.0)) == ""


def test_soon_after_a_start_only_a_rate_above_the_band_says_something() -> None:
    starting = {"forecast_band": (10.0, 18.0), "minute_settled": False}
    assert services.beyond(service("orders", minute_rate=4.0, **starting)) == ""
    assert services.beyond(service("orders", minute_rate=19.0, **starting)) == "▲"


def test_a_breach_is_told_in_words_beside_the_advice_and_on_the_floor() -> None:
    above = service("orders", forecast_band=(10.0, 18.0), minute_rate=55.0, recommended=3)
    second = plain(services.why(above, 78)[1])
    assert second.startswith("advised: 1 → 3 replicas, press s. Last min 55.0/s ▲ forecast 10.0–18.0 (95%)")
    assert len(second) <= 78
    reading = stack.Reading(State(services=[above, service("payments")]).view(), NOW)
    assert "orders: Last min 55.0/s ▲ forecast 10.0–18.0 (95%)" in plain(stack.trouble(reading, NOW, 78))
    both = State(services=[above, service("payments", forecast_band=(0.0, 1.0), minute_rate=9.0)]).view()
    assert "▲ above the forecast: orders, payments" in plain(stack.trouble(stack.Reading(both, NOW), NOW, 78))
    reading = dataclasses.replace(reading, view=State(services=[service("orders")]).view())
    assert "▲" not in plain(stack.trouble(reading, NOW, 78))


def test_incidents_are_listed_nobodys_first_and_then_the_oldest() -> None:
    def one(name: str, minutes: int, owner: str | None = None) -> model.IncidentView:
        return model.IncidentView(
            incident_id=name, kind="crash_loop", service="orders", summary="read its log", resolved_at=None,
            opened_at=NOW - timedelta(minutes=minutes), acknowledged_by=owner,
        )  # fmt: skip

    known = [one("new", 1), one("owned", 30, "anna"), one("old", 9)]
    assert [row.key for row in incidents.rows(known, NOW)] == ["head:incidents", "old", "new", "owned"]
    short = incidents.short(known, NOW)
    assert short is not None
    assert short.text == "3 incidents, 2 unowned, oldest 30 min (i)"
    alone = incidents.short(known[1:2], NOW)
    assert alone is not None
    assert (alone.text, alone.tone) == ("1 incident 30 min, anna owns it (i)", "warn")
    assert incidents.short([], NOW) is None
    assert incidents.rows([], NOW) == []


def test_the_story_of_stuck_orders_names_the_oldest_in_the_shops_zone() -> None:
    began = datetime(2026, 7, 22, 10, 10, 9, tzinfo=UTC)
    stuck = model.StuckOrders(orders=1204, amount_minor=5, whole=True, since=began, oldest=["o-1\u202e", "o-2", "o-3"])
    view = model.IncidentView(
        incident_id="i", kind="checkout_stuck", service="orders", summary="1204 orders wait", opened_at=began,
        resolved_at=None, acknowledged_by=None, stuck=stuck,
    )  # fmt: skip
    told = [plain(line) for line in incidents.story(shown_in(zone_called("Europe/Berlin"), view), NOW, "anna")]
    [line] = [line for line in told if line.startswith("stuck")]
    assert "since 12:10:09" in line
    assert line.endswith("o-1·, o-2, o-3 and 1.2k more"), "what may turn a line about is shown as a dot"


def test_a_machine_far_away_shows_the_same_time() -> None:
    far = timezone(timedelta(hours=-11))
    assert figures.clock(shown_in(ZoneInfo("Europe/London"), NOW.astimezone(far))) == "21:00:00"
