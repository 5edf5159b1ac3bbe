"""A service's own database, whichever engine it lies on: read, write in one transaction, wait for each other."""

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import OperationalError

from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.database import Driver

SCHEMA_VERSION = 2
STEPS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE stopped_aggregates ADD COLUMN headers TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE stopped_aggregates ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE stopped_aggregates ADD COLUMN replays INTEGER NOT NULL DEFAULT 0",
    )
}
"""What takes a store from one schema to the next; all steps that are missing run in one transaction."""
BUSY_S = 5.0
_PASSING = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}  # fmt: skip


class StoreBusy(ShopfloorError):
    """Another writer held the store for longer than this one may wait; trying again is right."""


class StoreAway(StoreBusy):
    """The store's server does not answer, or has just ended what was under way; trying again is right.

    Whether a commit that was under way holds is not known: whoever repeats it must be able to.
    """


class StoreOutdated(ShopfloorError):
    """The store was written by another version of Shopfloor."""


class ValueRefused(ShopfloorError):
    """The store cannot keep a value, such as a text with a NUL in it; trying again is of no use."""


def is_passing(error: BaseException) -> bool:
    """Whether an error says that the store is taken, or its disk full or away, for now: trying again is right."""
    if isinstance(error, OperationalError):
        error = error.orig if isinstance(error.orig, BaseException) else error
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
    return isinstance(error, StoreBusy)


class Session(Protocol):
    """What a thread has of a store for a while: the Core connection and the driver's own beneath it."""

    @property
    def connection(self) -> Connection:
        """For the services' statements."""

    @property
    def driver(self) -> Driver:
        """For the tables of delivery: a tenth of Core's cost."""


class Store(Protocol):
    """The database of one service. Errors that pass come as StoreBusy, or as such that is_passing knows."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def prepare(self, *schemas: MetaData) -> None:
        """Bring an older store to this program's schema and create what is missing, in one transaction and alone.

        Raises StoreOutdated when a newer version wrote it.
        """

    def current(self) -> bool:
        """Whether the store answers and has this program's schema."""

    def read(self) -> AbstractContextManager[Session]:
        """A session for reading, each statement by itself; within one that this thread has, that one."""

    def write(self, wait_s: float = BUSY_S, holding: Sequence[str] = ()) -> AbstractContextManager[Session]:
        """One write transaction, begun once it holds these names (see `hold`).

        Commits on leaving, durably, and rolls back on an error. Raises StoreBusy after `wait_s`. A thread has at most
        one at a time.
        """

    def hold(self, session: Session, name: str) -> None:
        """In a write transaction: wait until no other one of this store holds the name; held until its end.

        For what a row's lock does not protect: a row that is not there yet, or rows that are locked in no fixed order.
        """

    def close(self) -> None:
        """Close all connections; nobody may be using them any more."""


def refuse_newer(name: str, found: int) -> None:
    """Raise StoreOutdated when a store's schema is newer than this program's."""
    if found > SCHEMA_VERSION:
        raise StoreOutdated(
            f"{name} has schema {found}, this program writes {SCHEMA_VERSION}; "
            f"run the version that made it, or start on a new home folder"
        )
