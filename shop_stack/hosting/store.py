"""A service's own database: one SQLite file, connections kept by each thread, one writer at a time."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.file_lock import FileLock

SCHEMA_VERSION = 2
_STEPS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE stopped_aggregates ADD COLUMN headers TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE stopped_aggregates ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE stopped_aggregates ADD COLUMN replays INTEGER NOT NULL DEFAULT 0",
    )
}
"""What takes a store from one schema to the next; all steps that are missing run in one transaction."""
_BUSY_S = 5.0
_PASSING = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}  # fmt: skip
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-1024",
)


class StoreBusy(ShopfloorError):
    """Another writer held the store for longer than this one may wait; trying again is right."""


class StoreOutdated(ShopfloorError):
    """The store was written by another version of Shopfloor."""


def is_passing(error: BaseException) -> bool:
    """Whether an error says that the store is taken, or its disk full or away, for now: trying again is right."""
    if isinstance(error, OperationalError):
        error = error.orig if isinstance(error.orig, BaseException) else error
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
    return isinstance(error, StoreBusy)


@dataclass
class Kept:
    """What one thread keeps of a store: the Core connection and the driver's own beneath it."""

    connection: Connection
    driver: sqlite3.Connection
    writing: bool = False


class Store:
    """One SQLite file. Each thread keeps one connection in autocommit; a write takes the file's lock first.

    Writers queue at `<file>.lock` (SQLite's own busy handler starves the slowest of several), then BEGIN
    IMMEDIATE. Neither those of this process nor those of others are waited for longer than a writer says.
    """

    def __init__(self, path: Path | None) -> None:
        """`path` None: a database in memory, for one thread alone (the simulation's)."""
        self.path = path if path is not None else Path(":memory:")
        self._in_memory = path is None
        self._engine = _engine(self.path)
        self._lock = FileLock(Path(f"{self.path}.lock"))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._turn = threading.Lock()
        self._mine = threading.local()
        self._all: list[Kept] = []
        self._guard = threading.Lock()

    def kept(self) -> Kept:
        """This thread's connection, opened at its first use (alone: the switch to WAL suffers no company)."""
        kept: Kept | None = getattr(self._mine, "kept", None)
        if kept is None:
            kept = self._mine.kept = self._open()
        return kept

    def prepare(self, *schemas: MetaData) -> None:
        """Bring an older file to this program's schema and create the tables that are missing, in one transaction.

        Raises StoreOutdated when a newer version wrote it.
        """
        with self.write() as kept:
            found = int(kept.driver.execute("PRAGMA user_version").fetchone()[0])
            if found > SCHEMA_VERSION:
                raise StoreOutdated(
                    f"{self.path} has schema {found}, this program writes {SCHEMA_VERSION}; "
                    f"run the version that made it, or start on a new home folder"
                )
            for version in range(found, SCHEMA_VERSION) if found else ():
                for step in _STEPS[version]:
                    kept.driver.execute(step)
            for table in [table for schema in schemas for table in schema.sorted_tables]:
                kept.connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    kept.connection.execute(CreateIndex(index, if_not_exists=True))
            kept.driver.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def current(self) -> bool:
        """Whether the file answers and has this program's schema."""
        try:
            row = self.kept().driver.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error:
            return False
        return bool(row[0] == SCHEMA_VERSION)

    @contextmanager
    def write(self, wait_s: float = _BUSY_S) -> Iterator[Kept]:
        """One write transaction; commits on leaving, rolls back on an error. Raises StoreBusy after `wait_s`.

        Durable (fsync) on return. A thread has at most one at a time.
        """
        kept = self.kept()
        if kept.writing:
            raise RuntimeError(f"a write transaction on {self.path.name} is open in this thread already")
        with self._exclusive(wait_s), _transaction(kept):
            yield kept

    def close(self) -> None:
        """Close every thread's connection; their threads must have stopped using them."""
        with self._guard:
            for kept in self._all:
                kept.connection.invalidate()
                kept.driver.close()
            self._all.clear()
        self._mine = threading.local()
        self._engine.dispose()
        self._lock.close()

    @contextmanager
    def _exclusive(self, wait_s: float) -> Iterator[None]:
        if self._in_memory:
            yield
            return
        until = time.monotonic() + wait_s
        if not self._turn.acquire(timeout=wait_s):
            raise self._taken(wait_s)
        try:
            if not self._lock.take(max(0.0, until - time.monotonic())):
                raise self._taken(wait_s)
            try:
                yield
            finally:
                self._lock.give_back()
        finally:
            self._turn.release()

    def _taken(self, wait_s: float) -> StoreBusy:
        return StoreBusy(f"another writer has held {self.path.name} for {wait_s:g} s; try again")

    def _open(self) -> Kept:
        with self._exclusive(_BUSY_S):
            connection = self._engine.connect()
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        kept = Kept(connection, driver)
        with self._guard:
            self._all.append(kept)
        return kept


@contextmanager
def _transaction(kept: Kept) -> Iterator[None]:
    kept.driver.execute("BEGIN IMMEDIATE")
    kept.writing = True
    try:
        yield
        kept.driver.execute("COMMIT")
    finally:
        if kept.driver.in_transaction:
            kept.driver.execute("ROLLBACK")
        kept.writing = False


def _engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        driver = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            driver.execute(pragma)
        return driver

    return create_engine(
        "sqlite://",
        creator=connect,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        skip_autocommit_rollback=True,
    )
