"""One SQLite file that many processes write: a fair lock before BEGIN IMMEDIATE, WAL, kept connections."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from shop_stack.errors import LogUnavailable
from shop_stack.eventlog.file_lock import Waiting

PATIENCE_S = 10.0


class SharedDatabase:
    """Reads on one connection, writes on another, both opened when first used and safe from any thread.

    Writers queue on `flock` of `<file>.lock`: SQLite's own busy handler starves the slowest of several.
    Inside `write` use its connection alone: a `read` there would see the state before.
    One that has not got the lock within `patience_s` gives up: its holder hangs.
    """

    def __init__(
        self, path: Path, schema: str, synchronous: Literal["FULL", "NORMAL"], patience_s: float = PATIENCE_S
    ) -> None:
        self._path = path
        self._patience_s = patience_s
        self._schema = schema
        self._synchronous = synchronous
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._lock_file: int | None = None

    @contextmanager
    def write(self, committed: Callable[[], None] | None = None) -> Iterator[sqlite3.Connection]:
        """One write transaction; commits on leaving, rolls back on an error. Raises LogUnavailable.

        `committed` is called after the commit and before the next writer's turn.
        """
        with self._my_turn():
            connection = self._writer or self._open_writer()
            lock_file = self._lock_file if self._lock_file is not None else self._open_lock()
            self._lock_file = None  # until it is ours: one that we gave up waiting for is no longer
            self._lock(lock_file)
            self._lock_file = lock_file
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                    if committed is not None:
                        committed()
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._unavailable(error) from error
            finally:
                fcntl.flock(lock_file, fcntl.LOCK_UN)

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """All rows of one query, outside any transaction of ours. Raises LogUnavailable."""
        with self._reading:
            connection = self._reader or self._open_reader()
            try:
                return connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise self._unavailable(error) from error

    def read_until(self, sql: str, parameters: Sequence[object], enough: int, size_column: int) -> list[Any]:
        """Rows of one query until their blobs in `size_column` make up `enough` bytes. Raises LogUnavailable."""
        rows: list[Any] = []
        size = 0
        with self._reading:
            connection = self._reader or self._open_reader()
            cursor = connection.execute(sql, parameters)
            try:
                for row in cursor:
                    rows.append(row)
                    size += len(row[size_column])
                    if size >= enough:
                        break
            except sqlite3.Error as error:
                raise self._unavailable(error) from error
            finally:
                cursor.close()
        return rows

    def version(self) -> int:
        """Changes whenever another connection has committed: a cheap look whether anything is new."""
        return int(self.read("PRAGMA data_version")[0][0])

    def close(self) -> None:
        with self._my_turn(), self._reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """The writers of this process queue here, with the same patience."""
        if not self._writing.acquire(timeout=self._patience_s):
            raise self._taken()
        try:
            yield
        finally:
            self._writing.release()

    def _lock(self, lock_file: int) -> None:
        """The lock of all processes. Raises LogUnavailable when its holder does not let go in time.

        A free lock costs one call. For a taken one a thread waits in the kernel: a flock cannot be told to end, and
        one that is asked for again and again comes last. `lock_file` is the thread's after a failure.
        """
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not Waiting(lock_file).within(self._patience_s):
                raise self._taken() from None

    def _open_writer(self) -> sqlite3.Connection:
        self._writer = self._connect()
        return self._writer

    def _open_reader(self) -> sqlite3.Connection:
        self._reader = self._connect()
        return self._reader

    def _open_lock(self) -> int:
        return os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _connect(self) -> sqlite3.Connection:
        """A connection to the file, which is made under the lock when it is new."""
        try:
            connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA cache_size=-512")
            connection.execute("PRAGMA journal_size_limit=8388608")
            if _is_new(connection):
                self._make(connection)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        return connection

    def _make(self, connection: sqlite3.Connection) -> None:
        lock_file = self._open_lock()
        self._lock(lock_file)
        try:
            if _is_new(connection):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(f"BEGIN IMMEDIATE;{self._schema};PRAGMA user_version=1;COMMIT;")
        finally:
            os.close(lock_file)

    def _taken(self) -> LogUnavailable:
        return LogUnavailable(
            f"{self._path}: another writer has held it for {self._patience_s:g} s: a process hangs; "
            f"look for a stopped one, end it, then try again"
        )

    def _unavailable(self, error: sqlite3.Error) -> LogUnavailable:
        return LogUnavailable(f"{self._path}: {error}; look at the disk and its free space, then try again")


def _is_new(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == 0)
