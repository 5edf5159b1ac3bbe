"""Idempotency keys: a creating request's answer, kept in the transaction of its effect for a day at least."""

import hashlib

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from shop_stack.eventlog.database import TABLES, Driver

KEYS = Table(
    "idempotency_keys",
    TABLES,
    Column("subject", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("idempotency_keys_by_age", KEYS.c.at)

Scope = tuple[str, str, str, str]
"""(subject, method, path, key)"""


def digest(body: bytes) -> bytes:
    """What tells one body from another: 16 bytes of BLAKE2."""
    return hashlib.blake2b(body, digest_size=16).digest()


def kept(driver: Driver, scope: Scope) -> tuple[bytes, int, bytes] | None:
    """(body's digest, status, answer) of a request that was done before, or None."""
    row: tuple[bytes, int, bytes] | None = driver.execute(
        "SELECT body_hash, status, answer FROM idempotency_keys WHERE subject=? AND method=? AND path=? AND key=?",
        scope,
    ).fetchone()
    return row


def keep(driver: Driver, scope: Scope, body: bytes, status: int, answer: bytes, now: int) -> None:
    """Keep a request's answer, in the transaction of its effect."""
    driver.execute("INSERT INTO idempotency_keys VALUES (?,?,?,?,?,?,?,?)", (*scope, digest(body), status, answer, now))
