"""The log as the auditor reads it: from its files or through its interface, the same records and times are found."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.operations.audit_log import LogFiles, LogRows, LogThroughInterface
from shop_stack.operations.audit_stores import BookUnreadable

pytestmark = pytest.mark.embedded
TOPIC = "shop.orders"
APPENDED_MS = 1_700_000_000_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog(tmp_path / "log", clock=lambda: APPENDED_MS / 1000) as opened:
        yield opened


def values(log: LogRows, topic: str, end: int | None = None) -> list[tuple[int, int, bytes]]:
    """Partition, position and value of all records below `end`."""
    found = []
    starts, ends = log.starts(topic), log.ends(topic)
    for partition, start in starts.items():
        for chunk in log.chunks(topic, partition, start, ends[partition] if end is None else end):
            found += [(partition, *row) for row in zip(chunk.positions, chunk.one_by_one(), strict=True)]
    return found


def test_both_ways_lead_to_the_same_records(log: EmbeddedLog, tmp_path: Path) -> None:
    log.append(TOPIC, [Record(f"k{number}", b"%d" % number) for number in range(300)])
    with closing(log.subscribe("readers", [TOPIC])) as consumer:
        consumer.poll()
        where = next(iter(consumer.assignment()))
        consumer.commit({where: 3})
    with closing(LogFiles(tmp_path / "log")) as files:
        through = LogThroughInterface(log, owned=False)
        assert sorted(value for *_, value in values(files, TOPIC)) == sorted(b"%d" % n for n in range(300))
        assert values(files, TOPIC) == values(through, TOPIC)
        assert values(files, TOPIC, 5) == values(through, TOPIC, 5) != values(files, TOPIC)
        assert values(files, "shop.payments") == values(through, "shop.payments") == []
        assert files.committed("readers") == through.committed("readers") == {TOPIC: {where[1]: 3}}
        for reader in (files, through):
            assert abs((reader.appended_ms(TOPIC, where[1], 0) or 0) - APPENDED_MS) <= 1
        through.close()
    assert log.ends(TOPIC), "a log that is not owned stays open"


def test_records_that_are_gone_have_no_time_and_leave_nothing(log: EmbeddedLog, tmp_path: Path) -> None:
    log.append(TOPIC, [Record("k", b"1")])
    with closing(LogFiles(tmp_path / "log")) as files:
        assert files.appended_ms(TOPIC, 0, 10_000) is None
        assert list(files.chunks(TOPIC, 0, 10_000, 10_001)) == []


def test_a_topic_that_cannot_be_read_is_named(log: EmbeddedLog, tmp_path: Path) -> None:
    log.append(TOPIC, [Record("k", b"1")])
    log.close()
    path = tmp_path / "log" / "topics" / f"{TOPIC}.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    with closing(LogFiles(tmp_path / "log")) as files:
        with pytest.raises(BookUnreadable, match=r"shop\.orders"):
            files.appended_ms(TOPIC, 0, 0)
