"""The warehouse: the one owner of the DuckDB file, its schema, its marts and its connections."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.marts import COMPACTED_FROM, MARTS, STAGING, WHOLE, fingerprint, to_roll_up
from analytics.statements import names, statement
from shop_stack.errors import ShopfloorError

# One thread: a query's parts are not worth the waking of a second one here (0.65 ms a statement against 1.45),
# and each asking thread runs its own statement.
_LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "128MB",
    "wal_autocheckpoint": "64MB",
    # Half of what DuckDB takes by itself: an order's few rows lie in as many blocks as there are columns and places,
    # and each is read whole (1.5 ms less a journey; a quarter would save 1 more, and cost ingestion 0.5 us an event).
    "default_block_size": "131072",
    # A join passes over the parts of a table that none of so many keys can be in, words too: those of one rollup.
    "dynamic_or_filter_threshold": 8192,
}

_STREAMED = 16_384  # rows at a time
ORDERS = "orders"  # the part of the archive that journeys are read from (sql/macros.sql)


class WarehouseError(ShopfloorError):
    """The warehouse refused a statement, or its file cannot be opened."""


class StatementTooSlow(WarehouseError):
    """A question passed its time and was interrupted."""


@dataclass(frozen=True)
class Result:
    """Rows in the order of the statement; `columns` are (name, DuckDB type) pairs."""

    columns: list[tuple[str, str]]
    rows: list[tuple[Any, ...]]

    def dictionaries(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        names = [name for name, _ in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


class Feed:
    """An Arrow table under a fixed name in SQL; the table is replaced before each use, without a new plan."""

    def __init__(self, schema: pa.Schema) -> None:
        self.table: pa.Table = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Warehouse:
    """One read-write database. `write`, `transaction` and feeds belong to one thread; `ask` is for any.

    `changes` grows with whatever may change an answer while the positions read stay the same.
    """

    def __init__(self, path: Path, reach: Sequence[Path] = ()) -> None:
        """Open or make the file. Raises WarehouseError when another process has it or it cannot be read.

        Statements reach no other files but those of archive and backup beside it and in the folders of `reach`.
        """
        self.archive = path.parent / "archive"
        self.backup = path.parent / "backup"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.name = path.stem
        self._readers = threading.local()
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._lock = threading.Lock()
        self.changes = 0
        try:
            self._writer = duckdb.connect(str(path), config=_LIMITS)
            self._lock_down([self.archive, self.backup, *reach])
            self._prepare()
        except duckdb.Error as error:
            raise WarehouseError(f"cannot open the warehouse {path}: {_first_line(error)}") from error

    def within(self, database: str, sql: str) -> Result:
        """Run one reading statement on `database`: this one by its name, or an attached one. Raises WarehouseError."""
        with _own_errors():
            self._writer.execute(f"use {database}")
            try:
                cursor = self._writer.execute(sql)
                return Result([(str(c[0]), str(c[1])) for c in cursor.description or []], cursor.fetchall())
            finally:
                self._writer.execute(f"use {self.name}")

    def feed(self, name: str, schema: pa.Schema) -> Feed:
        """A named source of rows for the writer's statements, empty until its table is set."""
        feed = Feed(schema)
        self._writer.register(name, feed)
        return feed

    def write(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on the writer's connection. Raises WarehouseError."""
        with _own_errors():
            return self._writer.execute(sql, parameters or {}).fetchall()

    def numbers(self, sql: str, parameters: Mapping[str, object]) -> npt.NDArray[Any]:
        """The first column of one reading statement on the writer's connection. Raises WarehouseError."""
        with _own_errors():
            found: pa.Table = self._writer.sql(sql, params=dict(parameters)).to_arrow_table()
        return np.asarray(found.column(0))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is committed on leaving, or nothing is."""
        self.write("begin transaction")
        done = False
        try:
            yield
            done = True
        finally:
            self.write("commit" if done else "rollback")
            self._changed()

    def ask(self, sql: str, parameters: Mapping[str, object], timeout_s: float = 10.0) -> Result:
        """Run one reading statement on the calling thread's own connection.

        Raises StatementTooSlow after `timeout_s`, WarehouseError for what DuckDB refuses.
        """
        with self._running(timeout_s) as cursor:
            cursor.execute(sql, dict(parameters))
            columns = [(str(column[0]), str(column[1])) for column in cursor.description or []]
            return Result(columns=columns, rows=cursor.fetchall())

    @contextmanager
    def asking(
        self, sql: str, parameters: Mapping[str, object], timeout_s: float = 10.0
    ) -> Iterator[tuple[list[tuple[str, str]], Callable[[int], list[tuple[Any, ...]]]]]:
        """Like ask, in parts: the columns, and what fetches at most so many more rows."""
        with self._running(timeout_s) as cursor:
            cursor.execute(sql, dict(parameters))
            yield [(str(column[0]), str(column[1])) for column in cursor.description or []], cursor.fetchmany

    def ask_arrow(self, sql: str, parameters: Mapping[str, object], timeout_s: float = 10.0) -> pa.Table:
        """Like ask, as an Arrow table."""
        with self._running(timeout_s) as cursor:
            return cursor.sql(sql, params=dict(parameters)).to_arrow_table()

    @contextmanager
    def snapshot(self, timeout_s: float) -> Iterator[Callable[[str, Mapping[str, object]], pa.RecordBatchReader]]:
        """Reading statements answered as streams, of one state of the warehouse; each is read before the next is asked.

        Raises as `ask`.
        """
        with self._running(timeout_s) as cursor, contextlib.ExitStack() as readers:
            cursor.begin()
            readers.callback(cursor.rollback)
            yield lambda sql, given: readers.enter_context(
                cursor.sql(sql, params=dict(given)).to_arrow_reader(_STREAMED)
            )

    def tend(self, sql: str, parameters: Mapping[str, object], timeout_s: float = 10.0) -> Result:
        """Run one changing statement on the calling thread's own connection, apart from the writer's.

        Raises as `ask`; WarehouseError also when the writer is just then at the same rows, or at any for a checkpoint.
        """
        return self.ask(sql, parameters, timeout_s)

    @contextmanager
    def tending(self) -> Iterator[None]:
        """What the calling thread tends inside is committed on leaving, or nothing is."""
        self.tend("begin transaction", {})
        done = False
        try:
            yield
            done = True
        finally:
            self.tend("commit" if done else "rollback", {})
            self._changed()

    def _changed(self) -> None:
        with self._lock:
            self.changes += 1

    @contextmanager
    def _running(self, timeout_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._reader()
        watchdog = threading.Timer(timeout_s, cursor.interrupt)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield cursor
        except duckdb.InterruptException:
            raise StatementTooSlow(f"the question took longer than {timeout_s:g} s; ask for a shorter span") from None
        except duckdb.Error as error:
            raise WarehouseError(_first_line(error)) from error
        finally:
            watchdog.cancel()

    def _reader(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._readers, "cursor", None)
        if cursor is None:
            with self._lock:
                cursor = self._readers.cursor = self._writer.cursor()
                self._cursors.append(cursor)
        return cursor

    def roll_up(self, batch: int) -> None:
        """Add everything fresh to the marts, up to `batch`; inside a transaction."""
        types = {row[0] for row in self.write(statement("ingest/fresh_types"))}
        for mart in to_roll_up(types):
            self.write(f"insert into kept_{mart} select * from fresh_{mart}")  # noqa: S608 (names from MARTS)
        self.write("update rolled_up set batch = $batch", {"batch": batch})

    def rows_to_compact(self) -> int:
        """How many rows the mart that gains some with every rollup, and needs one a partition, has by now."""
        return int(self.write("select count(*) from kept_partition_positions")[0][0])

    def compact(self, since: datetime) -> None:
        """Add up what the rollups have appended, for minutes from `since` on (naive UTC); inside a transaction."""
        for name in names("compaction"):
            table = f"kept_{name}" if name in MARTS else name
            which = "true" if name in WHOLE else f"{COMPACTED_FROM.get(name, 'minute')} >= $since"
            given = {} if name in WHOLE else {"since": since}
            self.write(f"create temp table compacted as {statement(f'compaction/{name}')}", {"since": since})
            self.write(f"delete from {table} where {which}", given)  # noqa: S608 (names of files)
            self.write(f"insert into {table} select * from compacted")  # noqa: S608
            self.write("drop table compacted")

    def settle(self) -> None:
        """Write what was appended into the file and give its memory back, after much was ingested."""
        with contextlib.suppress(WarehouseError):  # refused while another statement writes: the next one will do
            self.write("checkpoint")
        pa.default_memory_pool().release_unused()

    def close(self) -> None:
        """Close every connection; the file is whole without it."""
        for cursor in self._cursors:
            cursor.close()
        self._writer.close()

    def _lock_down(self, reach: Sequence[Path]) -> None:
        folders = [str(folder) for folder in reach]
        # Files of the archive never change: their bounds are read once.
        self._writer.execute("set global parquet_metadata_cache = true")
        self._writer.execute("set allowed_directories = $folders", {"folders": folders})
        self._writer.execute("set enable_external_access = false")
        self._writer.execute("set lock_configuration = true")

    def _prepare(self) -> None:
        self._writer.execute(statement("macros"))
        self._writer.execute(statement("schema"))
        self._writer.execute(statement("quality"))
        with self.transaction():
            self._make_views(self._archived())
            if self._writer.execute("select marts from rolled_up").fetchone() != (fingerprint(),):
                self._forget_marts()
                self._make_marts()

    def _archived(self) -> list[tuple[str, str | None]]:
        return self._writer.execute("select file, part from archived_files order by file").fetchall()

    def _make_views(self, archived: Sequence[tuple[str, str | None]]) -> None:
        for view in views_of_raw(self.archive, archived):
            self._writer.execute(view)

    def _forget_marts(self) -> None:
        """The marts are made again from the raw rows, archived ones too, when the SQL that fills them has changed."""
        if self._archived():
            self._writer.execute(statement("archiving/bring_back"))
            self._writer.execute("delete from archived_files")
            self._make_views([])
        for mart in self._marts_there():
            self._writer.execute(f"drop view if exists {mart}")
            self._writer.execute(f"drop view if exists fresh_{mart}")
            self._writer.execute(f"drop table if exists kept_{mart}")
        self._writer.execute("delete from rolled_up")
        self._writer.execute("insert into rolled_up values (0, $marts)", {"marts": fingerprint()})

    def _marts_there(self) -> list[str]:
        """By an earlier version too, which may have had others."""
        kept = "select table_name from duckdb_tables() where starts_with(table_name, 'kept_') and not internal"
        return [str(row[0]).removeprefix("kept_") for row in self._writer.execute(kept).fetchall()]

    def _make_marts(self) -> None:
        for name in STAGING:
            self._writer.execute(f"create or replace view {name} as {statement(f'staging/{name}')}")
        for mart in MARTS:
            self._writer.execute(f"create or replace view fresh_{mart} as {statement(f'marts/{mart}')}")
            self._writer.execute(
                f"create table if not exists kept_{mart} as select * from fresh_{mart} limit 0"  # noqa: S608
            )
            both = f"select * from kept_{mart} union all select * from fresh_{mart}"  # noqa: S608
            self._writer.execute(f"create or replace view {mart} as {both}")


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.FatalException:
        raise
    except duckdb.Error as error:
        raise WarehouseError(_first_line(error)) from error


def views_of_raw(archive: Path, files: Sequence[tuple[Any, ...]]) -> list[str]:
    """The statements that make the views of raw rows, archived ones too: of every one, and of those of orders.

    `files` are the archive's by name and part; one without a part has rows of both.
    """
    of_orders = [file for file, part in files if part in (ORDERS, None)]
    return [
        _view("every_event", archive, [file for file, _ in files]),
        _view("order_events", archive, of_orders),
    ]


def _view(name: str, archive: Path, files: Sequence[str]) -> str:
    raw = f"create or replace view {name} as select * from raw_events"  # noqa: S608 (a name from here)
    if not files:
        return raw
    paths = ", ".join("'" + str(archive / file).replace("'", "''") + "'" for file in files)
    return f"{raw} union all by name select * from read_parquet([{paths}], hive_partitioning = false)"  # noqa: S608


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
