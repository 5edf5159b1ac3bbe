"""PostgreSQL as we reach it: where it is, who asks with which secret, how long anything may take, and our SQL there."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg

from shop_stack.errors import SettingError

AUDITOR = "auditor"
"""Who reads every store and writes none; its role is `shop_auditor`."""
_ALLOWED = {"sslmode", "sslrootcert"}
_CONNECT_S = 3
_PLACE = re.compile(r"\?(\d*)")
_ONLY_SQLITE = re.compile(r"\bINDEXED BY \w+\s?")
_ONLY_HERE = re.compile(r"/\*pg (.*?)\*/")


@dataclass(frozen=True)
class Timeouts:
    """How long a statement, a wait for a lock and an idle transaction may take, in seconds; 0: for ever."""

    statement_s: float = 10.0
    lock_s: float = 5.0
    idle_in_transaction_s: float = 15.0

    def options(self) -> str:
        """As the server wants them at the start of a session."""
        told = {
            "statement_timeout": self.statement_s,
            "lock_timeout": self.lock_s,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_s,
        }
        milliseconds = " ".join(f"-c {name}={int(seconds * 1000)}" for name, seconds in told.items())
        return f"{milliseconds} -c default_transaction_isolation=read\\ committed"


@dataclass(frozen=True)
class Server:
    """A server, and the folder in which each role's password lies in a file of its own (the service's name)."""

    host: str
    port: int
    secrets: Path
    options: Mapping[str, str] = field(default_factory=dict)

    def connect(
        self, service: str, *, who: str = "", timeouts: Timeouts | None = None
    ) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection in autocommit to a service's database, as the service or `who`.

        Raises psycopg.OperationalError when the server cannot be reached, SettingError without a password.
        """
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=database_of(service),
            user=database_of(who or service),
            password=password_in(self.secrets, who or service),
            connect_timeout=_CONNECT_S,
            application_name=f"shopfloor {who or service}",
            options=(timeouts if timeouts is not None else Timeouts()).options(),
            autocommit=True,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=15_000,
            **dict(self.options),  # type: ignore[arg-type]  # libpq's own words
        )


def database_of(service: str) -> str:
    """The database of a service, and the role that owns it."""
    return f"shop_{service}"


def server_of(url: str, secrets: Path | None) -> Server:
    """The server that `postgresql://HOST:PORT[?sslmode=...&sslrootcert=...]` names. Raises SettingError.

    Roles and databases follow from the services' names, and passwords lie in files: an address with either is refused
    without being repeated.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.path.strip("/"):
        raise SettingError(
            "the stores' address names a user, a password or a database; give postgresql://HOST:PORT alone, "
            "passwords lie in the folder of SHOPFLOOR_STORE_SECRETS"
        )
    options = dict(parse_qsl(parts.query))
    if parts.scheme != "postgresql" or not parts.hostname or set(options) - _ALLOWED:
        raise SettingError("the stores' address is not postgresql://HOST:PORT[?sslmode=MODE&sslrootcert=FILE]")
    if secrets is None:
        raise SettingError("stores on PostgreSQL need SHOPFLOOR_STORE_SECRETS, the folder with a password file a role")
    return Server(parts.hostname, parts.port or 5432, secrets, options)


def password_in(folder: Path, name: str) -> str:
    """The password in a folder's file of this name. Raises SettingError when there is none."""
    try:
        return (folder / name).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"there is no password for {name} in {folder}; make it with: shopfloor stores prepare"
        ) from error


class Driver:
    """A connection used as sqlite3's is: SQL in eventlog.database's words, `?` or `?1` for a value."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "psycopg.RawCursor[tuple[Any, ...]]":
        """Run a statement. Raises psycopg.Error."""
        return psycopg.RawCursor(self.connection).execute(in_its_words(sql), tuple(parameters) or None)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> "psycopg.RawCursor[tuple[Any, ...]]":
        """Run a change for each of these rows, in one go to the server and back. Raises psycopg.Error."""
        cursor = psycopg.RawCursor(self.connection)
        cursor.executemany(in_its_words(sql), parameters)
        return cursor

    def run(self, several: str) -> None:
        """Run several statements without values in one go to the server and back."""
        self.connection.execute(several.encode(), prepare=False)


@lru_cache(maxsize=1024)
def in_its_words(sql: str) -> str:
    """Our SQL as PostgreSQL wants it: `$1` for a value, no hint of an index, and what is meant for it alone."""
    counted = 0

    def place(found: re.Match[str]) -> str:
        nonlocal counted
        counted += 1
        return f"${found[1] or counted}"

    return _PLACE.sub(place, _ONLY_HERE.sub(r"\1", _ONLY_SQLITE.sub("", sql)))
