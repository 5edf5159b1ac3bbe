"""The dashboard's pure parts: safe text, chart options, figures, freshness."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from dashboard import charts
from dashboard.components import as_csv, freshness
from dashboard.reads import Reading
from dashboard.text import clean, escaped
from dashboard.views import quality
from dashboard.views.outlook import by_source, last_days, points_of, words_of
from dashboard.views.services import health_row, incident_row, trouble
from dashboard.views.vital_signs import delta, figure, last_imported
from shop_stack.events import WorkInHand
from shop_stack.operations.model import IncidentView, StuckOrders
from tests.screens.fake_operations import service

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POINT = {"at": "2026-11-23", "mean": 10.0, "low80": 8.0, "high80": 12.0, "low95": 5.0, "high95": 15.0}


def test_text_loses_control_and_direction_characters_and_is_bounded() -> None:
    assert clean("a\x1b[31mb\u202ec\u200fd\n") == "a[31mbcd"
    assert len(clean("x" * 5000)) == 400


@pytest.mark.parametrize("word", ["[x](javascript:alert(1))", "# big", "**b**", "$\\frac$", ":red[x]", "<b>", "`c`"])
def test_markdown_in_data_is_escaped(word: str) -> None:
    for character in "[]()#*$<>`:":
        assert escaped(word).count("\\" + character) == word.count(character)


def test_a_cell_that_a_spreadsheet_would_run_is_disarmed() -> None:
    assert b"'=cmd" in as_csv([{"name": "=cmd|' /C calc'!A0", "units": -3}])
    assert b"-3" in as_csv([{"name": "x", "units": -3}])


def test_an_incomplete_last_bucket_is_drawn_apart() -> None:
    option = charts.forecast_chart([("2026-11-21", 5.0, True), ("2026-11-22", 1.0, False)], [POINT])
    series = {s["name"]: s for s in option["series"]}
    assert series["actual"]["data"] == [["2026-11-21", 5.0]]
    assert series["not over yet"]["data"] == [["2026-11-22", 1.0]]


def test_bands_are_the_lower_line_and_the_width_above_it() -> None:
    option = charts.forecast_chart([], [POINT], 0.01)
    series = {s["name"]: s for s in option["series"]}
    assert series["80% band from"]["data"][0][1] == 0.08
    assert series["80% band"]["data"][0][1] == 0.04
    assert series["95% band"]["stackStrategy"] == "all"


def test_days_of_two_origins_are_added_and_incomplete_if_one_is() -> None:
    rows = [
        {"day": "2026-11-22", "origin": "simulated", "orders": 3, "complete": True},
        {"day": "2026-11-22", "origin": "live", "orders": 2, "complete": False},
    ]
    assert charts.days_of(rows, "orders") == [("2026-11-22", 5.0, False)]


def test_figures_are_written_for_a_person() -> None:
    row = {"metric": "revenue", "today": 123456, "change": None}
    assert figure(row, "today", "GBP") == "GBP 1,234.56"
    assert figure({"metric": "conversion", "today": 0.0251}, "today", "GBP") == "2.51%"
    assert figure({"metric": "orders", "today": None}, "today", "GBP") == "—"


@pytest.mark.parametrize(
    ("change", "words"), [(None, None), (0.0, None), (0.0001, None), (0.25, "+25.0%"), (-0.5, "-50.0%")]
)
def test_no_change_gets_no_arrow(change: float | None, words: str | None) -> None:
    assert delta({"change": change}) == words


def test_freshness_says_live_stale_old_and_dead() -> None:
    assert freshness(NOW - timedelta(seconds=2), None, NOW) == ("live", "green")
    assert freshness(NOW - timedelta(seconds=42), None, NOW) == ("42 s old", "orange")
    assert freshness(NOW - timedelta(days=400), None, NOW)[1] == "gray"
    assert freshness(None, None, NOW) == ("no events yet", "gray")
    assert freshness(None, "refused", NOW)[1] == "red"


def test_not_enough_history_is_said_and_draws_no_points() -> None:
    rows = [{"at": None, "status": "not_enough_history", "note": "3 of 28 days"}]
    assert points_of(rows) == []
    assert "3 of 28 days" in words_of(rows)


def test_imported_days_are_a_source_of_their_own_and_shown_at_their_own_time() -> None:
    rows = [{"day": f"2011-{month:02}-01", "origin": "imported"} for month in range(1, 13)]
    rows += [{"day": "2026-11-22", "origin": origin} for origin in ("live", "simulated")]
    sources = by_source(rows)
    assert {name: len(found) for name, found in sources.items()} == {"imported": 12, "this shop": 2}
    assert [row["day"] for row in last_days(sources["imported"])] == ["2011-11-01", "2011-12-01"]


def test_work_in_hand_is_in_the_row_of_a_service() -> None:
    waits = "14 authorisations wait for the provider, the oldest 6 s"
    work = [WorkInHand(kind="authorisation", waits_for="the provider", items=1400, oldest_s=6.2)]
    row = health_row(service("payments", health="degraded", because=waits, work=work))
    assert (row["health"], row["in hand"], row["why"]) == ("▲ slow, late or failing", "1,400, oldest 6 s", waits)
    assert health_row(service("orders"))["in hand"] == "–"


def test_imported_vital_signs_are_headed_by_their_own_day() -> None:
    note = "2011-12-09, the last day imported: imported; the same weekday: imported"
    assert last_imported([{"metric": "revenue", "origin_note": note}]) == "2011-12-09"
    assert last_imported([{"metric": "revenue", "origin_note": "today: live; the same weekday: no data"}]) is None
    assert last_imported([{"metric": "revenue"}]) is last_imported([]) is None


def check(name: str, state: str, found: int = 0, example: str = "") -> dict[str, object]:
    return {"name": name, "state": state, "found": found, "example": example}


def test_the_checks_are_summed_up_and_what_fails_is_named_without_markup() -> None:
    passed = [check("one_log", "passed"), check("events_once", "passed")]
    assert quality.verdict(Reading(passed)) == ("All 2 checks of the books pass.", True)
    begun = quality.verdict(Reading([*passed, check("x", "not run yet"), check("y", "not run in time")]))
    assert begun == ("2 of 4 checks of the books pass; the others have not been run to an end.", True)
    words, good = quality.verdict(
        Reading([*passed, check("sales_reconcile", "failed", 1200, "orders [3](javascript:x)")])
    )
    assert not good
    assert words.startswith("1 of 3 checks of the books fail.")
    assert "sales\\_reconcile: 1,200 found, first orders \\[3\\]\\(javascript\\:x\\)" in words
    assert quality.verdict(Reading([], failed="analytics does not answer")) == ("analytics does not answer", False)


def test_what_was_read_is_one_sentence_for_all_topics() -> None:
    row = {"records": 1000, "rejected": 1, "repeats": 2, "late": 3, "unknown_types": 4, "new_versions": 5}
    words = quality.in_words([row, row])
    assert words.startswith("2,000 records were read. 2 of them could not be read")
    assert "4 came again" in words
    assert "6 came more than five minutes late" in words
    assert "18 are of types or versions" in words


def test_an_open_incident_is_a_row_and_its_stuck_orders_are_counted() -> None:
    stuck = StuckOrders(orders=1200, amount_minor=5, whole=True, since=NOW, oldest=["o-1"])
    view = IncidentView(incident_id="i", kind="checkout_stuck", service="orders", summary="1,200 orders\x1b wait",
                        opened_at=NOW, resolved_at=None, acknowledged_by=None, stuck=stuck)  # fmt: skip
    row = incident_row(view, ZoneInfo("Europe/Berlin"))
    assert row == {"since": "22 Nov 13:00:00", "service": "orders", "what": "1,200 orders wait", "orders": "1,200",
                   "owner": "nobody"}  # fmt: skip
    taken = incident_row(msgspec.structs.replace(view, stuck=None, acknowledged_by="anna"), UTC)
    assert (taken["orders"], taken["owner"]) == ("–", "anna")


def test_the_top_of_the_page_says_the_first_incident_and_how_many_there_are() -> None:
    view = IncidentView(incident_id="i", kind="no_replica", service="orders", summary="[none](x)\x1b is ready",
                        opened_at=NOW, resolved_at=None, acknowledged_by=None)  # fmt: skip
    words = trouble([view], ZoneInfo("Europe/Berlin"))
    assert words.startswith("1 incident open, since 22 Nov 13:00:00\n\n**orders**: \\[none\\]\\(x\\) is ready")
    assert words.endswith("(nobody has it yet)")
    later = msgspec.structs.replace(view, acknowledged_by="*anna*", opened_at=NOW + timedelta(minutes=1))
    assert trouble([later, view], UTC).startswith("2 incidents open, since 22 Nov 12:00:00\n\n**orders**")
    assert trouble([later, view], UTC).endswith("(\\*anna\\* has it)")
