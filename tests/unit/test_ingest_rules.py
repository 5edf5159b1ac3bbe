"""Rules of ingestion and its schedule: lingering by rate, ids that came before, records that are no events."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analytics.batches import decoded, records_at, texts
from analytics.linger import Rate, linger_s
from analytics.marts import MARTS, heeded, to_roll_up
from analytics.repeats import RecentIds, SeenIds
from analytics.schedule import Schedule
from analytics.shares import shares
from shop_stack.eventlog.interface import StoredRecord, Stretch
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


def test_a_bulk_batch_takes_the_same_part_of_what_each_partition_has() -> None:
    taken = shares({"a": 900_000, "b": 90_000, "c": 7}, 10_000)
    assert taken["a"] / taken["b"] == pytest.approx(10, rel=0.01)
    assert taken["c"] == 1
    assert sum(taken.values()) <= 10_000
    assert shares({"a": 6, "b": 4}, 10) == {"a": 6, "b": 4}
    many = shares({number: 1 + number * 1_000 for number in range(300)}, 10_000)
    assert min(many.values()) >= 1
    assert 9_000 < sum(many.values()) <= 10_000


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
    assert [r.position for r in batch.rejected] == list(range(1, 1 + len(bad)))
    assert all(r.reason for r in batch.rejected)


def stretch(*values: bytes) -> Stretch:
    return Stretch("shop.orders", 1, range(7, 7 + len(values)), b"\n".join(values))


def test_lines_become_texts_with_their_places() -> None:
    values = [b'{"a":1}', b"", "ü".encode(), b""]
    table = texts(stretch(*values))
    assert table is not None
    assert [row["value"].removesuffix("\n").encode() for row in table.to_pylist()] == values
    assert [(row["topic"], row["partition"], row["position"]) for row in table.to_pylist()] == [
        ("shop.orders", 1, 7 + n) for n in range(4)
    ]
    assert [(r.position, r.value) for r in records_at([stretch(*values)], [("shop.orders", 1, 9)])] == [(9, values[2])]


@pytest.mark.parametrize("value", [b"\xff\xfe", b'{\n"a":1}', "ü".encode()[:1]], ids=["bytes", "newline", "cut"])
def test_lines_that_are_no_text_or_not_one_a_value_are_refused(value: bytes) -> None:
    assert texts(stretch(b"{}", value, b"{}")) is None


def test_a_sequence_beyond_64_bits_is_rejected() -> None:
    event = b'{"id":"a","source":"/s","type":"t","time":"2026-11-22T12:00:00Z","sequence":%d,"data":1}'
    batch = decoded([record(event % (2**63 - 1)), record(event % 2**63), record(event % 10**30)])
    assert batch.ids == ["a"]
    assert len(batch.rejected) == 2


def test_seen_ids_tell_what_came_before_and_what_comes_twice() -> None:
    seen = SeenIds("", others_before=False)
    generator = np.random.default_rng(5)
    numbers = generator.integers(1, 2**63, 200_000, dtype=np.uint64)
    crowded = (np.arange(1, 2000, dtype=np.uint64) << np.uint64(32)) | np.uint64(3)  # all want one slot
    for start in range(0, len(numbers), 40_000):
        assert seen.add(numbers[start : start + 40_000]) == []
    assert seen.add(crowded) == []
    again = np.concatenate([crowded[5:9], numbers[::50_000], np.array([11, 11, 12, 0], np.uint64)])
    assert seen.add(again) == sorted({*crowded[5:9].tolist(), *numbers[::50_000].tolist(), 11})
    assert seen.add(np.array([12, 13, 0], np.uint64)) == [1, 12]
    assert not seen.full


def test_each_mart_is_filled_when_an_event_came_that_it_heeds() -> None:
    for mart in MARTS:
        for kind in heeded(mart):
            assert mart in to_roll_up({kind})
        assert heeded(mart) or mart in to_roll_up(set())
    of_all = ["order_mentions", "order_places", "event_types", "partition_positions", "topic_minutes"]
    assert to_roll_up({"shop.product.added.v1"}) == ["late_edges", "event_edges", "products", *of_all]
    plain = to_roll_up({"shop.behaviour.product-viewed.v1"})
    assert plain == ["funnel_spans", "cart_visits", "behaviour", *of_all], "what is most fills little"
    assert to_roll_up({kind for mart in MARTS for kind in heeded(mart)}) == list(reversed(MARTS))


def test_the_newest_id_is_known_after_memory_dropped_some() -> None:
    recent = RecentIds(None)
    assert recent.newest == ""
    ids = [uuid7(NOW + timedelta(milliseconds=n)) for n in range(20_002)]
    recent.remember([*ids, "zzz"])
    assert recent.newest == ids[-1]
    recent.forget(uuid7(NOW))
    assert recent.newest > uuid7(NOW - timedelta(seconds=1))


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
