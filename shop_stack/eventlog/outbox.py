"""The outbox: events written in the transaction that decided them, sent afterwards by the relay.

The first columns are those of Debezium's outbox router, so that a change-data connector may take the relay's
place. Rows stay as long as the log keeps them: a log that lost its tail is repaired from here.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from shop_stack.errors import Conflict
from shop_stack.eventlog.database import TABLES, Driver
from shop_stack.eventlog.database import marks as placeholders

OUTBOX = Table(
    "outbox",
    TABLES,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False),
    Column("aggregatetype", Text, nullable=False),
    Column("aggregateid", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("sequence", BigInteger),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("traceparent", Text),
    Column("created", BigInteger, nullable=False),
    Column("published", BigInteger),
)
Index(
    "outbox_sequence",
    OUTBOX.c.aggregateid,
    OUTBOX.c.aggregatetype,
    OUTBOX.c.sequence,
    unique=True,
    sqlite_where=text("sequence IS NOT NULL"),
    postgresql_where=text("sequence IS NOT NULL"),
)
Index(
    "outbox_unpublished",
    OUTBOX.c.aggregateid,
    OUTBOX.c.sequence,
    sqlite_where=text("published IS NULL"),
    postgresql_where=text("published IS NULL"),
)


class Entry(NamedTuple):
    """One event on its way out; times are microseconds since 1970, `sequence` None where a topic has none."""

    id: str
    aggregatetype: str
    aggregateid: str
    type: str
    payload: bytes
    sequence: int | None
    topic: str
    traceparent: str | None
    created: int


class Unpublished(NamedTuple):
    """An outbox row that the log has not acknowledged."""

    ordinal: int
    aggregateid: str
    topic: str
    key: str
    payload: bytes
    traceparent: str | None
    type: str


_INSERT = (
    "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, sequence, topic, traceparent, created, key) "
    "SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?3 "
)
_LAST = (
    "SELECT coalesce(max(sequence), 0) FROM outbox WHERE aggregateid=?3 AND aggregatetype=?2 AND sequence IS NOT NULL"
)
_INSERT_NEXT = f"{_INSERT} WHERE ?6 = 1 + ({_LAST})"
_COLUMNS = "ordinal, aggregateid, topic, key, payload, traceparent, type"


def add(driver: Driver, entry: Entry) -> None:
    """Write an event within the caller's transaction. Raises Conflict unless its sequence is the next one."""
    if entry.sequence is None:
        driver.execute(_INSERT, entry)
    elif driver.execute(_INSERT_NEXT, entry).rowcount != 1:
        last = driver.execute(_LAST.replace("?3", "?1"), (entry.aggregateid, entry.aggregatetype)).fetchone()[0]
        raise Conflict(
            f"{entry.type} has sequence {entry.sequence}, the next of its aggregate is {last + 1}: "
            f"publish one event for each version"
        )


def unpublished(driver: Driver, aggregates: Sequence[str]) -> list[Unpublished]:
    """All rows of these aggregates that are not marked as published, lowest sequence of each first."""
    found: list[Unpublished] = []
    for start in range(0, len(aggregates), 500):
        some = aggregates[start : start + 500]
        rows = driver.execute(
            f"SELECT {_COLUMNS} FROM outbox INDEXED BY outbox_unpublished WHERE published IS NULL "  # noqa: S608
            f"AND aggregateid IN ({placeholders(some)}) ORDER BY aggregateid, sequence, ordinal",
            some,
        )
        found.extend(map(Unpublished._make, rows))
    return found


def waiting(driver: Driver, before: int, limit: int = 200) -> list[str]:
    """Aggregates with unpublished rows made before that time (microseconds)."""
    rows = driver.execute(
        "SELECT DISTINCT aggregateid FROM outbox INDEXED BY outbox_unpublished "
        "WHERE published IS NULL AND created < ? LIMIT ?",
        (before, limit),
    )
    return [row[0] for row in rows]


def oldest_unpublished(driver: Driver) -> list[tuple[int, int]]:
    """(created, ordinal) of the unpublished rows, oldest first, up to a thousand."""
    return driver.execute(
        "SELECT created, ordinal FROM outbox INDEXED BY outbox_unpublished WHERE published IS NULL "
        "ORDER BY created LIMIT 1000"
    ).fetchall()


def mark(driver: Driver, ordinals: Sequence[int], now: int) -> None:
    """Mark rows as published, after the log's acknowledgement; in their order, so that two who mark the same rows
    wait for each other and never both.
    """
    marked = [(now, ordinal) for ordinal in sorted(ordinals)]
    driver.executemany("UPDATE outbox SET published=? WHERE ordinal=?", marked)


def forget(driver: Driver, topics: Sequence[str], before: int) -> int:
    """Delete up to a thousand rows, the oldest first, that the log's retention of these topics has passed.

    Reads past the rows of other topics: for services that publish to topics with a retention.
    """
    return driver.execute(
        f"DELETE FROM outbox WHERE ordinal IN (SELECT ordinal FROM outbox WHERE topic IN ({placeholders(topics)}) "  # noqa: S608
        "AND published < ? ORDER BY ordinal LIMIT 1000)",
        (*topics, before),
    ).rowcount
