"""Hands on the stores of a home, whatever holds them: to write what no service would, and to look."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shop_stack.postgres import Driver, Server, server_of
from shop_stack.settings import SQLITE, Home, Settings

_RULES = (
    b"SELECT conrelid::regclass::text, conname FROM pg_constraint "
    b"WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
)
Rows = Iterable[tuple[object, ...]]


class Hands(Protocol):
    """What they can do; statements are SQLite's, their values marked by `?`. No CHECK holds them back."""

    @property
    def home(self) -> Home: ...

    def change(self, service: str, sql: str, rows: Rows = ((),)) -> None:
        """Run a statement on a service's store, once with each of the rows' values."""

    def look(self, service: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a service's store."""


@dataclass(frozen=True)
class OnSqlite:
    """On files in the home folder."""

    home: Home

    def change(self, service: str, sql: str, rows: Rows = ((),)) -> None:
        change(self.home.store(service), sql, rows)

    def look(self, service: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return look(self.home.store(service), sql, *values)


@dataclass(frozen=True)
class OnPostgres:
    """On databases of a server, as the service that owns them."""

    home: Home
    server: Server

    def change(self, service: str, sql: str, rows: Rows = ((),)) -> None:
        with self.server.connect(service) as connection, connection.transaction():
            for table, rule in connection.execute(_RULES).fetchall():
                connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{rule}"'.encode())
            Driver(connection).executemany(sql, rows)

    def look(self, service: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.server.connect(service) as connection:
            return list(Driver(connection).execute(sql, values).fetchall())


def hands_on(settings: Settings) -> Hands:
    """Those for the stores of these settings."""
    if settings.stores_url == SQLITE:
        return OnSqlite(settings.home)
    return OnPostgres(settings.home, server_of(settings.stores_url, settings.store_secrets))


def change(path: Path, sql: str, rows: Rows = ((),)) -> None:
    """Do to an SQLite file what no service would."""
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("PRAGMA ignore_check_constraints=ON")
        store.executemany(sql, rows)


def look(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of an SQLite file."""
    with closing(sqlite3.connect(path)) as store:
        return store.execute(sql, values).fetchall()
