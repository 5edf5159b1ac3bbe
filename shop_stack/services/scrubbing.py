"""What every holder of something about a person does at their erasure: notes what it dropped, and says so once gone.

Rows are deleted in the transaction of CustomerErased (the stores overwrite what is deleted). The pages of before
still lie in the write-ahead log, so that it is emptied next; only then PersonScrubbed is published.
"""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, MetaData, String, Table, Text, and_, delete, insert, select

from shop_stack.eventlog.idempotency import KEYS
from shop_stack.events import CustomerErased, PersonScrubbed
from shop_stack.hosting.service import ServiceContext, Timer, Transaction

ANSWERS = "scrubbed"
_AT_ONCE = 100
_NOTES = Table(
    "scrubs",
    MetaData(),
    Column("erasure_id", String(64), primary_key=True),
    Column("customer_id", String(64), primary_key=True),
    Column("erased", Text, nullable=False),
    Column("kept", Text, nullable=False),
)
_erased = msgspec.json.Decoder(dict[str, int])
_kept = msgspec.json.Decoder(list[str])


def notes_in(metadata: MetaData) -> Table:
    """The table of what was dropped and not yet answered for, as one of a store's."""
    return _NOTES.to_metadata(metadata)


def answering() -> Timer:
    """The timer that empties the write-ahead log and answers."""
    return Timer(ANSWERS, every_s=10.0, run=answer)


def note(transaction: Transaction, of: CustomerErased, erased: Mapping[str, int], kept: Sequence[str]) -> None:
    """In the transaction that dropped the rows: note how many of what, and what stays under the id alone."""
    values = {"erased": msgspec.json.encode(erased).decode(), "kept": msgspec.json.encode(kept).decode()}
    known = _one(of.erasure_id, of.customer_id)
    transaction.connection.execute(delete(_NOTES).where(known))
    row = {"erasure_id": of.erasure_id, "customer_id": of.customer_id, **values}
    transaction.connection.execute(insert(_NOTES).values(row))
    transaction.wake(ANSWERS)


def forget_requests(connection: Connection, subject: str) -> int:
    """Drop the kept answers to a person's requests, whose keys they chose themselves; how many."""
    return connection.execute(delete(KEYS).where(KEYS.c.subject == subject)).rowcount


def answer(context: ServiceContext) -> bool:
    """Timer: publish PersonScrubbed for what was dropped, once no page of before is left in the write-ahead log."""
    with context.read() as connection:
        noted = connection.execute(select(_NOTES).limit(_AT_ONCE)).all()
        if not noted or not _empty_log(connection):
            return False
    with context.write() as transaction:
        for erasure_id, customer_id, erased, kept in noted:
            answered = delete(_NOTES).where(_one(erasure_id, customer_id))
            if transaction.connection.execute(answered).rowcount == 1:
                scrubbed = PersonScrubbed(
                    customer_id=customer_id,
                    erasure_id=erasure_id,
                    place=context.name,
                    erased=_erased.decode(erased),
                    kept=_kept.decode(kept),
                )
                transaction.publish(scrubbed, subject=customer_id, sequence=None, correlation=erasure_id)
    return len(noted) == _AT_ONCE


def _one(erasure_id: str, customer_id: str) -> ColumnElement[bool]:
    return and_(_NOTES.c.erasure_id == erasure_id, _NOTES.c.customer_id == customer_id)


def _empty_log(connection: Connection) -> bool:
    """Bring all pages into the database and cut the write-ahead log to nothing; False while a reader needs it."""
    if connection.dialect.name != "sqlite":
        return True
    busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
    return int(busy) == 0
