"""The moment that the dashboard's address asks for: read, bounded by the data, named in the business time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from analytics.moments import Refused, ago, earliest
from dashboard.moment import Moment, chosen
from dashboard.views.services_then import action_row, incident_row, latest, minute_row, open_then
from dashboard.views.vital_signs import headed

pytestmark = pytest.mark.pure
ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 7, 22, 12, 0, 30, tzinfo=UTC)
RANGES = [
    {"origin": "imported", "first": "2026-07-01T08:00:00Z", "last": "2026-07-02T08:00:00Z", "events": 3},
    {"origin": "live", "first": "2026-07-22T08:00:00Z", "last": "2026-07-22T12:00:00Z", "events": 9},
]


def test_without_a_time_it_is_now() -> None:
    when = chosen(None, RANGES, NOW, ZONE)
    assert when == chosen("", RANGES, NOW, ZONE) == Moment(None, ZONE)
    assert isinstance(when, Moment)
    assert (when.back, when.asked, when.every(5), when.file_name("funnel")) == (False, {}, 5, "funnel")
    assert when.before(NOW, minutes=30) == "2026-07-22T11:30Z"


@pytest.mark.parametrize(
    "text", ["2026-07-22T10:20Z", "2026-07-22T12:20", "2026-07-22T10:20:59Z", "2026-07-22T12:20:00 02:00"]
)
def test_a_time_is_read_with_its_zone_or_in_the_business_zone(text: str) -> None:
    when = chosen(text, RANGES, NOW, ZONE)
    assert when == Moment(datetime(2026, 7, 22, 10, 20, tzinfo=UTC), ZONE)
    assert isinstance(when, Moment)
    assert (when.asked, when.every(5)) == ({"at": "2026-07-22T10:20Z"}, None)
    assert when.in_words() == "Wed 22 Jul 2026, 12:20 CEST"
    assert when.before(NOW, minutes=30) == "2026-07-22T09:50Z"
    assert when.file_name("funnel") == "funnel-as-of-2026-07-22T1020Z"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("yesterday", "“yesterday” is not a time such as 2026-07-22T11:00Z"),
        ("<script>alert(1)</script>" * 9, "…” is not a time"),
        ("0001-01-01T00:00", "is not a time"),
        ("2026-07-22T12:01Z", "Wed 22 Jul 2026, 14:01 CEST is yet to come"),
        ("2026-07-01T08:00Z", "the data begin Wed 01 Jul 2026, 10:01 CEST"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_reason(text: str, why: str) -> None:
    refused = chosen(text, RANGES, NOW, ZONE)
    assert isinstance(refused, Refused)
    assert why in refused.why
    assert len(refused.why) < 160


def test_the_first_minute_of_the_data_and_this_one_are_the_bounds() -> None:
    assert isinstance(chosen("2026-07-01T08:01Z", RANGES, NOW, ZONE), Moment)
    assert isinstance(chosen("2026-07-22T12:00Z", RANGES, NOW, ZONE), Moment)
    assert earliest([]) is None
    assert isinstance(chosen("1990-01-01T00:00Z", [], NOW, ZONE), Moment), "unknown while analytics does not answer"


def test_how_long_ago() -> None:
    at = datetime(2026, 7, 22, 11, 30, 30, tzinfo=UTC)
    assert [ago(at, NOW), ago(at.replace(day=21), NOW), ago(at.replace(day=1), NOW)] == ["30 min", "24 h", "21 days"]


def test_an_earlier_day_is_headed_by_itself() -> None:
    assert headed(None, Moment(None, ZONE)) == "Today so far"
    assert headed(None, Moment(datetime(2026, 7, 21, 22, 30, tzinfo=UTC), ZONE)) == "Wed 22 Jul until 00:30"
    assert headed("2011-12-09", Moment(NOW, ZONE)) == "2011-12-09, the last day imported"


def test_the_services_then_are_those_of_the_last_minute() -> None:
    row = {"minute": "2026-07-22T10:18:00Z", "service": "orders\x1b", "origin": "live", "requests_per_minute": 90.0,
           "error_rate": 0.02, "p95_ms": 1234.5, "ready": 1, "lag": 40, "cpu_cores": None}  # fmt: skip
    last = row | {"minute": "2026-07-22T10:19:00Z", "requests_per_minute": None, "p95_ms": None, "ready": None}
    assert latest([row, last], "service") == {"orders\x1b": last}
    shown = minute_row(row, {"seconds": 12.4}, {"wanted": 2})
    assert (shown["service"], shown["replicas"], shown["req/s"], shown["errors"]) == ("orders", "1/2", 1.5, "2.0%")
    assert (shown["p95 ms"], shown["waits"], shown["cores"]) == ("1,234", "12 s", None)
    shown = minute_row(last, None, None)
    assert (shown["replicas"], shown["req/s"], shown["p95 ms"], shown["waits"]) == ("–/–", None, "–", "–")


def test_only_what_was_open_then_is_listed() -> None:
    rows = [{"resolved_at": "2026-07-22T10:10:09Z"}, {"resolved_at": None}]
    assert open_then(rows) == rows[1:]


def test_an_incident_and_an_action_are_told_as_they_stood_then() -> None:
    when = Moment(datetime(2026, 7, 22, 10, 20, tzinfo=UTC), ZONE)
    incident = incident_row(
        {"opened_at": "2026-07-22T10:10:09Z", "service": "orders", "kind": "no_replica", "summary": "x\u202e",
         "owner": None, "orders_open": 12}, when)  # fmt: skip
    assert tuple(incident[name] for name in ("since", "kind", "what", "owner", "orders")) == (
        "22 Jul 12:10:09", "no replica", "x", "nobody", "12")  # fmt: skip
    asked = {"requested_at": "2026-07-22T10:10:09Z", "service": "orders", "kind": "scale", "previous": 1,
             "replicas": 2, "verdict": None, "outcome": "under way", "because": None, "error": None,
             "actor": "anna", "reason": "peak"}  # fmt: skip
    assert action_row(asked, when)["what"] == "1 → 2"
    assert action_row(asked, when)["verdict"] == "under way"
