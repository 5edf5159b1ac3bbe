"""A service's own database on a PostgreSQL server: a small pool of connections, and writers beside each other.

Transactions are READ COMMITTED: guards stand in the statements, rows that are read to be changed are locked, and what
no row protects is held by name (advisory locks). Each service has `POOL` connections in a process at most, so that
eight services with three replicas each take 72 of the hundred that a server gives by default.
"""

import hashlib
import select
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateIndex, CreateTable

from shop_stack.errors import Conflict
from shop_stack.hosting import store
from shop_stack.hosting.store import BUSY_S, SCHEMA_VERSION, STEPS, StoreAway, StoreBusy, ValueRefused, refuse_newer
from shop_stack.postgres import Driver, Server

POOL = 3
_MIGRATION_S = 60
_BUSY_STATES = {"55P03", "40001", "40P01", "57014"}
"""Lock not to be had in time, serialization failure, deadlock, statement timeout."""
_AWAY_CLASSES = {"08", "53", "57", "58", "28", "3D"}
"""Connection, resources (too many connections, disk full), ended by the operator, system; role or database missing."""
_AWAY_STATES = {"25P03", "25006"}
"""Ended while idle in a transaction; read-only, as a server is that has become a standby."""
_UNIQUE = "23505"


@dataclass
class Taken:
    """What one thread has of a store for a while: the Core connection and the driver's own beneath it."""

    connection: Connection
    driver: Driver
    writing: bool = False


class PostgresStore:
    """The database of one service; implements store.Store. Connects at its first use."""

    def __init__(self, server: Server, service: str) -> None:
        self.name = f"the store of {service}"
        self._engine = _engine(server, service)
        self._mine = threading.local()

    def prepare(self, *schemas: MetaData) -> None:
        """Bring the database to this program's schema, see Store; others who want to wait until it is done."""
        limits = f"SET LOCAL lock_timeout = '{_MIGRATION_S}s'; SET LOCAL statement_timeout = '{_MIGRATION_S}s'"
        with self.write(_MIGRATION_S, ("schema",), limits) as taken:
            taken.driver.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
            row = taken.driver.execute("SELECT max(version) FROM schema_version").fetchone()
            found = int(row[0] or 0) if row else 0
            refuse_newer(self.name, found)
            for version in range(found, SCHEMA_VERSION) if found else ():
                for step in STEPS[version]:
                    taken.driver.execute(step)
            _create_missing(taken, schemas)
            if found != SCHEMA_VERSION:
                taken.driver.execute("DELETE FROM schema_version")
                taken.driver.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))

    def current(self) -> bool:
        """Whether the server answers and the database has this program's schema."""
        try:
            with self.read() as taken:
                row = taken.driver.execute("SELECT version FROM schema_version").fetchone()
        except StoreAway:
            return False
        except StoreBusy:
            return True  # every connection is at work: that is an answer
        except psycopg.Error:
            return False
        return row is not None and int(row[0]) == SCHEMA_VERSION

    @contextmanager
    def read(self) -> Iterator[Taken]:
        """A session for reading; see Store. Raises StoreAway, and StoreBusy when none is free within 5 s."""
        mine: Taken | None = getattr(self._mine, "taken", None)
        if mine is not None:
            yield mine
            return
        with _told(self.name), self._session() as taken:
            yield taken

    @contextmanager
    def write(self, wait_s: float = BUSY_S, holding: Sequence[str] = (), settings: str = "") -> Iterator[Taken]:
        """One write transaction; see Store. `settings` are SQL that runs at its beginning."""
        mine: Taken | None = getattr(self._mine, "taken", None)
        if mine is not None and mine.writing:
            raise RuntimeError(f"a write transaction on {self.name} is open in this thread already")
        with _told(self.name), self._session() as taken:
            with _transaction(taken, _beginning(wait_s, holding, settings)):
                yield taken

    def hold(self, session: store.Session, name: str) -> None:
        """Hold a name until the transaction ends; see Store."""
        session.driver.execute("SELECT pg_advisory_xact_lock(?)", (lock_of(name),))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Taken]:
        """This thread's session, or one from the pool, which gets it back unless it is broken."""
        mine: Taken | None = getattr(self._mine, "taken", None)
        if mine is not None:
            yield mine
            return
        connection = self._engine.connect()
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        self._mine.taken = Taken(connection, Driver(raw))
        try:
            yield self._mine.taken
        finally:
            self._mine.taken = None
            if raw.closed or raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.invalidate()
            connection.close()


def lock_of(name: str) -> int:
    """The number of the advisory lock that stands for a name: 64 bits, signed. Locks are a database's own."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


def _beginning(wait_s: float, holding: Sequence[str], settings: str) -> str:
    """The statements that begin a transaction, to be sent in one go; nothing of them comes from data."""
    said = ["BEGIN", *([settings] if settings else [])]
    if wait_s != BUSY_S and not settings:
        said.append(f"SET LOCAL lock_timeout = {int(wait_s * 1000)}")
    said += [f"SELECT pg_advisory_xact_lock({lock_of(name)})" for name in holding]
    return "; ".join(said)


@contextmanager
def _transaction(taken: Taken, beginning: str) -> Iterator[None]:
    taken.writing = True
    try:
        taken.driver.run(beginning)
        yield
        taken.driver.run("COMMIT")
    finally:
        taken.writing = False
        raw = taken.driver.connection
        if not raw.closed and raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            with suppress(psycopg.Error):  # a connection that does not even roll back is not used again
                taken.driver.run("ROLLBACK")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """PostgreSQL's errors that callers must tell apart, in the words of Store. Others come as they are."""
    try:
        yield
    except PoolTimeout as error:
        raise StoreBusy(f"all connections to {name} are in use; try again") from error
    except DBAPIError as error:
        raise _meaning(name, error.orig) or error from error
    except psycopg.Error as error:
        raise _meaning(name, error) or error from error


def _meaning(name: str, error: BaseException | None) -> Exception | None:
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state in _BUSY_STATES:
        return StoreBusy(f"others are at work on the same in {name}; try again")
    if state == _UNIQUE:
        return Conflict(f"another has written the same to {name} at the same moment; try again")
    if state in _AWAY_STATES or (state or "")[:2] in _AWAY_CLASSES:
        return StoreAway(f"{name} does not answer just now; try again")
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreAway(f"{name} does not answer just now; try again")
    if isinstance(error, psycopg.DataError):
        return ValueRefused(f"{name} cannot keep a value, such as a text with a NUL in it")
    return None


def _create_missing(taken: Taken, schemas: Sequence[MetaData]) -> None:
    """Create the tables and indexes that are not there; none that is there is even locked."""
    sql = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i')"
    there = {row[0] for row in taken.driver.execute(sql).fetchall()}
    for table in [table for schema in schemas for table in schema.sorted_tables]:
        if table.name not in there:
            taken.connection.execute(CreateTable(table))
        for index in table.indexes:
            if index.name not in there:
                taken.connection.execute(CreateIndex(index))


def _engine(server: Server, service: str) -> Engine:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: server.connect(service),
        poolclass=QueuePool,
        pool_size=POOL,
        max_overflow=0,
        pool_timeout=BUSY_S,
        pool_use_lifo=True,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        skip_autocommit_rollback=True,
        use_native_hstore=False,
    )
    event.listen(engine, "checkout", _refuse_dead)
    return engine


def _refuse_dead(driver: "psycopg.Connection[object]", record: object, proxy: object) -> None:
    """Nobody has asked, so whatever there is to read is the server's good-bye: the pool then connects anew."""
    if driver.closed:
        raise DisconnectionError
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError
