"""What delivery needs of a service's store: a connection of this thread, and write transactions."""

import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol

from sqlalchemy import MetaData

TABLES = MetaData()
"""The tables that the host adds to every service's own."""

sends_itself: ContextVar[bool] = ContextVar("sends_itself", default=False)
"""Whether this thread sends what it has committed: so do those on which no request waits, and save a hand-over."""


class Session(Protocol):
    """A thread's connection. The tables of delivery are read and written on the driver: a tenth of Core's cost."""

    driver: sqlite3.Connection


class Database(Protocol):
    """A service's store."""

    def kept(self) -> Session:
        """This thread's connection, for reading."""

    def write(self, wait_s: float = ...) -> AbstractContextManager[Session]:
        """A write transaction."""


def marks(values: Iterable[Any]) -> str:
    """Placeholders for a list of values: `?,?,?`."""
    return ",".join("?" for _ in values)
