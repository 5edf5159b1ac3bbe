"""One topic's records in one SQLite file, each partition gapless from its start."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from shop_stack.eventlog.embedded.database import SharedDatabase
from shop_stack.eventlog.embedded.stretches import read_lines
from shop_stack.eventlog.interface import Placed, Record, StoredRecord, Stretch, check_position

# A record's id is partition << 48 | position: one b-tree, each partition a contiguous range of it.
_SHIFT = 48
_POSITION = (1 << _SHIFT) - 1
READ_BYTES = 8 * 1024 * 1024
_REMOVE_AT_ONCE = 5000
_NOTE = 8  # bytes of a noted end
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, key TEXT, value BLOB NOT NULL, headers TEXT, appended_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS starts (partition INTEGER PRIMARY KEY, start INTEGER NOT NULL)
"""
_APPEND = "INSERT INTO records (id, key, value, headers, appended_ms) VALUES (?, ?, ?, ?, ?)"
_READ = "SELECT id, key, value, headers, appended_ms FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
_LAST = "SELECT id FROM records WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
_encode_headers = msgspec.json.Encoder().encode
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


class TopicFile:
    """A topic of `partitions` partitions. Raises LogUnavailable when the file cannot be read or written.

    Beside it `<file>.ends` notes how far each partition has reached: SQLite drops a torn tail without a word. The note
    is not forced to disk, so it may lie behind after a power cut, and never claims what was not there.
    """

    def __init__(self, path: Path, name: str, partitions: int) -> None:
        self.name = name
        self.partitions = partitions
        self._database = SharedDatabase(path, _SCHEMA, synchronous="FULL")
        self._notes_path = path.with_name(path.name + ".ends")
        self._notes: int | None = None

    def append(self, records: Sequence[Record], partitions: Sequence[int], now_ms: int) -> list[Placed]:
        """Store each record at the end of the partition given for it, all in one transaction."""
        placed: list[Placed] = []
        rows: list[tuple[object, ...]] = []
        ends: dict[int, int] = {}
        with self._database.write(lambda: self._note(ends)) as connection:
            for record, partition in zip(records, partitions, strict=True):
                if partition not in ends:
                    ends[partition] = _end(connection.execute, partition)
                position = ends[partition]
                ends[partition] = position + 1
                headers = _encode_headers(record.headers).decode() if record.headers else None
                rows.append((partition << _SHIFT | position, record.key, record.value, headers, now_ms))
                placed.append(Placed(self.name, partition, position))
            connection.executemany(_APPEND, rows)
        return placed

    def read(self, partition: int, position: int, max_records: int) -> list[StoredRecord]:
        """Records from `position` on, at most 8 MiB of values (but one at least).

        Raises PositionPastEnd and PositionBelowStart.
        """
        rows = self.fetch(partition, position, max_records)
        if not rows or rows[0].position != position:
            check_position((self.name, partition), position, self.starts()[partition], self.end(partition))
        return rows

    def fetch(self, partition: int, position: int, max_records: int) -> list[StoredRecord]:
        """Like `read`, for a position that is known to be within the partition."""
        bounds = (partition << _SHIFT | position, (partition + 1) << _SHIFT, max_records)
        rows = self._database.read_until(_READ, bounds, READ_BYTES, size_column=2)
        name = self.name
        return [
            StoredRecord(name, partition, row[0] & _POSITION, row[1], row[2],
                         _decode_headers(row[3]) if row[3] else {}, row[4])
            for row in rows
        ]  # fmt: skip

    def read_lines(self, partition: int, position: int, max_records: int) -> Stretch:
        """Like `read`, with the values as one text."""
        found = read_lines(self._database, partition << _SHIFT | position, max_records, READ_BYTES)
        if not found.records:
            check_position((self.name, partition), position, self.starts()[partition], self.end(partition))
        return Stretch(self.name, partition, range(position, position + found.records), found.text)

    def end(self, partition: int) -> int:
        """The position after the last record."""
        return _end(self._database.read, partition)

    def ends(self) -> list[int]:
        return [self.end(partition) for partition in range(self.partitions)]

    def noted_ends(self) -> list[int]:
        """How far each partition had reached by the note beside the file; 0 where there is none."""
        try:
            noted = self._notes_path.read_bytes()
        except FileNotFoundError:
            noted = b""
        noted = noted[: self.partitions * _NOTE].ljust(self.partitions * _NOTE, b"\0")
        return [int.from_bytes(noted[at : at + _NOTE]) for at in range(0, len(noted), _NOTE)]

    def starts(self) -> list[int]:
        """The first position kept of each partition."""
        known = dict(self._database.read("SELECT partition, start FROM starts"))
        return [int(known.get(partition, 0)) for partition in range(self.partitions)]

    def version(self) -> int:
        """Changes whenever records were appended by another connection."""
        return self._database.version()

    def remove_before(self, cutoff_ms: int) -> int:
        """Remove the records at each partition's front that were appended before `cutoff_ms`; how many."""
        removed = 0
        for partition, start in enumerate(self.starts()):
            keep_from = self._first_since(partition, start, cutoff_ms)
            for begin in range(start, keep_from, _REMOVE_AT_ONCE):
                self._remove(partition, begin, min(begin + _REMOVE_AT_ONCE, keep_from))
            removed += max(0, keep_from - start)
        return removed

    def close(self) -> None:
        self._database.close()
        if self._notes is not None:
            os.close(self._notes)
            self._notes = None

    def _note(self, ends: Mapping[int, int]) -> None:
        """Note new ends; only what holds the writers' lock calls this."""
        with suppress(OSError):  # the records are stored; a note that lies behind claims too little, no more
            if self._notes is None:
                self._notes = os.open(self._notes_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for partition, end in ends.items():
                os.pwrite(self._notes, end.to_bytes(_NOTE), partition * _NOTE)

    def _first_since(self, partition: int, low: int, cutoff_ms: int) -> int:
        """The first position appended at `cutoff_ms` or later, by bisection: positions are gapless."""
        high = self.end(partition)
        while low < high:
            middle = (low + high) // 2
            found = self._database.read("SELECT appended_ms FROM records WHERE id = ?", (partition << _SHIFT | middle,))
            if found and found[0][0] >= cutoff_ms:
                high = middle
            else:
                low = middle + 1
        return low

    def _remove(self, partition: int, begin: int, end: int) -> None:
        with self._database.write() as connection:
            bounds = (partition << _SHIFT | begin, partition << _SHIFT | end)
            connection.execute("DELETE FROM records WHERE id >= ? AND id < ?", bounds)
            connection.execute("INSERT OR REPLACE INTO starts (partition, start) VALUES (?, ?)", (partition, end))


def _end(query: Callable[[str, Sequence[object]], Iterable[Any]], partition: int) -> int:
    for (last,) in query(_LAST, (partition << _SHIFT, (partition + 1) << _SHIFT)):
        return (int(last) & _POSITION) + 1
    for (start,) in query("SELECT start FROM starts WHERE partition = ?", (partition,)):
        return int(start)
    return 0
