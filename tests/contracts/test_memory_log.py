"""The simulation's log keeps the contract where it is not told to break: order, keys, positions, sharing, fencing."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from shop_stack.errors import Fenced, PositionBelowStart, PositionPastEnd, RecordTooLarge, UnknownTopic
from shop_stack.eventlog.interface import MAX_RECORD_BYTES, Record, StoredRecord
from shop_stack.eventlog.records import partition_of
from shop_stack.events.topics import Topic
from shop_stack.trials.memory_log import MemoryLog, Weather
from tests.contracts.event_log_places import positions_after, read_all

pytestmark = pytest.mark.pure
TOPIC, BRIEF = Topic("trial"), Topic("brief", partitions=2, retention_days=1)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog({topic.name: topic for topic in (TOPIC, BRIEF)})


def records(count: int, keys: int = 10) -> list[Record]:
    return [Record(f"key-{i % keys}", str(i).encode()) for i in range(count)]


def test_records_keep_their_order_and_their_keys_partition(log: MemoryLog) -> None:
    placed = log.append("trial", records(300))
    by_key: dict[str | None, list[StoredRecord]] = defaultdict(list)
    for record in read_all(log, "trial"):
        by_key[record.key].append(record)
    assert len(by_key) == 10
    for key, found in by_key.items():
        assert {record.partition for record in found} == {partition_of(str(key), 6)}
        assert [int(record.value) for record in found] == sorted(int(record.value) for record in found)
    assert len({(p.partition, p.position) for p in placed}) == 300


def test_records_without_a_key_are_spread(log: MemoryLog) -> None:
    log.append("trial", [Record(None, b"x") for _ in range(12)])
    assert log.ends("trial") == [2] * 6


def test_bounds_and_refusals(log: MemoryLog) -> None:
    log.append("trial", [Record("one", b"x")])
    with pytest.raises(PositionPastEnd):
        log.read("trial", partition_of("one", 6), 2)
    with pytest.raises(UnknownTopic):
        log.append("nowhere", records(1))
    with pytest.raises(UnknownTopic):
        log.subscribe("group", ["nowhere"])
    with pytest.raises(RecordTooLarge):
        log.append("trial", [Record("small", b""), Record("large", b"x" * (MAX_RECORD_BYTES + 1))])
    assert sum(log.ends("trial")) == 1


def test_retention_removes_the_old_and_keeps_positions() -> None:
    seconds = 0.0
    log = MemoryLog({"brief": BRIEF}, seconds=lambda: seconds)
    log.append("brief", [Record(None, b"old")] * 4)
    now = datetime.fromtimestamp(0, UTC)
    assert log.enforce_retention(now + timedelta(hours=23)) == 0
    assert log.enforce_retention(now + timedelta(hours=25)) == 4
    assert log.starts("brief") == log.ends("brief") == [2, 2]
    with pytest.raises(PositionBelowStart):
        log.read("brief", 0, 1)


def test_lines_are_the_values_of_the_positions(log: MemoryLog) -> None:
    log.append("trial", [Record("one", str(i).encode()) for i in range(5)])
    stretch = log.read_lines("trial", partition_of("one", 6), 1, 3)
    assert (list(stretch.positions), stretch.lines) == ([1, 2, 3], b"1\n2\n3")


def test_a_group_shares_the_partitions_and_resumes_from_its_positions(log: MemoryLog) -> None:
    log.append("trial", records(60, keys=60))
    first, second = log.subscribe("group", ["trial"]), log.subscribe("group", ["trial"])
    found = [first.poll(), second.poll()]
    assert len(found[0]) + len(found[1]) == 60
    assert first.assignment() | second.assignment() == {("trial", number) for number in range(6)}
    assert not first.assignment() & second.assignment()
    first.commit(positions_after(found[0]))
    second.close()
    again = first.poll()
    assert sorted(record.value for record in again) == sorted(record.value for record in found[1])
    first.commit(positions_after(again))
    assert sum(log.lag("group").values()) == 0
    first.close()
    assert log.subscribe("group", ["trial"]).poll() == []


def test_a_member_that_lost_its_partitions_cannot_commit(log: MemoryLog) -> None:
    log.append("trial", records(60, keys=60))
    first = log.subscribe("group", ["trial"])
    found = first.poll()
    first.lose_all()
    with pytest.raises(Fenced):
        first.commit(positions_after(found))
    assert sum(log.lag("group").values()) == 60
    assert {where: one.records for where, one in log.backlogs()["group"].items()} == log.lag("group")
    assert len(first.poll()) == 60


def test_a_position_before_where_it_resumed_is_refused(log: MemoryLog) -> None:
    log.append("trial", [Record("one", str(i).encode()) for i in range(10)])
    where = ("trial", partition_of("one", 6))
    first = log.subscribe("group", ["trial"])
    first.poll()
    log._groups["group"].positions[where] = 8  # another had the partition meanwhile
    first.lose_all()
    assert [record.position for record in first.poll()] == [8, 9]
    with pytest.raises(Fenced):
        first.commit({where: 5})
    assert log.committed("group") == {where: 8}


def test_late_records_hold_up_those_behind_them_and_no_other_partition() -> None:
    class Slow(Weather):
        late = 0.0

        def late_s(self, topic: str, partition: int) -> float:
            return self.late

    seconds, weather = 0.0, Slow()
    log = MemoryLog({"trial": TOPIC}, seconds=lambda: seconds, weather=weather)
    consumer = log.subscribe("group", ["trial"])
    other = next(f"k{i}" for i in range(99) if partition_of(f"k{i}", 6) != partition_of("one", 6))
    weather.late = 5.0
    log.append("trial", [Record("one", b"late")])
    weather.late = 0.0
    log.append("trial", [Record("one", b"behind"), Record(other, b"else")])
    assert [record.value for record in consumer.poll()] == [b"else"]
    assert consumer.pending_at() == 5.0
    seconds = 5.0
    assert [record.value for record in consumer.poll()] == [b"late", b"behind"]
    assert consumer.pending_at() is None
