"""What every event log does for consumers that share work: shares, rebalances, fencing, resuming."""

import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shop_stack.errors import Fenced
from shop_stack.eventlog.interface import Consumer, Record
from tests.contracts.event_log_places import Place, drain, positions_after, settle

BOTH = [pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("kafka", marks=pytest.mark.real)]


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kafka = request.param == "kafka"
    address = f"kafka:{request.getfixturevalue('kafka_broker').address}" if kafka else f"embedded:{tmp_path / 'log'}"
    found = Place.at(address)
    yield found
    found.close()


class Told:
    """What a process prints, gathered as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        threading.Thread(target=self._gather, daemon=True).start()

    def _gather(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # whoever is killed while it prints tells half a line
                self.lines.append(line.strip())

    def values(self) -> list[str]:
        return [line.split(" ", 3)[3] for line in self.lines if line.startswith("got ")]

    def positions(self) -> list[tuple[int, int]]:
        return [(int(line.split(" ")[1]), int(line.split(" ")[2])) for line in self.lines if line.startswith("got ")]

    def answer(self) -> None:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)


def until(condition: Callable[[], bool], within_s: float = 20.0) -> float:
    """Wait for a condition; the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within_s, "not within the time"
        time.sleep(0.02)
    return time.monotonic() - begun


def numbered(start: int, count: int) -> list[Record]:
    return [Record(f"key-{i}", str(i).encode()) for i in range(start, start + count)]


def test_members_share_the_partitions_and_each_record_goes_to_one(place: Place) -> None:
    first = place.open().subscribe(place.group, [place.topic.name])
    second = place.open().subscribe(place.group, [place.topic.name])
    settle([first, second], 6)
    assert len(first.assignment()) == len(second.assignment()) == 3
    place.open().append(place.topic.name, numbered(0, 200))
    found = drain([first, second], lambda found: len(found) >= 200)
    assert sorted(int(record.value) for record in found) == list(range(200))


def test_groups_do_not_disturb_each_other(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    log.append(topic, numbered(0, 20))
    ours, theirs = log.subscribe(place.group, [topic]), log.subscribe(f"{place.group}-other", [topic])
    assert len(drain([ours], lambda found: len(found) >= 20)) == 20
    assert len(drain([theirs], lambda found: len(found) >= 20)) == 20


def test_resumes_from_the_committed_positions(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    log.append(topic, [Record("one", str(i).encode()) for i in range(100)])
    consumer = log.subscribe(place.group, [topic])
    found = drain([consumer], lambda found: len(found) == 100, commit=False)
    consumer.commit(positions_after(found[:60]))
    consumer.close()
    again = place.open().subscribe(place.group, [topic])
    resumed = drain([again], lambda found: len(found) >= 40)
    assert [int(record.value) for record in resumed] == list(range(60, 100))
    assert place.open().committed(place.group)[topic, found[0].partition] == 100


def test_a_member_that_leaves_hands_over_at_once(place: Place) -> None:
    topic = place.topic.name
    first = place.open().subscribe(place.group, [topic])
    second = place.open().subscribe(place.group, [topic])
    settle([first, second], 6)
    first.close()
    settle([second], 6)
    place.open().append(topic, numbered(0, 30))
    assert len(drain([second], lambda found: len(found) >= 30)) == 30


def evenly_shared(first: Consumer, second: Consumer) -> bool:
    """Whether each has half of the six, and the group has settled with that."""
    return len(first.assignment()) == 3 == len(second.assignment()) and first.ready() and second.ready()


def test_a_member_that_lost_a_partition_cannot_commit_it(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    first = log.subscribe(place.group, [topic])
    settle([first], 6)
    log.append(topic, numbered(0, 60))
    held = drain([first], lambda found: len(found) == 60, commit=False)
    second = place.open().subscribe(place.group, [topic])
    again = drain([first, second], lambda _: evenly_shared(first, second), commit=False)
    with pytest.raises(Fenced, match="moved to another member"):
        first.commit(positions_after(held))
    committed = place.open().committed(place.group)
    kept, lost = first.assignment(), second.assignment()
    after = positions_after(held)
    assert {p: committed.get(p) for p in kept} == {p: after[p] for p in kept}
    assert not any(committed.get(p, 0) for p in lost)
    again += drain([second], lambda found: len(positions_after(again + found).keys() & lost) == 3)
    repeated = {(r.topic, r.partition, r.position) for r in again}
    assert {(r.topic, r.partition, r.position) for r in held if (r.topic, r.partition) in lost} <= repeated


def test_a_killed_members_partitions_are_taken_over_and_nothing_is_lost(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    told = [Told(place.run("consume", place.group)) for _ in range(2)]
    until(lambda: all("ready" in one.lines for one in told))
    log.append(topic, numbered(0, 120))
    until(lambda: len({*told[0].values(), *told[1].values()}) == 120)
    told[0].process.kill()
    log.append(topic, numbered(120, 120))
    taken_s = until(lambda: len({*told[0].values(), *told[1].values()}) == 240)
    assert taken_s < (2.0 if place.embedded else 8.5)
    log.append(topic, numbered(240, 60))
    until(lambda: len({*told[0].values(), *told[1].values()}) == 300)


def test_nothing_is_lost_while_members_come_go_and_die(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    told = [Told(place.run("consume", place.group))]
    until(lambda: "ready" in told[0].lines)
    steps = 4 if place.embedded else 2
    for step in range(steps):
        log.append(topic, numbered(step * 200, 100))
        told.append(Told(place.run("consume", place.group)))
        until(lambda: "ready" in told[-1].lines)
        log.append(topic, numbered(step * 200 + 100, 100))
        told[step].process.kill()
    until(lambda: len({value for one in told for value in one.values()}) == steps * 200)
    for one in told:
        by_partition: dict[int, list[int]] = defaultdict(list)
        for partition, position in one.positions():
            by_partition[partition].append(position)
        assert all(positions == sorted(positions) for positions in by_partition.values())


def test_a_member_that_hangs_is_replaced_and_fenced(place: Place) -> None:
    log, topic = place.open(), place.topic.name
    hung = Told(place.run("patient", place.group))
    until(lambda: "ready" in hung.lines)
    log.append(topic, numbered(0, 60))
    until(lambda: "holding" in hung.lines)
    hung.process.send_signal(signal.SIGSTOP)
    other = log.subscribe(place.group, [topic])
    found = drain([other], lambda found: len({record.value for record in found}) == 60)
    assert len(found) == 60
    before = place.open().committed(place.group)
    hung.process.send_signal(signal.SIGCONT)
    hung.answer()
    until(lambda: "fenced" in hung.lines)
    assert "committed" not in hung.lines
    assert place.open().committed(place.group) == before
