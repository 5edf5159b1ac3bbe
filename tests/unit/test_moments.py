"""An earlier moment as a person types it: spans, times of day and ISO times, each in the business time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from analytics.moments import Refused, read

pytestmark = pytest.mark.pure
ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 7, 22, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-2h", "2026-07-22T10:00"),
        ("-90m", "2026-07-22T10:30"),
        ("−5min", "2026-07-22T11:55"),
        ("-1d 2h30m", "2026-07-21T09:30"),
        (" -1d ", "2026-07-21T12:00"),
        ("14:00", "2026-07-22T12:00"),
        ("9:30", "2026-07-22T07:30"),
        ("14:01", "2026-07-21T12:01"),
        ("2026-07-21", "2026-07-20T22:00"),
        ("2026-07-21 09:30", "2026-07-21T07:30"),
        ("2026-07-21T09:30Z", "2026-07-21T09:30"),
        ("2026-07-21 09:30:59+01:00", "2026-07-21T08:30"),
    ],
)
def test_what_is_typed_is_a_whole_minute(text: str, wanted: str) -> None:
    assert read(text, [], NOW, ZONE) == datetime.fromisoformat(wanted).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "-", "2h", "-h", "-0x5m", "24:00", "9.30", "-999999d", "now\x1b[2J"])
def test_what_is_no_time_is_refused_in_a_sentence(text: str) -> None:
    refused = read(text, [], NOW, ZONE)
    assert isinstance(refused, Refused)
    assert refused.why.endswith("is not a time such as 2026-07-22T11:00Z")


def test_a_time_of_day_that_came_twice_or_never_is_still_in_the_past() -> None:
    back, forth = datetime(2026, 10, 25, 1, 10, tzinfo=UTC), datetime(2026, 3, 29, 1, 10, tzinfo=UTC)
    assert read("02:30", [], back, ZONE) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "summer time's"
    for now in (back, forth):
        found = read("02:30", [], now, ZONE)
        assert isinstance(found, datetime)
        assert found <= now
