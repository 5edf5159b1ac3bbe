"""A service's own database as one SQLite file: connections kept by each thread, one writer at a time."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from shop_stack.eventlog.file_lock import FileLock
from shop_stack.hosting.store import BUSY_S, SCHEMA_VERSION, STEPS, Session, StoreBusy, refuse_newer

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-1024",
)


@dataclass
class Kept:
    """What one thread keeps of a store: the Core connection and the driver's own beneath it."""

    connection: Connection
    driver: sqlite3.Connection
    writing: bool = False


class SqliteStore:
    """One SQLite file. Each thread keeps one connection in autocommit; a write takes the file's lock first.

    Writers queue at `<file>.lock` (SQLite's own busy handler starves the slowest of several), then BEGIN
    IMMEDIATE. Neither those of this process nor those of others are waited for longer than a writer says.
    """

    def __init__(self, path: Path | None) -> None:
        """`path` None: a database in memory, for one thread alone (the simulation's)."""
        self.path = path if path is not None else Path(":memory:")
        self.name = self.path.name
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
            refuse_newer(str(self.path), found)
            for version in range(found, SCHEMA_VERSION) if found else ():
                for step in STEPS[version]:
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
    def read(self) -> Iterator[Kept]:
        """This thread's connection; see Store."""
        yield self.kept()

    @contextmanager
    def write(self, wait_s: float = BUSY_S, holding: Sequence[str] = ()) -> Iterator[Kept]:
        """One write transaction; see Store. It holds the whole file, and so every name."""
        kept = self.kept()
        if kept.writing:
            raise RuntimeError(f"a write transaction on {self.name} is open in this thread already")
        with self._exclusive(wait_s), _transaction(kept):
            yield kept

    def hold(self, session: Session, name: str) -> None:
        """Held already: a writer has the whole file."""

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
        return StoreBusy(f"another writer has held {self.name} for {wait_s:g} s; try again")

    def _open(self) -> Kept:
        with self._exclusive(BUSY_S):
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
        driver = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
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
