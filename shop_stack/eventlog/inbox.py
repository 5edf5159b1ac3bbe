"""The inbox: what a consumer has handled, written with the effect, and the aggregates that a poison event stopped."""

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from shop_stack.eventlog.database import TABLES, Driver

INBOX = Table(
    "inbox",
    TABLES,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("handled", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
STOPPED = Table(
    "stopped_aggregates",
    TABLES,
    Column("ordinal", Integer, primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("aggregate", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("error", Text),
    Column("partition", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("headers", Text, nullable=False, server_default="{}"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("replays", Integer, nullable=False, server_default="0"),
)
Index("stopped_once", STOPPED.c.consumer, STOPPED.c.topic, STOPPED.c.aggregate, STOPPED.c.event_id, unique=True)
Index(
    "stopped_errors",
    STOPPED.c.consumer,
    STOPPED.c.ordinal,
    sqlite_where=text("error IS NOT NULL"),
    postgresql_where=text("error IS NOT NULL"),
)


_IS_STOPPED = (
    "SELECT 1 FROM stopped_aggregates WHERE consumer=? AND topic=? AND aggregate=? ORDER BY ordinal LIMIT 1 "
    "/*pg FOR UPDATE */"
)
_EVERY = 1 << 31
QUARANTINED_AT = 3
"""A record that failed in this many replays is only tried again when quarantined ones are asked for."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a stopped aggregate: the first, with its `error`, stopped it; the others wait behind it.

    `at` is microseconds since 1970; `attempts` counts the tries before it was parked, `replays` those since.
    """

    topic: str
    aggregate: str
    event_id: str
    error: str | None
    partition: int
    position: int
    value: bytes
    at: int
    headers: dict[str, str] = {}
    attempts: int = 0
    replays: int = 0


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate that does not go on: the event that stopped it, why, where it lies, how many wait behind it."""

    consumer: str
    topic: str
    aggregate: str
    event_id: str
    error: str
    partition: int
    position: int
    at: int
    attempts: int
    replays: int
    parked: int

    @property
    def quarantined(self) -> bool:
        """Whether it failed in so many replays that only those who ask for quarantined ones try it again."""
        return self.replays >= QUARANTINED_AT


def enter(driver: Driver, consumer: str, event_id: str, now: int) -> bool:
    """Note the event as handled, in the effect's transaction; False when it was handled before.

    Another transaction that is at the same event is waited for.
    """
    entered = "INSERT INTO inbox VALUES (?,?,?) ON CONFLICT DO NOTHING"
    return driver.execute(entered, (consumer, event_id, now)).rowcount == 1


def any_stopped(driver: Driver) -> bool:
    """Whether any aggregate is stopped: the question that every transaction asks first, so a cheap one."""
    return driver.execute("SELECT 1 FROM stopped_aggregates LIMIT 1").fetchone() is not None


def is_stopped(driver: Driver, consumer: str, topic: str, aggregate: str) -> bool:
    """Whether this aggregate is stopped for this consumer; a replay that is at its records is waited for."""
    return driver.execute(_IS_STOPPED, (consumer, topic, aggregate)).fetchone() is not None


def park(driver: Driver, consumer: str, record: Parked) -> None:
    """Keep a record of a stopped aggregate, in order; one that came before is not kept twice."""
    driver.execute(
        "INSERT INTO stopped_aggregates (consumer, topic, aggregate, event_id, error, partition, position, "
        "value, at, headers, attempts, replays) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        (consumer, record.topic, record.aggregate, record.event_id, record.error, record.partition, record.position,
         record.value, record.at, msgspec.json.encode(record.headers).decode(), record.attempts, record.replays),
    )  # fmt: skip


def stopped(driver: Driver) -> list[Stopped]:
    """The stopped aggregates, oldest first."""
    rows = driver.execute(
        "SELECT s.consumer, s.topic, s.aggregate, s.event_id, s.error, s.partition, s.position, s.at, s.attempts, "
        "s.replays, (SELECT count(*) FROM stopped_aggregates p WHERE p.consumer=s.consumer AND p.topic=s.topic "
        "AND p.aggregate=s.aggregate AND p.error IS NULL) "
        "FROM stopped_aggregates s WHERE s.error IS NOT NULL ORDER BY s.ordinal"
    )
    names = Stopped.__struct_fields__
    return [Stopped(**dict(zip(names, row, strict=True))) for row in rows]


def parked(driver: Driver, consumer: str, topic: str, aggregate: str, limit: int = _EVERY) -> list[Parked]:
    """The records kept of a stopped aggregate, in order, the one that stopped it first; held in a transaction."""
    rows = driver.execute(
        "SELECT topic, aggregate, event_id, error, partition, position, value, at, headers, attempts, replays "
        "FROM stopped_aggregates WHERE consumer=? AND topic=? AND aggregate=? ORDER BY ordinal LIMIT ? "
        "/*pg FOR UPDATE */",
        (consumer, topic, aggregate, limit),
    )
    return [_parked(row) for row in rows]


def _parked(row: tuple[Any, ...]) -> Parked:
    fields = dict(zip(Parked.__struct_fields__, row, strict=True))
    return Parked(**fields | {"headers": msgspec.json.decode(fields["headers"], type=dict[str, str])})


def unpark(driver: Driver, consumer: str, record: Parked) -> None:
    """Forget a kept record: it had its effect, or was given up."""
    driver.execute(
        "DELETE FROM stopped_aggregates WHERE consumer=? AND topic=? AND aggregate=? AND event_id=?",
        (consumer, record.topic, record.aggregate, record.event_id),
    )


def note_replay(driver: Driver, consumer: str, record: Parked, error: str) -> None:
    """A kept record failed once more, so it is what stops its aggregate (now, if it was not before)."""
    driver.execute(
        "UPDATE stopped_aggregates SET error=?, replays=replays+1 "
        "WHERE consumer=? AND topic=? AND aggregate=? AND event_id=?",
        (error, consumer, record.topic, record.aggregate, record.event_id),
    )
