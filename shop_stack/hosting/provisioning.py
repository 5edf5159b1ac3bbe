"""Databases and roles on a PostgreSQL server: one of each a service, which no other may enter, and the auditor."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from shop_stack.errors import SettingError
from shop_stack.hosting.postgres_store import lock_of
from shop_stack.postgres import AUDITOR, database_of, password_in


class ServerSilent(SettingError):
    """The server was not reached, or went away meanwhile: it may answer in a moment."""


def prepare_stores(admin_url: str, folder: Path, services: Sequence[str]) -> None:
    """Make what is missing of a role and a database for each service, and the auditor, who reads all of them.

    Passwords that have no file yet are made up. Can be repeated, and done by several at once. `admin_url` is the
    address of somebody who may create roles and databases. Raises SettingError when the server refuses, ServerSilent
    while it does not answer.
    """
    make_passwords(folder, [*services, AUDITOR])
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as admin:
            admin.execute("SELECT pg_advisory_lock(%s)", (lock_of("shopfloor stores"),))
            for name in (*services, AUDITOR):
                _make_role(admin, database_of(name), password_in(folder, name))
            for service in services:
                _make_database(admin, database_of(service))
        for service in services:
            with psycopg.connect(admin_url, dbname=database_of(service), autocommit=True, connect_timeout=5) as inside:
                inside.execute("SELECT pg_advisory_lock(%s)", (lock_of("shopfloor stores"),))
                _let_the_auditor_read(inside, database_of(service))
    except psycopg.Error as error:
        kind = SettingError if error.sqlstate else ServerSilent
        state = error.sqlstate or "it does not answer"
        raise kind(f"the server does not make the stores ({type(error).__name__}, {state})") from None


def make_passwords(folder: Path, names: Sequence[str]) -> None:
    """A random password in a file (mode 0600) for each name that has none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in names:
        try:
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with open(file, "w") as opened:
            opened.write(secrets.token_urlsafe(24))


def _make_role(admin: "psycopg.Connection[tuple[object, ...]]", role: str, password: str) -> None:
    there = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = sql.SQL("ALTER" if there else "CREATE")
    # The server gets a hash: a statement with a password in it could come to lie in its log.
    hashed = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    words = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}")
    admin.execute(words.format(verb, sql.Identifier(role), sql.Literal(hashed)))


def _make_database(admin: "psycopg.Connection[tuple[object, ...]]", name: str) -> None:
    database = sql.Identifier(name)
    if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
        made = "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        admin.execute(sql.SQL(made).format(database, database))
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, _auditor()))


def _let_the_auditor_read(inside: "psycopg.Connection[tuple[object, ...]]", owner: str) -> None:
    inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    inside.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(owner)))
    inside.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(_auditor()))
    inside.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(_auditor()))
    future = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public GRANT SELECT ON TABLES TO {}"
    inside.execute(sql.SQL(future).format(sql.Identifier(owner), _auditor()))


def _auditor() -> sql.Identifier:
    return sql.Identifier(database_of(AUDITOR))
