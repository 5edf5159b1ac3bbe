"""What an outbox on a PostgreSQL server says was sent, read from outside while no service runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psycopg

from shop_stack.eventlog.sent_rows import SERVICE, SentRows
from shop_stack.postgres import Driver, Server


@dataclass(frozen=True, eq=False)
class PostgresRows(SentRows):
    """The outbox in a service's database, opened as the service. Raises ConnectionError when it cannot be."""

    server: Server | None = None
    begins: ClassVar[str] = "BEGIN"

    @contextmanager
    def _open(self) -> Iterator[Driver]:
        assert self.server is not None
        try:
            with self.server.connect(self.name) as connection:
                yield Driver(connection)
        except psycopg.Error as error:
            raise ConnectionError(f"the store of {self.name} does not answer: {type(error).__name__}") from error

    def exists(self) -> bool:
        """Whether the database has an outbox."""
        return self._read("SELECT to_regclass('outbox')", ())[0][0] is not None


def rows_of(server: Server, service: str) -> PostgresRows:
    """The outbox of a service on this server."""
    return PostgresRows(Path(service), SERVICE, server)
