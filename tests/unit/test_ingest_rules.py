"""Rules of ingestion and its schedule: lingering by rate, ids that came before, records that are no events."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.batches import decoded, texts
from analytics.linger import Rate, linger_s
from analytics.repeats import RecentIds
from analytics.schedule import Schedule
from shop_stack.eventlog.interface import StoredRecord
from shop_stack.ids import uuid7

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def record(value: bytes, position: int = 0) -> StoredRecord:
    return StoredRecord("shop.orders", 1, position, "k", value, {}, 0)


def test_lingering_is_long_when_little_happens_and_short_when_much_does() -> None:
    assert linger_s(0) == 0.25
    assert linger_s(2000) == 0.05
    assert 0.05 < linger_s(400) < 0.25


def test_the_rate_forgets() -> None:
    rate = Rate()
    for second in range(10):
        rate.count(100, float(second))
    assert rate.per_s == pytest.approx(100, rel=0.1)
    for second in range(10, 30):
        rate.count(0, float(second))
    assert rate.per_s < 1


def test_time_ordered_ids_are_known_from_memory_and_others_are_looked_up() -> None:
    old, first, second = (uuid7(NOW + timedelta(seconds=s)) for s in (-9, 1, 2))
    recent = RecentIds(uuid7(NOW))
    assert recent.sort_out([first, second]) == ([], [])
    recent.remember([first, second])
    assert recent.sort_out([first, "not-a-uuid", old]) == ([first], ["not-a-uuid", old])
    assert recent.sort_out([second, second])[0] == [second, second]


def test_an_id_that_memory_dropped_is_looked_up_again() -> None:
    recent = RecentIds(None)
    ids = [uuid7(NOW + timedelta(milliseconds=n)) for n in range(20_002)]
    recent.remember(ids)
    assert recent.sort_out([ids[0], ids[-1]]) == ([ids[-1]], [ids[0]])


def test_what_is_no_event_is_kept_apart_with_its_place_and_reason() -> None:
    good = b'{"id":"a","source":"/s","type":"t","time":"2026-11-22T12:00:00+01:00","data":{"x":1}}'
    bad = [b"{", b"[]", b'{"id":"a"}', b"\xff\xfe", good.replace(b"+01:00", b"")]
    batch = decoded([record(value, n) for n, value in enumerate([good, *bad])])
    assert batch.ids == ["a"]
    row = batch.events.to_pylist()[0]
    assert row["time_us"] == 1_795_345_200_000_000
    assert row["data"] == '{"x":1}'
    assert [(r.position, r.value) for r in batch.rejected] == list(enumerate(bad, start=1))
    assert all(r.reason for r in batch.rejected)


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ValueError):
        texts([record(b"\xff\xfe")])


def test_forecasts_are_due_on_time_and_when_a_history_has_paused() -> None:
    schedule = Schedule(0.0)
    assert schedule.take(1.0) == []
    assert schedule.take(10.0) == ["requests", "sales"]
    assert schedule.take(311.0) == ["requests"]
    schedule.grew(320.0)
    schedule.grew(322.0)
    assert schedule.take(325.0) == []
    assert schedule.take(326.0) == ["requests", "sales"]


def test_a_history_that_does_not_pause_is_not_waited_for_for_ever() -> None:
    schedule = Schedule(0.0)
    schedule.take(10.0)
    for second in range(100, 150):
        schedule.grew(float(second))
    assert schedule.next_at() <= 149.0
