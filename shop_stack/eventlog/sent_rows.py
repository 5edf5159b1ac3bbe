"""What outboxes say was sent: their databases, opened from outside while no service runs."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from shop_stack.eventlog.database import Driver

_BUSY_S = 5.0


@dataclass(frozen=True)
class Layout:
    """How an outbox names its columns; `traceparent` and `type` may be SQL for none."""

    id: str
    value: str
    traceparent: str
    type: str


SERVICE = Layout("id", "payload", "traceparent", "type")
OPERATIONS = Layout("event_id", "value", "NULL", "NULL")


class Sent(NamedTuple):
    """A row that is marked as published (when: microseconds since 1970)."""

    ordinal: int
    id: str
    topic: str
    key: str
    published: int


class Unsent(NamedTuple):
    """A row that is to be sent."""

    ordinal: int
    topic: str
    key: str
    value: bytes
    traceparent: str | None
    type: str | None


@dataclass(frozen=True)
class SentRows:
    """The outbox in one SQLite file. Raises sqlite3.Error when the file is none."""

    path: Path
    layout: Layout = SERVICE
    begins: ClassVar[str] = "BEGIN IMMEDIATE"

    @property
    def name(self) -> str:
        """Whose outbox it is."""
        return self.path.stem

    def exists(self) -> bool:
        """Whether the file has an outbox."""
        return bool(self._read("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'outbox'", ()))

    def newest(self, most: int) -> list[Sent]:
        """The rows written last of those that are marked as published."""
        return [Sent._make(row) for row in self._read(f"{self._sent()} ORDER BY ordinal DESC LIMIT ?", (most,))]

    def all_of(self, topic: str) -> Iterator[Sent]:
        """Every row of a topic that is marked as published, in the order written."""
        with self._open() as connection:
            for row in connection.execute(f"{self._sent()} AND topic = ? ORDER BY ordinal", (topic,)):
                yield Sent._make(row)

    def topics(self) -> set[str]:
        """The topics that it has published on."""
        return {topic for (topic,) in self._read("SELECT DISTINCT topic FROM outbox", ())}

    def take_back(self, ordinals: Sequence[int]) -> None:
        """These rows are not published: whoever sends next sends them again."""
        self._write("UPDATE outbox SET published = NULL WHERE ordinal = ?", [(ordinal,) for ordinal in ordinals])

    def unsent(self, after: int, most: int) -> list[Unsent]:
        """Rows that are not marked, in the order written, which is the order within each aggregate."""
        layout = self.layout
        sql = f"SELECT ordinal, topic, key, {layout.value}, {layout.traceparent}, {layout.type} FROM outbox "  # noqa: S608
        where = "WHERE published IS NULL AND ordinal > ? ORDER BY ordinal LIMIT ?"
        return [Unsent._make(row) for row in self._read(sql + where, (after, most))]

    def waiting(self) -> int:
        """How many rows are to be sent or were sent and are not marked yet."""
        return int(self._read("SELECT count(*) FROM outbox WHERE published IS NULL", ())[0][0])

    def mark(self, ordinals: Sequence[int], now: int) -> None:
        """Mark rows as published at `now` (microseconds), after the log's acknowledgement."""
        self._write("UPDATE outbox SET published = ? WHERE ordinal = ?", [(now, ordinal) for ordinal in ordinals])

    def _sent(self) -> str:
        return f"SELECT ordinal, {self.layout.id}, topic, key, published FROM outbox WHERE published IS NOT NULL"  # noqa: S608

    def _read(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._open() as connection:
            return connection.execute(sql, parameters).fetchall()

    def _write(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._open() as connection:
            connection.execute(self.begins)
            connection.executemany(sql, rows)
            connection.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[Driver]:
        """A connection for one statement; closing rolls back what is not committed."""
        connection = sqlite3.connect(f"file:{self.path}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            yield connection
        finally:
            connection.close()
