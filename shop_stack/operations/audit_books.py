"""A store as the auditor has it open: one snapshot, read-only, SQL in SQLite's words on either engine."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.database import Cursor

if TYPE_CHECKING:
    from shop_stack.postgres import Server

_LONGEST_S = 600.0
_TABLES = "(SELECT tablename AS name, 'table' AS type FROM pg_tables WHERE schemaname = 'public') AS tables"
_JOINED = re.compile(r"CAST\(group_concat\((.*?), (char\(10\)|'')\)( FILTER \([^)]*\))? AS BLOB\)")
_LISTED = re.compile(r"group_concat\(([^()]*)\)")


class BookUnreadable(ShopfloorError):
    """A store cannot be read; the message names it."""


class Book(Protocol):
    """An open store."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run a query."""

    def close(self) -> None:
        """Let the snapshot go."""


class PostgresBook:
    """A service's database, read as the auditor."""

    def __init__(self, server: "Server", service: str) -> None:
        """Raises BookUnreadable when the server does not let the auditor in."""
        import psycopg

        from shop_stack.postgres import AUDITOR, Driver, Timeouts

        limits = Timeouts(statement_s=_LONGEST_S, idle_in_transaction_s=_LONGEST_S)
        try:
            self._connection = server.connect(service, who=AUDITOR, timeouts=limits)
            self._driver = Driver(self._connection)
            self._driver.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1")
        except psycopg.Error as error:
            words = f"the store of {service} cannot be audited: {type(error).__name__}; look at the server"
            raise BookUnreadable(words) from error

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run a query. Raises psycopg.Error."""
        return self._driver.execute(in_postgres_words(sql), parameters)

    def close(self) -> None:
        """Let the snapshot go."""
        self._connection.close()


@lru_cache(maxsize=256)
def in_postgres_words(sql: str) -> str:
    """What PostgreSQL calls otherwise in the auditor's queries."""
    sql = _JOINED.sub(r"convert_to(string_agg((\1)::text, \2)\3, 'UTF8')", sql).replace("char(10)", "chr(10)")
    sql = _LISTED.sub(r"string_agg((\1)::text, ',')", sql)
    sql = sql.replace("SELECT value FROM json_each(?)", "SELECT json_array_elements_text(CAST(? AS json))")
    return sql.replace("sqlite_master", _TABLES)
