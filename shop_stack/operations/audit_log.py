"""The log as the auditor reads it: the embedded one from its files, read-only; any other through its interface."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote

from shop_stack.eventlog.interface import EventLog
from shop_stack.events.topics import TOPICS
from shop_stack.operations.audit_books import BookUnreadable
from shop_stack.operations.audit_columns import Reading, Records
from shop_stack.operations.audit_stores import open_store

_AT_ONCE = 4000
_SHIFT = 48  # of the embedded log's record ids: partition << 48 | position
_POSITION = (1 << _SHIFT) - 1

_IDS = "SELECT id FROM records WHERE id > ? AND id <= ? ORDER BY id"
_VALUES = "SELECT value FROM records WHERE id > ? AND id <= ? ORDER BY id"
# Joined where they lie: a row each costs twice as much.
_LINES = (
    "SELECT count(*), min(id), max(id), CAST(group_concat(value, char(10)) AS BLOB) "
    "FROM (SELECT id, value FROM records WHERE id > ? AND id < ? ORDER BY id LIMIT ?)"
)

Positions = dict[str, dict[int, int]]
"""A position by topic and partition."""


class Chunk(NamedTuple):
    """Some records of one partition, by position: their values joined by line feeds, and a way to each by itself."""

    positions: Sequence[int]
    lines: bytes
    one_by_one: Callable[[], list[bytes]]


class LogRows(Protocol):
    """A log to be audited; nothing here changes it. Raises BookUnreadable or LogUnavailable."""

    def starts(self, topic: str) -> dict[int, int]:
        """The first position kept of each partition."""

    def ends(self, topic: str) -> dict[int, int]:
        """The position after the last record of each partition."""

    def committed(self, group: str) -> Positions:
        """A group's committed positions."""

    def appended_ms(self, topic: str, partition: int, position: int) -> int | None:
        """When a record was appended, milliseconds since 1970; None when it is not there."""

    def chunks(self, topic: str, partition: int, start: int, end: int) -> Iterator[Chunk]:
        """The records from `start` up to `end`, in order."""

    def close(self) -> None: ...


class LogFiles:
    """The embedded log's files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._topics: dict[str, sqlite3.Connection] = {}

    def starts(self, topic: str) -> dict[int, int]:
        found = {row[0]: row[1] for row in self._ask(topic, "starts", "SELECT partition, start FROM starts")}
        return {partition: found.get(partition, 0) for partition in range(TOPICS[topic].partitions)}

    def ends(self, topic: str) -> dict[int, int]:
        """Those of now: the connection's snapshot moves on."""
        if topic in self._topics:
            self._topics.pop(topic).close()
        starts = self.starts(topic)
        sql = "SELECT max(id) FROM records WHERE id >= ? AND id < ?"
        ends = {}
        for partition, start in starts.items():
            last = self._ask(topic, "records", sql, (partition << _SHIFT, (partition + 1) << _SHIFT))
            ends[partition] = (last[0][0] & _POSITION) + 1 if last and last[0][0] is not None else start
        return ends

    def committed(self, group: str) -> Positions:
        path = self._folder / "groups" / quote(group, safe="") / "group.db"
        positions: Positions = {}
        if path.exists():
            connection = open_store(path)
            for topic, partition, position in connection.execute("SELECT topic, partition, position FROM positions"):
                positions.setdefault(topic, {})[partition] = position
            connection.close()
        return positions

    def appended_ms(self, topic: str, partition: int, position: int) -> int | None:
        sql = "SELECT appended_ms FROM records WHERE id = ?"
        found = self._ask(topic, "records", sql, (partition << _SHIFT | position,))
        return int(found[0][0]) if found else None

    def chunks(self, topic: str, partition: int, start: int, end: int) -> Iterator[Chunk]:
        connection = self._connection(topic)
        last, stop = (partition << _SHIFT) + start - 1, (partition << _SHIFT) + end
        while last + 1 < stop:
            number, first, newest, lines = connection.execute(_LINES, (last, stop, _AT_ONCE)).fetchone()
            if not number:
                return
            values = partial(self._values, topic, last, newest)
            positions: Sequence[int] = range(first & _POSITION, (newest & _POSITION) + 1)
            if newest - first + 1 != number:
                positions = [row[0] & _POSITION for row in self._ask(topic, "records", _IDS, (last, newest))]
            yield Chunk(positions, lines, values)
            last = newest

    def _values(self, topic: str, last: int, newest: int) -> list[bytes]:
        return [value for (value,) in self._connection(topic).execute(_VALUES, (last, newest))]

    def close(self) -> None:
        for connection in self._topics.values():
            connection.close()
        self._topics.clear()

    def _connection(self, topic: str) -> sqlite3.Connection:
        if topic not in self._topics:
            self._topics[topic] = open_store(self._folder / "topics" / f"{topic}.db")
        return self._topics[topic]

    def _ask(self, topic: str, table: str, sql: str, values: Sequence[object] = ()) -> list[tuple[int, ...]]:
        connection = self._connection(topic)
        try:
            there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            return connection.execute(sql, values).fetchall() if there else []
        except sqlite3.Error as error:
            raise BookUnreadable(f"the log's topic {topic} cannot be audited: {error}; look at its file") from error


class LogThroughInterface:
    """Any event log, read as its other readers do."""

    def __init__(self, log: EventLog, owned: bool = True) -> None:
        """`owned`: closing this closes the log."""
        self._log = log
        self._owned = owned

    def starts(self, topic: str) -> dict[int, int]:
        return dict(enumerate(self._log.starts(topic)))

    def ends(self, topic: str) -> dict[int, int]:
        return dict(enumerate(self._log.ends(topic)))

    def committed(self, group: str) -> Positions:
        positions: Positions = {}
        for (topic, partition), position in self._log.committed(group).items():
            positions.setdefault(topic, {})[partition] = position
        return positions

    def appended_ms(self, topic: str, partition: int, position: int) -> int | None:
        found = self._log.read(topic, partition, position, 1)
        return found[0].appended_ms if found else None

    def chunks(self, topic: str, partition: int, start: int, end: int) -> Iterator[Chunk]:
        position = start
        while position < end and (records := self._log.read(topic, partition, position, _AT_ONCE)):
            below = [record for record in records if record.position < end]
            values = [record.value for record in below]
            yield Chunk([record.position for record in below], b"\n".join(values), partial(list, values))
            position = records[-1].position + 1

    def close(self) -> None:
        if self._owned:
            self._log.close()


def read_topic(log: LogRows, topic: str, ends: dict[int, int]) -> Records:
    """All records of a topic that lie before `ends`."""
    reading = Reading(topic)
    for partition, start in sorted(log.starts(topic).items()):
        for chunk in log.chunks(topic, partition, start, ends.get(partition, start)):
            reading.add(partition, chunk.positions, chunk.lines, chunk.one_by_one)
    return reading.records()
