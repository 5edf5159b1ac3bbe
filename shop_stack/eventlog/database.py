"""What delivery needs of a service's store: a session for reading, and write transactions.

Its SQL is written once, in SQLite's words that PostgreSQL knows too; what stands in `/*pg ... */` is for PostgreSQL
alone, where several write at a time and a row that is read to be changed must be locked.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol

from sqlalchemy import MetaData

TABLES = MetaData()
"""The tables that the host adds to every service's own."""

sends_itself: ContextVar[bool] = ContextVar("sends_itself", default=False)
"""Whether this thread sends what it has committed: so do those on which no request waits, and save a hand-over."""


class Cursor(Protocol):
    """What a statement has found or changed."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Any:
        """The next row as a tuple, or None."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Driver(Protocol):
    """A database's own connection: sqlite3's, or PostgreSQL's in the same manner (`?` or `?1` for a value)."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run a statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run a change for each of these rows."""


class Session(Protocol):
    """A thread's connection. The tables of delivery are read and written on the driver: a tenth of Core's cost."""

    @property
    def driver(self) -> Driver:
        """The driver's own connection."""


class Database(Protocol):
    """A service's store."""

    def read(self) -> AbstractContextManager[Session]:
        """A session for reading."""

    def write(self, wait_s: float = ...) -> AbstractContextManager[Session]:
        """A write transaction."""


def marks(values: Iterable[Any]) -> str:
    """Placeholders for a list of values: `?,?,?`."""
    return ",".join("?" for _ in values)
