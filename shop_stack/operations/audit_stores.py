"""The auditor's read-only handle on every store: one snapshot each, and the rows that the invariants take.

Only the auditor reads stores that are not its own (an import contract names it); it goes past the services' modules,
so that their mistakes are not its own. A table that is not there has no rows.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np

from shop_stack.events import StockLevelChanged, StockReceived
from shop_stack.operations.audit import AccountRow, CaptureRow, KeyRow, OrderRow
from shop_stack.operations.audit_books import Book, BookUnreadable
from shop_stack.operations.audit_columns import NO_TEXTS, Numbers, Texts, column, joined_texts, split
from shop_stack.operations.audit_erasure import ErasedRow
from shop_stack.operations.audit_operators import ActionRow, AuditRow
from shop_stack.operations.audit_orders import Marked, Marks
from shop_stack.operations.audit_stock import LevelRow, ReservationRow, StockChange
from shop_stack.operations.audit_streams import Outgoing

_AT_ONCE = 20_000
Row = TypeVar("Row", bound=tuple[Any, ...])
_MAPPED = 1 << 40  # bytes: a read call a page costs more than the page


class _Promised(msgspec.Struct, gc=False):
    order_id: str | None = None


class _Line(msgspec.Struct, gc=False):
    product_id: str
    quantity: int


class _Units(msgspec.Struct, gc=False):
    product_id: str = ""
    quantity: int | None = None
    available: int = 0
    reserved: int = 0
    sold: int = 0


class _StockEvent(msgspec.Struct, gc=False):
    data: _Units


class _Correlated(msgspec.Struct):
    correlationid: str | None = None


class _Action(msgspec.Struct):
    action_id: str
    kind: str
    group: str
    state: str
    actor: str
    replicas: int | None = None


_ORDERS_DROPPED = "SELECT customer_id, max(at_us) FROM erasure_answers WHERE place = 'orders' GROUP BY customer_id"
_NEVER = 1 << 62
_ids = msgspec.json.Decoder(list[str])
_promised = msgspec.json.Decoder(_Promised)
_all_promised = msgspec.json.Decoder(list[_Promised])
_all_lines = msgspec.json.Decoder(list[list[_Line]])
_stock_events = msgspec.json.Decoder(list[_StockEvent])
_correlated = msgspec.json.Decoder(_Correlated)
_action = msgspec.json.Decoder(_Action)


def open_store(path: Path) -> sqlite3.Connection:
    """A read-only connection with its snapshot taken; an empty database when there is no file.

    Raises BookUnreadable.
    """
    if not path.exists():
        return sqlite3.connect(":memory:", isolation_level=None)
    try:
        uri = f"file:{quote(str(path))}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA mmap_size={_MAPPED}")
        take_snapshot(connection)
    except sqlite3.Error as error:
        raise BookUnreadable(f"{path} cannot be audited: {error}; look at the file") from error
    return connection


def take_snapshot(connection: sqlite3.Connection) -> None:
    """Hold the connection to what is committed now, until it is closed or told so again."""
    if connection.in_transaction:
        connection.execute("COMMIT")
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _rows(connection: Book, table: str, sql: str, values: Sequence[object] = ()) -> Iterator[Any]:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return iter(connection.execute(sql, values)) if there else iter(())


def _made(kind: type[Row], rows: Iterable[Any]) -> Iterator[Row]:
    """Rows with their columns' names; without the check that `_make` does of each."""
    return map(partial(tuple.__new__, kind), rows)


def read_orders(orders: Book, watermark_us: int, only: Sequence[str] | None = None) -> dict[str, OrderRow]:
    """The orders by id, all or `only` these; `moved_us` is when the last event was committed if that was at the
    watermark or later, else when it was placed; microseconds since 1970.
    """
    moved = _recently_moved(orders, watermark_us)
    sql = "SELECT order_id, state, total_minor, placed_us, placed_us, customer_id FROM orders"
    found = {row.order_id: row for row in _made(OrderRow, _of_orders(orders, "orders", sql, only))}
    for order_id in moved.keys() & found.keys():
        found[order_id] = found[order_id]._replace(moved_us=moved[order_id])
    return found


def _of_orders(store: Book, table: str, sql: str, only: Sequence[str] | None) -> Iterator[Any]:
    if only is None:
        return _rows(store, table, sql)
    if not only:
        return iter(())
    some = msgspec.json.encode(only).decode()
    return _rows(store, table, sql + " WHERE order_id IN (SELECT value FROM json_each(?))", (some,))  # noqa: S608


def _recently_moved(orders: Book, since_us: int) -> dict[str, int]:
    moved: dict[str, int] = {}
    sql = "SELECT aggregateid, created FROM outbox ORDER BY ordinal DESC"
    for order_id, created in _rows(orders, "outbox", sql):
        if created < since_us:
            break
        moved.setdefault(order_id, created)
    return moved


def read_promised(orders: Book) -> tuple[int, Texts]:
    """How many idempotency keys of checkouts there are, and the orders that those name which name one."""
    cursor = _rows(orders, "idempotency_keys", f"SELECT answer FROM idempotency_keys {_CHECKOUTS}")  # noqa: S608
    number, parts = 0, [NO_TEXTS]
    while rows := list(islice(cursor, _AT_ONCE)):
        number += len(rows)
        parts.append(column([one for one in _orders_promised([answer for (answer,) in rows]) if one is not None]))
    return number, joined_texts(parts)


_CHECKOUTS = "WHERE method = 'POST' AND path = '/v1/orders'"


def read_keys(orders: Book) -> Iterator[KeyRow]:
    """The idempotency keys of checkouts."""
    sql = f"SELECT subject, key, status, at, answer FROM idempotency_keys {_CHECKOUTS}"  # noqa: S608
    cursor = _rows(orders, "idempotency_keys", sql)
    while rows := list(islice(cursor, _AT_ONCE)):
        subjects, names, statuses, ats, answers = zip(*rows, strict=True)
        yield from _made(KeyRow, zip(subjects, names, statuses, _orders_promised(answers), ats, strict=True))


def _orders_promised(answers: Sequence[bytes]) -> list[str | None]:
    try:
        promised = _all_promised.decode(b"[" + b",".join(answers) + b"]")
        if len(promised) == len(answers):
            return [one.order_id for one in promised]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # one of them is none: each by itself
    return [_order_promised(answer) for answer in answers]


def _order_promised(answer: bytes) -> str | None:
    try:
        return _promised.decode(answer).order_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def read_erased(customers: Book) -> list[ErasedRow]:
    """Those who are erased now, under each id that they had."""
    sql = "SELECT customer_id, erased_us FROM people WHERE erased_us IS NOT NULL"
    return [ErasedRow._make(row) for row in _rows(customers, "people", sql)]


def read_forgotten(customers: Book) -> dict[str, int]:
    """Up to when orders may have lost their keys, by each id that was ever erased (microseconds since 1970).

    Somebody may come back under an id that was erased; until orders has answered, the time is beyond any order.
    """
    until = {row.customer_id: row.erased_us for row in read_erased(customers)}
    dropped = dict(_rows(customers, "erasure_answers", _ORDERS_DROPPED))
    for (ids,) in _rows(customers, "erasures", "SELECT ids FROM erasures WHERE erased_us IS NOT NULL"):
        until |= {one: dropped.get(one, _NEVER) for one in _ids.decode(ids)}
    return until


def read_accounts(ledger: Book, only: Sequence[str] | None = None) -> dict[str, AccountRow]:
    """The provider's accounts by order."""
    sql = "SELECT order_id, state, authorised_minor, captured_minor, refunded_minor FROM accounts"
    return {row.order_id: row for row in _made(AccountRow, _of_orders(ledger, "accounts", sql, only))}


def read_captured(ledger: Book) -> Texts | None:
    """The order of each capture that the provider approved; None when they are no plain texts."""
    sql = "SELECT count(*), CAST(group_concat(order_id, char(10)) AS BLOB) FROM answers"
    number, ids = next(_rows(ledger, "answers", f"{sql} WHERE step = 'capture' AND status = 200"), (0, b""))
    found = split(ids, number)
    return found if len(found) == number else None


def read_captures(ledger: Book) -> Iterator[CaptureRow]:
    """The captures that the provider approved, one a key."""
    sql = "SELECT order_id, key, amount_minor FROM answers WHERE step = 'capture' AND status = 200"
    return _made(CaptureRow, _rows(ledger, "answers", sql))


def read_payments(payments: Book, only: Sequence[str] | None = None) -> dict[str, tuple[str, int]]:
    """(state, amount in minor units) by order."""
    sql = "SELECT order_id, state, amount_minor FROM payments"
    rows = _of_orders(payments, "payments", sql, only)
    return {order_id: (state, amount) for order_id, state, amount in rows}


def read_shipments(shipping: Book, only: Sequence[str] | None = None) -> dict[str, str]:
    """The parcels' states by order."""
    return dict(_of_orders(shipping, "shipments", "SELECT order_id, state FROM shipments", only))


def read_reservation_states(inventory: Book, only: Sequence[str] | None = None) -> dict[str, str]:
    """The reservations' states by order."""
    return dict(_of_orders(inventory, "reservations", "SELECT order_id, state FROM reservations", only))


_MARKED = {
    "orders": ("CASE state WHEN 'completed' THEN 'c' WHEN 'rejected' THEN 'f' WHEN 'cancelled' THEN 'f' ELSE '-' END",
               "total_minor", "placed_us"),
    "reservations": ("CASE state WHEN 'sold' THEN 's' WHEN 'reserved' THEN 'r' ELSE '-' END", "0", "0"),
    "accounts": ("CASE state WHEN 'authorised' THEN 'h' ELSE '-' END", "captured_minor - refunded_minor", "0"),
    "payments": ("'-'", "CASE state WHEN 'captured' THEN amount_minor ELSE 0 END", "0"),
    "shipments": ("CASE state WHEN 'delivered' THEN 'd' ELSE '-' END", "0", "0"),
}  # fmt: skip


def read_marked(opened: Mapping[str, Book], ledger: Book) -> Marked | None:
    """What these stores and the provider's ledger have of orders; None when one cannot be read as columns."""
    orders, reservations = read_marks(opened["orders"], "orders"), read_marks(opened["inventory"], "reservations")
    accounts, payments = read_marks(ledger, "accounts"), read_marks(opened["payments"], "payments")
    shipments = read_marks(opened["shipping"], "shipments")
    if orders is None or reservations is None or accounts is None or payments is None or shipments is None:
        return None
    return Marked(orders, reservations, accounts, payments, shipments)


def read_marks(store: Book, table: str) -> Marks | None:
    """A table of orders as columns; None when its ids or its amounts are not what they must be."""
    letter, amount, at = _MARKED[table]
    sql = (
        f"SELECT count(*), CAST(group_concat(order_id, char(10)) AS BLOB), CAST(group_concat({letter}, '') AS BLOB), "  # noqa: S608
        f"group_concat({amount}), group_concat({at}) FROM {table}"
    )
    number, ids, letters, amounts, ats = next(_rows(store, table, sql), (0, b"", b"", "", ""))
    if number == 0:
        return Marks(NO_TEXTS, *(np.zeros(0, dtype=np.int64) for _ in range(3)))
    try:
        marks = Marks(split(ids, number), np.frombuffer(letters, dtype=np.uint8), _whole(amounts), _whole(ats))
    except ValueError:
        return None
    return marks if all(len(of) == number for of in marks) else None


def _whole(numbers: str) -> Numbers:
    return np.array(numbers.split(","), dtype=np.int64)


def read_reservations(inventory: Book) -> Iterator[ReservationRow]:
    """The reservations that hold or have sold something."""
    sql = "SELECT order_id, state, lines FROM reservations WHERE state IN ('reserved', 'sold')"
    cursor = _rows(inventory, "reservations", sql)
    while rows := list(islice(cursor, _AT_ONCE)):
        decoded = _all_lines.decode("[" + ",".join([lines for _, _, lines in rows]) + "]")
        for (order_id, state, _), lines in zip(rows, decoded, strict=True):
            yield ReservationRow(order_id, state, [(line.product_id, line.quantity) for line in lines])


def read_levels(inventory: Book) -> list[LevelRow]:
    """The stock items."""
    sql = "SELECT product_id, available, reserved, sold FROM stock_items"
    return [LevelRow._make(row) for row in _rows(inventory, "stock_items", sql)]


def read_stock_changes(inventory: Book) -> Iterator[StockChange]:
    """The events of stock items in the order of their commits."""
    sql = "SELECT payload FROM outbox WHERE type IN (?, ?) ORDER BY ordinal"
    cursor = _rows(inventory, "outbox", sql, (StockReceived.type, StockLevelChanged.type))
    while payloads := [payload for (payload,) in islice(cursor, 1000)]:
        events = [event.data for event in _stock_events.decode(b"[" + b",".join(payloads) + b"]")]
        rows = [(one.product_id, one.quantity, one.available, one.reserved, one.sold) for one in events]
        yield from _made(StockChange, rows)


def read_outbox(store: Book, column: str = "id") -> dict[str, Outgoing]:
    """The event ids of an outbox by topic; `column` names its id."""
    published: dict[str, list[Texts]] = {}
    pending: dict[str, list[Texts]] = {}
    last = next(_rows(store, "outbox", "SELECT max(ordinal) FROM outbox"), (None,))[0] or 0
    most = next(_rows(store, "outbox", "SELECT topic FROM outbox LIMIT 1"), ("",))[0]
    usual = "FILTER (WHERE topic = ?3 AND published IS NOT NULL)"
    sql = (
        f"SELECT count(*), count(*) {usual}, CAST(group_concat({column}, char(10)) {usual} AS BLOB) FROM outbox "  # noqa: S608
        "WHERE ordinal > ?1 AND ordinal <= ?2"
    )
    others = (
        f"SELECT topic, published IS NULL, {column} FROM outbox WHERE ordinal > ?1 AND ordinal <= ?2 "  # noqa: S608
        "AND NOT (topic = ?3 AND published IS NOT NULL)"
    )
    for begin in range(0, last, _AT_ONCE):
        bounds = (begin, begin + _AT_ONCE, most)
        every, number, ids = store.execute(sql, bounds).fetchone()
        if number:
            published.setdefault(most, []).append(split(ids, number))
        for topic, waits, event_id in store.execute(others, bounds) if number < every else ():
            (pending if waits else published).setdefault(topic, []).append(np.array([event_id.encode()]))
    return {
        topic: Outgoing(joined_texts(published.get(topic, [])), joined_texts(pending.get(topic, [])))
        for topic in published.keys() | pending.keys()
    }


def oldest_unpublished(store: Book) -> int | None:
    """When the oldest event was written that is not marked as published; microseconds since 1970."""
    created = next(_rows(store, "outbox", "SELECT min(created) FROM outbox WHERE published IS NULL"), (None,))[0]
    return int(created) if created is not None else None


def read_inbox(store: Book, consumer: str) -> Texts:
    """The ids that a consumer has handled."""
    parts: list[Texts] = []
    bound = "SELECT event_id FROM inbox WHERE consumer = ? AND event_id > ? ORDER BY event_id LIMIT 1 OFFSET ?"
    ids = "SELECT count(*), CAST(group_concat(event_id, char(10)) AS BLOB) FROM inbox WHERE consumer = ?1 "
    last = ""
    while found := next(_rows(store, "inbox", bound, (consumer, last, _AT_ONCE - 1)), None):
        number, joined = store.execute(
            f"{ids}AND event_id > ?2 AND event_id <= ?3", (consumer, last, *found)
        ).fetchone()
        parts.append(split(joined, number))
        last = found[0]
    number, joined = next(_rows(store, "inbox", f"{ids}AND event_id > ?2", (consumer, last)), (0, b""))
    parts.append(split(joined, number))
    return joined_texts(parts)


def read_parked(store: Book, consumer: str) -> tuple[Texts, set[str]]:
    """The ids that a consumer keeps for later, and the aggregates and orders that are behind them."""
    ids: list[str] = []
    behind: set[str] = set()
    sql = "SELECT event_id, aggregate, value FROM stopped_aggregates WHERE consumer = ?"
    for event_id, aggregate, value in _rows(store, "stopped_aggregates", sql, (consumer,)):
        ids.append(event_id)
        behind.add(aggregate)
        try:
            correlation = _correlated.decode(value).correlationid
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        behind |= {correlation} if correlation is not None else set()
    return (np.array([one.encode() for one in ids], dtype=np.bytes_) if ids else NO_TEXTS), behind


def read_actions(operations: Book) -> list[ActionRow]:
    """The operators' actions in the order of their requests."""
    rows = _rows(operations, "actions", "SELECT view FROM actions ORDER BY requested, action_id")
    views = [_action.decode(view) for (view,) in rows]
    return [ActionRow(v.action_id, v.kind, v.group, v.state, v.actor, v.replicas) for v in views]


def read_audit(operations: Book) -> list[AuditRow]:
    """Operations' audit chain."""
    sql = "SELECT number, at, actor, did, previous, hash FROM audit ORDER BY number"
    return [AuditRow._make(row) for row in _rows(operations, "audit", sql)]
