"""Bugs of delivery, outbox, relay, stores and requests."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from shop_stack.errors import EventLogError
from shop_stack.eventlog import delivery, idempotency, inbox, outbox, relay
from shop_stack.eventlog.interface import Record
from shop_stack.hosting import context as hosting_context
from shop_stack.hosting import sqlite_store
from shop_stack.hosting.service import Answer
from tests.mutations.bugs import Patch, bug

# Delivery


@bug("no inbox")
def no_inbox(patch: Patch) -> None:
    patch.setattr(inbox, "enter", lambda *_: True)


@bug("the inbox is written before the effect, in a transaction of its own")
def inbox_before(patch: Patch) -> None:
    original = delivery.Delivery._apply

    def apply(self: Any, arrivals: Sequence[Any]) -> None:
        fresh = []
        with self._transaction() as work:
            for arrival in arrivals:
                known = arrival.envelope is not None and not inbox.enter(work.driver, self._name, arrival.event_id, 1)
                if not known:
                    fresh.append(arrival)
        with patch.context() as inner:
            inner.setattr(inbox, "enter", lambda *_: True)
            original(self, fresh)

    patch.setattr(delivery.Delivery, "_apply", apply)


@bug("positions are committed before the records are handled")
def commit_before_processing(patch: Patch) -> None:
    original = delivery.Delivery._poll

    def poll(self: Any, consumer: Any) -> Any:
        records = original(self, consumer)
        if records:
            consumer.commit({(record.topic, record.partition): record.position + 1 for record in records})
        return records

    patch.setattr(delivery.Delivery, "_poll", poll)


@bug("positions overtake an event that waits")
def position_overtakes(patch: Patch) -> None:
    patch.setattr(delivery.Delivery, "_safe_positions", lambda self: dict(self._next))


@bug("no dead letters: a poison record holds its partition up for ever")
def no_dead_letters(patch: Patch) -> None:
    def wait_on(self: Any, aggregate: Any, waiting: Any) -> None:
        waiting.due = delivery.time.monotonic() + 1.0

    patch.setattr(delivery.Delivery, "_stop_aggregate", wait_on)


@bug("a record that keeps failing is dropped: nobody hears of it")
def failures_dropped(patch: Patch) -> None:
    def drop(self: Any, aggregate: Any, waiting: Any) -> None:
        del self._waiting[aggregate]

    patch.setattr(delivery.Delivery, "_stop_aggregate", drop)


@bug("parking is lost: later events overtake a parked one")
def parking_lost(patch: Patch) -> None:
    patch.setattr(inbox, "any_stopped", lambda driver: False)


@bug("later events overtake one that waits to be tried again")
def waiting_lost(patch: Patch) -> None:
    def settle(self: Any, records: Sequence[Any]) -> None:
        for record in records:
            if (arrival := self._reader.read(record)) is not None:
                self._handle([arrival])
            self._next[record.topic, record.partition] = record.position + 1

    patch.setattr(delivery.Delivery, "settle", settle)


@bug("a replay forgets the records behind the one it handles")
def replay_forgets(patch: Patch) -> None:
    def unpark(driver: sqlite3.Connection, consumer: str, record: Any) -> None:
        driver.execute("DELETE FROM stopped_aggregates WHERE aggregate = ?", (record.aggregate,))

    patch.setattr(inbox, "unpark", unpark)


# Outbox and relay


@bug("dual write: events go to the log before the commit")
def dual_write(patch: Patch) -> None:
    original = outbox.add

    def add(driver: sqlite3.Connection, entry: Any) -> None:
        original(driver, entry)
        frame = _transaction_of(driver)
        if frame is not None:
            frame._log.append(entry.topic, [Record(entry.aggregateid, entry.payload, {}, entry.type)])
            driver.execute("UPDATE outbox SET published = created WHERE id = ?", (entry.id,))

    relays: dict[int, Any] = {}
    begin = relay.Relay.__init__

    def remember(self: Any, database: Any, *arguments: Any) -> None:
        begin(self, database, *arguments)
        relays[id(database.kept().driver)] = self

    def _transaction_of(driver: sqlite3.Connection) -> Any:
        return relays.get(id(driver))

    patch.setattr(relay.Relay, "__init__", remember)
    patch.setattr(outbox, "add", add)


@bug("the relay sends an aggregate's events out of order")
def relay_out_of_order(patch: Patch) -> None:
    original = outbox.unpublished
    patch.setattr(outbox, "unpublished", lambda *arguments: original(*arguments)[::-1])


@bug("the relay marks before the log has acknowledged")
def marks_before_ack(patch: Patch) -> None:
    original = relay.Relay._append

    def append(self: Any, topic: str, rows: list[Any]) -> list[int]:
        self._acknowledge(rows)
        try:
            return original(self, topic, rows)
        except EventLogError:
            return [row.ordinal for row in rows]

    patch.setattr(relay.Relay, "_append", append)


@bug("the relay takes rows with id > last only")
def id_after_last(patch: Patch) -> None:
    original = outbox.unpublished

    def unpublished(driver: sqlite3.Connection, aggregates: Sequence[str]) -> list[Any]:
        last = driver.execute("SELECT coalesce(max(ordinal), 0) FROM outbox WHERE published NOT NULL").fetchone()[0]
        return [row for row in original(driver, aggregates) if row.ordinal > last]

    patch.setattr(outbox, "unpublished", unpublished)


@bug("nobody sweeps what a dead replica left in the outbox")
def no_sweep(patch: Patch) -> None:
    patch.setattr(relay.Relay, "_sweep", lambda self: None)


@bug("two events of one moment share an id")
def shared_ids(patch: Patch) -> None:
    original = hosting_context.uuid7
    patch.setattr(hosting_context, "uuid7", lambda now: original(now, bytes(10)))


# Stores and requests


@bug("a failed transaction is committed all the same")
def commits_failures(patch: Patch) -> None:
    @contextmanager
    def transaction(kept: Any) -> Iterator[None]:
        kept.driver.execute("BEGIN IMMEDIATE")
        kept.writing = True
        try:
            yield
        finally:
            kept.driver.execute("COMMIT")
            kept.writing = False

    patch.setattr(sqlite_store, "_transaction", transaction)


@bug("the idempotency row is written in another transaction")
def key_apart(patch: Patch) -> None:
    def once(self: Any, key: str, subject: str, method: str, path: str, body: bytes, work: Any) -> Answer:
        scope = (subject, method, path, key)
        before = idempotency.kept(self.store.kept().driver, scope)
        if before is not None:
            return Answer(before[1], before[2])
        with self.write() as transaction:
            answer = work(transaction)
        with self.write() as transaction:
            idempotency.keep(transaction.driver, scope, body, answer.status, answer.body, 1)
        return answer  # type: ignore[no-any-return]

    patch.setattr(hosting_context.Context, "once", once)


@bug("no idempotency: a request that comes again is done again")
def no_keys(patch: Patch) -> None:
    patch.setattr(idempotency, "kept", lambda *_: None)
    patch.setattr(idempotency, "keep", lambda *_: None)
