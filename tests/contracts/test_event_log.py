"""What every event log does, held against both: order, keys, positions, bounds, sizes, waiting."""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shop_stack.errors import PositionBelowStart, PositionPastEnd, RecordTooLarge, UnknownTopic
from shop_stack.eventlog.interface import MAX_RECORD_BYTES, Backlog, Record
from shop_stack.eventlog.records import partition_of
from tests.contracts.event_log_places import Place, drain, positions_after, read_all, settle

BOTH = [pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("kafka", marks=pytest.mark.real)]


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kafka = request.param == "kafka"
    address = f"kafka:{request.getfixturevalue('kafka_broker').address}" if kafka else f"embedded:{tmp_path / 'log'}"
    found = Place.at(address)
    yield found
    found.close()


def records(count: int, keys: int = 10, size: int = 0) -> list[Record]:
    return [Record(f"key-{i % keys}", str(i).encode().ljust(size)) for i in range(count)]


def test_records_keep_their_order_and_their_keys_partition(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    for start in range(0, 300, 30):
        log.append(topic, records(300)[start : start + 30])
    by_key: dict[str | None, list[tuple[int, int]]] = defaultdict(list)
    for record in read_all(place.open(), topic):
        by_key[record.key].append((record.partition, int(record.value)))
    assert len(by_key) == 10
    for key, found in by_key.items():
        assert {partition for partition, _ in found} == {partition_of(str(key), 6)}
        numbers = [number for _, number in found]
        assert numbers == sorted(numbers)
        assert len(numbers) == 30


def test_append_says_where_each_record_lies(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    placed = log.append(topic, records(40)) + log.append(topic, records(40))
    stored = {(r.partition, r.position): (r.key, r.value) for r in read_all(log, topic)}
    assert [stored[p.partition, p.position] for p in placed] == [(r.key, r.value) for r in records(40) * 2]
    for partition in range(6):
        positions = [p.position for p in placed if p.partition == partition]
        assert positions == list(range(len(positions)))


def test_records_without_a_key_are_spread(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    log.append(topic, [Record(None, b"x") for _ in range(60)])
    assert all(end > 0 for end in log.ends(topic))
    assert all(record.key is None for record in read_all(log, topic))


def test_headers_and_time_travel_with_a_record(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    before = int(time.time() * 1000)
    log.append(topic, [Record("k", b"\x00\xff", {"traceparent": "00-ab-cd-01", "ü": "é"}), Record("k", b"")])
    first, second = read_all(place.open(), topic)
    assert first.headers == {"traceparent": "00-ab-cd-01", "ü": "é"}
    assert (first.value, second.value, second.headers) == (b"\x00\xff", b"", {})
    assert before - 5 <= first.appended_ms <= int(time.time() * 1000) + 5


def test_threads_may_append_at_once(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    threads = [
        threading.Thread(target=lambda n=n: [log.append(topic, [Record(f"t{n}", str(i).encode())]) for i in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = read_all(log, topic)
    for n in range(4):
        assert [int(r.value) for r in stored if r.key == f"t{n}"] == list(range(50))


def test_a_topic_that_is_not_declared_is_refused(place: Place) -> None:
    log = place.open()
    for use in (
        lambda: log.append("nowhere", records(1)),
        lambda: log.read("nowhere", 0, 0),
        lambda: log.ends("nowhere"),
        lambda: log.subscribe(place.group, ["nowhere"]),
    ):
        with pytest.raises(UnknownTopic, match="nowhere"):
            use()


def test_reading_by_own_positions(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    log.append(topic, [Record("one", str(i).encode()) for i in range(1200)])
    partition = partition_of("one", 6)
    assert [int(r.value) for r in log.read(topic, partition, 100, 50)] == list(range(100, 150))
    assert int(log.read(topic, partition, 7, 1)[0].value) == 7
    assert [r.position for r in log.read(topic, partition, 1199)] == [1199]
    assert log.read(topic, partition, 1200) == []
    log.append(topic, [Record("one", b"1200")])
    assert [int(r.value) for r in log.read(topic, partition, 1200)] == [1200]


def test_reading_much_as_lines_gives_what_reading_gives(place: Place) -> None:
    log, topic, partition = place.open(), place.topic.name, partition_of("one", 6)
    values = [b'{"n":%d}' % n for n in range(1200)] + [b"", "ü\x00".encode(), b"\xff", b""]
    log.append(topic, [Record("one", value) for value in values])
    assert sum(log.ends(topic)) == len(values)
    position, lines = 5, list[bytes]()
    while (found := log.read_lines(topic, partition, position, 500)).positions:
        assert list(found.positions) == list(range(position, position + len(found.positions)))
        assert (found.topic, found.partition) == (topic, partition)
        lines += found.lines.split(b"\n")
        position = found.positions[-1] + 1
    assert lines == values[5:]
    assert len(log.read_lines(topic, partition, 7, 1).positions) == 1
    with pytest.raises(PositionPastEnd, match="lost its tail"):
        log.read_lines(topic, partition, len(values) + 1, 1)


def test_lines_of_a_removed_stretch_are_refused_and_the_rest_kept(place: Place) -> None:
    log, brief = place.open(), place.brief.name
    log.append(brief, [Record("new", b"old")] * 300)
    log.enforce_retention(datetime.now(UTC) + timedelta(days=2))
    log.append(brief, [Record("new", b"new")] * 2)
    partition = partition_of("new", 2)
    with pytest.raises(PositionBelowStart, match="retention"):
        log.read_lines(brief, partition, 299, 500)
    found = place.open().read_lines(brief, partition, 300, 500)
    assert (list(found.positions), found.lines) == ([300, 301], b"new\nnew")


def test_reading_past_the_end_says_that_the_tail_is_lost(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    log.append(topic, [Record("one", b"")])
    with pytest.raises(PositionPastEnd, match="lost its tail"):
        log.read(topic, partition_of("one", 6), 2)


def test_retention_removes_the_old_and_keeps_positions(place: Place) -> None:
    log, brief, kept = place.open(), place.brief.name, place.topic.name
    log.append(brief, [Record(None, b"old") for _ in range(40)])
    log.append(kept, records(10))
    ends = log.ends(brief)
    assert log.enforce_retention(datetime.now(UTC)) == 0
    assert log.enforce_retention(datetime.now(UTC) + timedelta(days=2)) == 40
    assert log.starts(brief) == ends == log.ends(brief)
    assert sum(log.ends(kept)) - sum(log.starts(kept)) == 10
    log.append(brief, [Record("new", b"new")])
    found = read_all(place.open(), brief)
    assert [(r.position, r.value) for r in found] == [(ends[partition_of("new", 2)], b"new")]
    with pytest.raises(PositionBelowStart, match="retention"):
        place.open().read(brief, 0, 0)


def test_a_group_behind_the_start_is_told(place: Place) -> None:
    log, brief = place.open(), place.brief.name
    log.append(brief, [Record(None, b"old") for _ in range(10)])
    consumer = log.subscribe(place.group, [brief])
    drain([consumer], lambda found: len(found) == 10, commit=False)
    consumer.commit({(brief, 0): 1, (brief, 1): 1})
    consumer.close()
    log.enforce_retention(datetime.now(UTC) + timedelta(days=2))
    late = place.open().subscribe(place.group, [brief])
    with pytest.raises(PositionBelowStart, match="retention"):
        drain([late], lambda _: False)


def test_the_largest_record_goes_through(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    value = bytes(range(256)) * (MAX_RECORD_BYTES // 256 - 1)
    log.append(topic, [Record(f"k{i}", value) for i in range(4)])
    assert [r.value == value for r in read_all(place.open(), topic)] == [True] * 4
    consumer = log.subscribe(place.group, [topic])
    assert all(r.value == value for r in drain([consumer], lambda found: len(found) == 4))


def test_a_larger_record_is_refused_and_nothing_of_its_batch_stored(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    batch = [Record("small", b"x"), Record("large", b"x" * (MAX_RECORD_BYTES + 1)), Record("after", b"x")]
    with pytest.raises(RecordTooLarge, match=r"large.*921600"):
        log.append(topic, batch)
    with pytest.raises(RecordTooLarge):
        log.append(topic, [Record("k", b"", {"h": "x" * MAX_RECORD_BYTES})])
    assert sum(log.ends(topic)) == 0


def test_lag_and_ends(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    assert log.ends(topic) == log.starts(topic) == [0] * 6
    log.append(topic, records(90))
    consumer = log.subscribe(place.group, [topic])
    settle([consumer], 6)
    log.append(topic, records(30))
    watcher = place.open()
    assert sum(watcher.ends(topic)) == 120
    assert set(watcher.lag(place.group)) == {(topic, partition) for partition in range(6)}
    drain([consumer], lambda _: sum(watcher.lag(place.group).values()) == 0)
    log.append(topic, records(50))
    assert sum(watcher.lag(place.group).values()) == 50
    assert place.group in watcher.groups()
    assert watcher.lag("nobody") == {}
    assert watcher.committed("nobody") == {}


def test_backlogs_of_all_groups_at_once(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    log.append(topic, [Record("one", str(i).encode()) for i in range(40)])
    groups = [place.group, f"{place.group}-other"]
    ours, theirs = (log.subscribe(group, [topic]) for group in groups)
    settle([ours], 6)
    settle([theirs], 6)
    hot = partition_of("one", 6)
    ours.commit({(topic, hot): 25})
    log.append(topic, [Record("one", b"more")])
    watcher = place.open()
    found = watcher.backlogs()
    assert found[place.group][topic, hot] == Backlog(25, 41)
    assert watcher.read(topic, hot, found[place.group][topic, hot].position, 1)[0].value == b"25"
    for group in groups:
        assert {p: b.records for p, b in found[group].items()} == watcher.lag(group)
        assert {p: b.end for p, b in found[group].items()} == {(topic, n): end for n, end in enumerate(log.ends(topic))}
    assert set(groups) <= set(found)


def test_waiting_ends_with_an_append_or_the_time(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    reader = place.open()
    ends = {(topic, partition): 0 for partition in range(6)}
    assert reader.wait(ends, 0.3) is False
    timer = threading.Timer(0.3, log.append, (topic, [Record("late", b"x")]))
    timer.start()
    assert reader.wait(ends, 10.0) is True
    timer.join()
    partition = partition_of("late", 6)
    assert [r.value for r in reader.read(topic, partition, 0)] == [b"x"]
    assert reader.wait(ends | {(topic, partition): 1}, 0.3) is False
    log.append(topic, [Record("late", b"y")])
    assert reader.wait(ends | {(topic, partition): 1}, 10.0) is True


def test_news_after_waiting_names_the_partitions_that_moved(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    log.append(topic, records(20, keys=2))
    positions = {(topic, number): 0 for number in range(log.partitions(topic))}
    news = log.news(positions)
    assert news == {(topic, number): end for number, end in enumerate(log.ends(topic)) if end}
    for partition, end in news.items():
        while positions[partition] < end:
            positions[partition] = log.read(*partition, positions[partition])[-1].position + 1
    assert log.news(positions) == {}
    placed = place.open().append(topic, [Record("key-1", b"")])[0]
    assert log.wait(positions, 10.0)
    assert log.news(positions) == {(topic, placed.partition): placed.position + 1}


def test_wake_ends_a_waiting_poll(place: Place) -> None:
    consumer = place.open().subscribe(place.group, [place.topic.name])
    settle([consumer], 6)
    timer = threading.Timer(0.2, consumer.wake)
    begun = time.monotonic()
    timer.start()
    assert consumer.poll(timeout_s=15.0) == []
    assert time.monotonic() - begun < 5


def test_a_waiting_consumer_wakes_soon_after_an_append(place: Place) -> None:
    writer = place.run("stamp", 40, 0.02)
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == "ready\n"
    consumer = place.open().subscribe(place.group, [place.topic.name])
    drain([consumer], lambda found: len(found) == 1)
    print(file=writer.stdin, flush=True)
    delays: list[float] = []
    deadline = time.monotonic() + 20
    while len(delays) < 40 and time.monotonic() < deadline:
        found = consumer.poll(timeout_s=1.0)
        delays += [(time.monotonic_ns() - int(record.value)) / 1e6 for record in found]
        if found:
            consumer.commit(positions_after(found))
    assert len(delays) == 40
    assert statistics.median(delays) < (20 if place.embedded else 150)


def test_four_writers_get_fair_shares(place: Place) -> None:
    writers = [place.run("append", f"w{number}", 5.0) for number in range(4)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        print(file=writer.stdin, flush=True)
    counts = [int(writer.communicate(timeout=30)[0]) for writer in writers]
    fair = sum(counts) / 4
    assert all(0.6 * fair <= count <= 1.4 * fair for count in counts), counts
    stored = read_all(place.open(), place.topic.name)
    assert len({(r.partition, r.position) for r in stored}) == sum(counts) + 4
