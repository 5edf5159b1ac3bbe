"""Dead letters in words: old answers, many reasons, outcomes, and a replay among the actions."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from console.rows import actions, dead_letters, incidents, plain
from console.rows.dead_letters import Letters
from shop_stack.operations.model import ActionView, IncidentView, ReplayPreview
from tests.screens.fake_dead_letters import letter

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DONE = ActionView(
    action_id="a", kind="replay", service="orders", group="", actor="anna", reason="mended", state="applied",
    requested_at=NOW, applied_at=NOW, error=None, replicas=None, previous=None, expected=None, before=None, after=None,
    verdict=None, because="2 succeeded; 6 events had their effect", measure_until=None,
)  # fmt: skip


def preview(reasons: dict[str, int], left_out: int = 0) -> ReplayPreview:
    return ReplayPreview(dead_letters=sum(reasons.values()), events_behind=1, by_reason=reasons, by_service={},
                         quarantined_left_out=left_out)  # fmt: skip


def test_the_title_says_old_answers_none_yet_and_none() -> None:
    since = NOW - timedelta(seconds=12)
    assert plain(dead_letters.title(Letters(), NOW)) == "asking the services…"
    assert plain(dead_letters.title(Letters(trouble="no answer"), NOW)) == "dead letters: no answer"
    assert plain(dead_letters.title(Letters([], since, "no answer"), NOW)) == "STALE: 12 s old: no answer"
    assert "every event was handled" in plain(dead_letters.title(Letters([], NOW), NOW))
    assert plain(dead_letters.title(Letters([letter(1, events_behind=1)], NOW), NOW)).startswith(
        "1 dead letter; 1 event"
    )


def test_an_old_list_is_dimmed() -> None:
    fresh, old = (dead_letters.rows(Letters([letter(1)], NOW, trouble), 79, NOW)[0] for trouble in ("", "no answer"))
    assert {span.tone for span in old.line} == {"dim"}
    assert {span.tone for span in fresh.line} > {"dim"}


def test_a_dry_run_names_the_most_frequent_reasons_and_counts_the_rest() -> None:
    lines = [plain(line) for line in dead_letters.dry_run(preview({f"E{n}": n for n in range(1, 8)}, left_out=2), 72)]
    assert lines[0] == "Dry run: 28 dead letters, 1 event behind"
    assert [line.split()[0] for line in lines[1:5]] == ["E7", "E6", "E5", "E4"]
    assert lines[1].count("█") > lines[4].count("█") > 0
    assert lines[5] == "and 3 more reasons"
    assert lines[6].startswith("2 quarantined left out")
    assert len(lines) <= 7
    assert max(map(len, lines)) <= 72


@pytest.mark.parametrize(
    ("changes", "words", "tone"),
    [
        ({}, "replayed: 2 succeeded; 6 events had their effect", "ok"),
        ({"because": "1 succeeded, 1 failed; 1 events had their effect; 1 x KeyError: 'x'"}, "1 failed", "warn"),
        ({"state": "requested", "because": None}, "replaying…", "warn"),
        ({"state": "failed", "error": "orders does not answer"}, "broke off: orders does not answer", "bad"),
    ],
)
def test_what_came_of_a_replay_is_a_sentence(changes: dict[str, str], words: str, tone: str) -> None:
    said, how = dead_letters.outcome(msgspec.structs.replace(DONE, **changes))
    assert words in said
    assert how == tone


def test_a_replay_is_told_among_the_actions() -> None:
    assert actions.news(None, DONE) == ("replay orders: 2 succeeded; 6 events had their effect", "ok")


def test_only_an_open_incident_of_a_stopped_aggregate_leads_to_dead_letters() -> None:
    stopped = IncidentView(incident_id="i", kind="stopped_aggregate", service="orders", summary="orders stopped o-1",
                           opened_at=NOW, resolved_at=None, acknowledged_by=None)  # fmt: skip
    assert "x: its dead letters" in plain(incidents.explain(stopped, NOW, "anna")[1])
    others = {"kind": "crash_loop"}, {"resolved_at": NOW}
    for change in others:
        assert "x" not in plain(incidents.explain(msgspec.structs.replace(stopped, **change), NOW, "anna")[1])
