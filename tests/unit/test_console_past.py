"""The console's rows of an earlier minute: which minute is told, what was beyond its objective, and safe text."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from console import actions as registry
from console.past import Past
from console.rows import past, past_records, plain
from console.screens.frame import past_key_line
from tests.screens import fake_questions
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_operations import service

pytestmark = pytest.mark.pure
AT = datetime(2026, 7, 22, 10, 20, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")


def past_of(**changes: Any) -> Past:
    """What fake_questions tells of AT, with changes."""
    query = {"at": AT.isoformat()}
    names = {"vitals": "vital_signs", "services": "service_minutes", "groups": "lag_by_group",
             "partitions": "lag_by_partition", "replicas": "replicas", "incidents": "incidents",
             "actions": "operator_actions", "topics": "events_by_topic_by_minute"}  # fmt: skip
    return Past(AT, **{**{name: fake_questions.rows(asked, query) for name, asked in names.items()}, **changes})


def minute(ago: int, **changes: Any) -> dict[str, Any]:
    """A minute of orders that began so many minutes before AT."""
    row = {"minute": fake_questions.iso(AT - timedelta(minutes=ago)), "service": "orders", "origin": "live",
           "requests_per_minute": 60.0 * ago, "error_rate": 0.0, "p95_ms": 20.0, "ready": 1, "lag": 0,
           "cpu_cores": 0.1}  # fmt: skip
    return row | changes


def orders_then(*minutes: dict[str, Any], known: bool = True) -> past.ServiceThen | None:
    """Orders as it is told from these minutes alone."""
    found = past.services_then(past_of(services=list(minutes), groups=[]), [service("orders")] if known else [])
    return found[0] if found else None


def test_the_last_minute_within_five_is_told_and_the_hour_before_it_is_drawn() -> None:
    one = orders_then(minute(2), minute(1))
    assert one is not None
    assert (one.rate, one.minute, one.wanted) == (1.0, AT - timedelta(minutes=1), 1)
    assert one.rates == (*[0.0] * 58, 2.0, 1.0)
    late = orders_then(minute(5))
    assert late is not None
    assert late.wanted is None, "of another minute than the replicas"
    assert "orders in the minute from 12:15" in plain(past.why_then(late, AT, "GBP", ZONE)[0])
    assert orders_then(minute(6)) is None


def test_what_was_measured_counts_before_what_was_made_up() -> None:
    made_up = minute(1, origin="simulated", requests_per_minute=999.0, ready=None)
    one = orders_then(minute(1), made_up)
    assert one is not None
    assert (one.origin, one.rate) == ("live", 1.0)
    alone = orders_then(made_up)
    assert alone is not None
    assert "(simulated data)" in plain(past.why_then(alone, AT, "GBP", ZONE)[0])
    assert plain(past.table_then([alone], 79)[0].line)[18:24].strip() == "–/1"


@pytest.mark.parametrize(
    ("changes", "said", "mark"),
    [
        ({"p95_ms": 912.0}, "p95 912ms, objective 250ms", "!"),
        ({"error_rate": 0.2}, "errors 20%, objective 1.0%", "!"),
        ({"ready": 0}, "0 of 1 replicas ready", "✖"),
        ({}, "within its objectives", " "),
        ({"p95_ms": None, "requests_per_minute": None, "cpu_cores": None}, "within its objectives", " "),
    ],
)
def test_what_was_beyond_an_objective_is_said_and_marked(changes: dict[str, Any], said: str, mark: str) -> None:
    one = orders_then(minute(1, **changes))
    assert one is not None
    assert said in plain(past.why_then(one, AT, "GBP", ZONE)[0])
    row = plain(past.table_then([one], 79)[0].line)
    assert row[0] == mark
    assert len(row) == len(plain(past.heading_then(79))) == 79
    assert (past.worst_then([one]) is None) == (mark == " ")


def test_a_service_scaled_to_nothing_stands_out_and_one_without_objectives_is_told_too() -> None:
    one = orders_then(minute(1, ready=0, p95_ms=9e9), known=False)
    assert one is not None
    stopped = past.services_then(past_of(services=[minute(1, ready=0)], replicas=[
        {"minute": minute(1)["minute"], "service": "orders", "wanted": 0}]), [])[0]  # fmt: skip
    assert stopped.faults == ["0 of 0 replicas ready"]
    assert plain(past.table_then([stopped], 79)[0].line)[0] == "!"
    assert past.worst_then([stopped]) is stopped


def test_the_banner_names_the_moment_at_every_width() -> None:
    now = AT + timedelta(minutes=25)
    line = plain(past.banner(AT, False, now, ZONE, 78))
    assert line.startswith("LOOKING BACK: as of Wed 22 Jul 2026, 12:20 CEST, 25 min ago")
    assert line.endswith("n: back to now")
    assert len(line) == 78
    assert plain(past.banner(AT, True, now, ZONE, 40)).startswith("LOOKING BACK: as of Wed 22 Jul 2026")


def test_no_service_measured_is_no_good_news() -> None:
    assert "no service was measured" in plain(past.trouble_then([], None, 78))
    assert past.topic_rows(past_of(topics=[]), 78) == []


def test_words_from_data_are_safe_in_every_row() -> None:
    told = past_of()
    rows = [*past_records.action_rows_then(told.actions, ZONE), *past.topic_rows(told, 78),
            *past.replica_minute_rows(told, "payments", ZONE)]  # fmt: skip
    lines = [row.line for row in rows] + past_records.action_story_then(told.actions[0], ZONE)
    text = "\n".join(plain(line) for line in lines)
    assert EXPLOIT not in text
    assert "\x1b" not in text
    assert "[@click=app.scale" in text, "shown as what it is"


def test_a_key_that_does_nothing_then_is_bound_to_the_reason() -> None:
    bound = {binding.key: binding.action for binding in registry.past_bindings()}
    assert bound["s"] == "only_now('scale')"
    assert bound["n,q"] == "now"
    assert not any(action in ("scale", "restart", "mine", "quit") for action in bound.values())
    for width in (40, 78, 158):
        line = plain(past_key_line(width, False))
        assert len(line) <= width
        assert "n now" in line
        assert "? help" in line
