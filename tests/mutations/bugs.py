"""Bugs as a shop may have them, each seeded at run time into the real code; the simulation has to catch every one.

A bug is a function that patches what is wrong. The cards keep the handlers and timers they were made with, so those
are exchanged in the template that all schedules of the process begin from.
"""

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import bindparam, update

from shop_stack.errors import EventLogError
from shop_stack.eventlog import delivery, idempotency, inbox, outbox, relay
from shop_stack.eventlog.interface import Record
from shop_stack.events import DispatchRequested
from shop_stack.hosting import context as hosting_context
from shop_stack.hosting import store as hosting_store
from shop_stack.hosting.service import Answer
from shop_stack.hosting.statements import Prepared
from shop_stack.services.inventory import handlers as inventory_handlers
from shop_stack.services.inventory import rules as inventory_rules
from shop_stack.services.inventory import store as inventory_store
from shop_stack.services.orders import rules as orders_rules
from shop_stack.services.orders import store as orders_store
from shop_stack.services.payments import rules as payments_rules
from shop_stack.services.payments import store as payments_store
from shop_stack.trials.shop import shelf

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]
BUGS: dict[str, Bug] = {}


def bug(name: str) -> Callable[[Bug], Bug]:
    """Enter a bug in the table under this name."""

    def enter(seed: Bug) -> Bug:
        BUGS[name] = seed
        return seed

    return enter


def exchange(patch: Patch, service: str, **changes: Any) -> None:
    """Another card for a service."""
    patch.setitem(shelf().cards, service, replace(shelf().cards[service], **changes))


def without_timer(patch: Patch, service: str, name: str) -> None:
    """The service's timer has its turns and does nothing."""
    timers = shelf().cards[service].timers
    changed = tuple(replace(timer, run=lambda _: False) if timer.name == name else timer for timer in timers)
    exchange(patch, service, timers=changed)


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

    patch.setattr(hosting_store, "_transaction", transaction)


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


# Orders


@bug("steps have no deadline")
def no_deadlines(patch: Patch) -> None:
    without_timer(patch, "orders", "deadlines")


@bug("an order is kept by each replica and written without its version")
def stale_orders(patch: Patch) -> None:
    known: dict[str, Any] = {}
    original = orders_store.get_held

    def get_held(connection: Any, order_id: str) -> Any:
        fresh = original(connection, order_id)
        return known.setdefault(order_id, fresh) if fresh is not None else None

    columns = orders_store.ORDERS.c
    names = ("state", "reason", "version", "stock_open", "money_open", "attempts", "deadline_us")
    unguarded = Prepared(
        update(orders_store.ORDERS)
        .where(columns.order_id == bindparam("order"), bindparam("read_version") >= 0)
        .values({name: bindparam(f"new_{name}") for name in names})
    )
    patch.setattr(orders_store, "get_held", get_held)
    patch.setattr(orders_store, "_CHANGE", unguarded)


@bug("an order that is called off keeps the shopper's money held")
def no_void(patch: Patch) -> None:
    original = orders_rules._compensate
    patch.setattr(orders_rules, "_compensate", lambda *given, **how: original(*given, **(how | {"money": False})))


@bug("a shopper may call an order off after its money was taken")
def late_cancellation(patch: Patch) -> None:
    patch.setattr(orders_rules, "may_cancel", lambda order: order.state not in ("completed", "cancelled", "rejected"))


# Payments


@bug("no idempotency key to the provider")
def no_provider_key(patch: Patch) -> None:
    fresh = itertools.count()
    patch.setattr(payments_rules, "key", lambda payment, call: f"{payment.order_id}/{call}/{next(fresh)}")


@bug("a refund is asked for under a new key each time: refunded twice")
def refund_twice(patch: Patch) -> None:
    fresh = itertools.count()
    original = payments_rules.key
    patch.setattr(
        payments_rules,
        "key",
        lambda payment, call: f"{original(payment, call)}/{next(fresh) if call == 'refund' else 0}",
    )


@bug("no refund when the capture comes late")
def no_late_refund(patch: Patch) -> None:
    original = payments_rules._undoing
    patch.setattr(
        payments_rules, "_undoing", lambda payment: None if payment.state == "captured" else original(payment)
    )


@bug("a void that finds the money taken counts as done")
def void_of_captured(patch: Patch) -> None:
    original = payments_rules.settle

    def settle(payment: Any, call: Any, answer: Any) -> Any:
        if isinstance(answer, payments_rules.TakenAlready):
            return payments_rules._moved(payment, "voided")
        return original(payment, call, answer)

    patch.setattr(payments_rules, "settle", settle)


@bug("a compensation is given up when its first answer is lost")
def compensation_once(patch: Patch) -> None:
    original = payments_rules.settle

    def settle(payment: Any, call: Any, answer: Any) -> Any:
        if call in ("void", "refund") and isinstance(answer, payments_rules.Unclear):
            return payments_rules._moved(payment, "voided")
        return original(payment, call, answer)

    patch.setattr(payments_rules, "settle", settle)


@bug("a lost answer counts as a decline")
def unclear_is_declined(patch: Patch) -> None:
    original = payments_rules.settle

    def settle(payment: Any, call: Any, answer: Any) -> Any:
        if isinstance(answer, payments_rules.Unclear):
            answer = payments_rules.Refused("time-out")
        return original(payment, call, answer)

    patch.setattr(payments_rules, "settle", settle)


@bug("an answer that comes twice is booked twice")
def booked_twice(patch: Patch) -> None:
    patch.setattr(payments_rules, "awaits", lambda payment, call: True)


@bug("a crash loses the calls that were handed over: no lease in the store")
def no_lease(patch: Patch) -> None:
    for name in ("add", "change"):
        original = getattr(payments_store, name)

        def put(
            connection: Any, payment: Any, due: Any, cause: Any, claimed: bool = False, put: Any = original
        ) -> None:
            put(connection, payment, None if claimed else due, cause, claimed)

        patch.setattr(payments_store, name, put)


# Inventory


@bug("oversell: the stock's guards are gone")
def oversell(patch: Patch) -> None:
    stock = inventory_store.STOCK
    kinds = ("available", "reserved", "sold", "version")
    unguarded = Prepared(
        update(stock)
        .where(stock.c.product_id == bindparam("product"))
        .values({kind: stock.c[kind] + bindparam(f"d_{kind}") for kind in kinds})
        .returning(*(stock.c[name] for name in ("product_id", *kinds)))
    )
    patch.setattr(inventory_rules, "short", lambda wanted, available: [])
    patch.setattr(inventory_store, "_MOVE", unguarded)
    driver = shelf().stores["inventory"].kept().driver
    driver.execute("PRAGMA ignore_check_constraints=ON")


@bug("expiry frees stock that is sold")
def expiry_of_sold(patch: Patch) -> None:
    columns = inventory_store.RESERVATIONS.c
    forgetful = Prepared(
        update(inventory_store.RESERVATIONS)
        .where(columns.order_id == bindparam("order"), columns.version == bindparam("read_version"))
        .values(state=bindparam("new_state"), version=bindparam("new_version"))
    )
    patch.setattr(inventory_store, "_CHANGE", forgetful)


@bug("a release forgets the units")
def release_forgets(patch: Patch) -> None:
    patch.setattr(inventory_rules, "giving_back", lambda lines: [])


@bug("stock is sold once more for every repeated request")
def sells_again(patch: Patch) -> None:
    def sell(transaction: Any, envelope: Any, context: Any) -> None:
        held = inventory_store.get_held(transaction.connection, envelope.data.order_id)
        if held is not None and held.state == "sold":
            inventory_handlers._move(transaction, inventory_rules.selling(held.lines, held=False), held.order_id)
            return
        inventory_handlers.sell(transaction, envelope, context)

    subscriptions: Mapping[Any, Any] = {**shelf().cards["inventory"].subscriptions, DispatchRequested: sell}
    exchange(patch, "inventory", subscriptions=subscriptions)


@bug("units that were given back are given back again")
def given_back_again(patch: Patch) -> None:
    original = inventory_store.get_held

    def get_held(connection: Any, order_id: str) -> Any:
        held = original(connection, order_id)
        if held is not None and held.state == "released":
            return msgspec.structs.replace(held, state="reserved")
        return held

    patch.setattr(inventory_store, "get_held", get_held)
