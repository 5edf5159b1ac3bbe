"""Plain orders are told from all others without a loss: the judgements are those of going through every row."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from shop_stack.operations import audit_stores as stores
from shop_stack.operations import audit_tasks
from shop_stack.operations.audit import Excuses, Invariant, Watermark
from shop_stack.operations.audit_log import LogRows
from shop_stack.operations.audit_tasks import Frame

S = 1_000_000
NOW_S = int(timedelta(days=2).total_seconds())
TABLES = {
    "orders": (
        "CREATE TABLE orders (order_id, state, total_minor, placed_us, customer_id)",
        "CREATE TABLE outbox (ordinal INTEGER PRIMARY KEY, aggregateid, created)",
        "CREATE TABLE idempotency_keys (subject, method, path, key, status, answer, at)",
    ),
    "inventory": ("CREATE TABLE reservations (order_id, state)",),
    "payments": ("CREATE TABLE payments (order_id, state, amount_minor)",),
    "shipping": ("CREATE TABLE shipments (order_id, state)",),
    "customers": (
        "CREATE TABLE people (customer_id, erased_us)",
        "CREATE TABLE erasures (ids, erased_us)",
        "CREATE TABLE erasure_answers (customer_id, place, at_us)",
        "INSERT INTO people VALUES ('c1', 5)",
    ),
    "provider": (
        "CREATE TABLE accounts (order_id, state, authorised_minor, captured_minor, refunded_minor)",
        "CREATE TABLE answers (order_id, key, step, amount_minor, status)",
    ),
}
ORDER_STATES = ("completed", "rejected", "cancelled", "captured", "shipped", "placed")
KEY = "INSERT INTO idempotency_keys VALUES (?, 'POST', '/v1/orders', ?, ?, ?, 0)"
ENDS = {"completed": ("sold", "captured", "delivered"), "rejected": ("released", "declined", None)}


class SmallBooks:
    """Stores in a folder, with nothing but what is asked of orders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, statements in TABLES.items():
            with closing(self.write(name)) as store, store:
                for sql in statements:
                    store.execute(sql)

    def write(self, name: str) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / f"{name}.db")

    def store(self, service: str) -> sqlite3.Connection:
        return stores.open_store(self._folder / f"{service}.db")

    def ledger(self) -> sqlite3.Connection:
        return self.store("provider")

    def operations(self) -> sqlite3.Connection:
        raise NotImplementedError

    def log(self) -> LogRows:
        raise NotImplementedError


def fill(books: SmallBooks, chance: random.Random, wrong: float) -> None:
    """Forty orders; each fact is wrong by this chance. Some facts are of no order."""

    def maybe(right: object, *others: object) -> object:
        return chance.choice(others) if chance.random() < wrong else right

    rows: dict[str, list[tuple[str, tuple[object, ...]]]] = {name: [] for name in TABLES}

    def add(name: str, sql: str, *values: object) -> None:
        rows[name].append((sql, values))

    for number in range(40):
        order_id = f"o{number}"
        end = "completed" if number % 4 else "rejected"
        stock, money, parcel = ENDS[end]
        total, placed = 500 + number, maybe(NOW_S - 1000, NOW_S, 5)
        assert isinstance(placed, int)
        if maybe(True, False):
            values = (order_id, maybe(end, *ORDER_STATES), maybe(total, 0, 7), placed * S, f"c{number % 3}")
            add("orders", "INSERT INTO orders VALUES (?, ?, ?, ?, ?)", *values)
            add("orders", "INSERT INTO outbox (aggregateid, created) VALUES (?, ?)", order_id, placed * S)
        for again in range(int(str(maybe(1, 0, 2)))):
            answer = maybe(msgspec.json.encode({"order_id": order_id}), b"{}", b"{broken", b'{"order_id":"nobody"}')
            add("orders", KEY, f"c{number % 3}", f"k{number}-{again}", 202, answer)
        if state := maybe(stock, "sold", "reserved", None):
            add("inventory", "INSERT INTO reservations VALUES (?, ?)", order_id, state)
        if state := maybe(money, "captured", "authorised", None):
            add("payments", "INSERT INTO payments VALUES (?, ?, ?)", order_id, state, maybe(total, 3))
        taken = total if money == "captured" else 0
        if state := maybe(money, "voided", "authorised", None):
            account = (order_id, state, total, maybe(taken, 0, total), maybe(0, total))
            add("provider", "INSERT INTO accounts VALUES (?, ?, ?, ?, ?)", *account)
        for again in range(int(str(maybe(1 if taken else 0, 2)))):
            sql = "INSERT INTO answers VALUES (?, ?, 'capture', ?, 200)"
            add("provider", sql, order_id, f"{order_id}/{again}", total)
        if state := maybe(parcel, "wanted", "delivered", None):
            add("shipping", "INSERT INTO shipments VALUES (?, ?)", order_id, state)
    for name, some in rows.items():
        with closing(books.write(name)) as store, store:
            for sql, values in some:
                store.execute(sql, values)


def said(found: list[Invariant]) -> Iterator[tuple[object, ...]]:
    """All that was found but for the order of the examples."""
    for one in found:
        yield (one.name, one.status, one.rows_checked, one.violations, one.explained, one.in_flight,
               sorted(one.counter_examples) if len(one.counter_examples) < 10 else None)  # fmt: skip


def both_ways(books: SmallBooks, mark: Watermark, excuses: Excuses, monkeypatch: pytest.MonkeyPatch) -> list[Invariant]:
    """What the quick way finds, which is what going through every row finds."""
    frame = Frame(watermark=mark, excuses=excuses, ends={}, sources=[], step_deadline_s=20.0, delivery_s=30.0)
    quick = audit_tasks.audit_orders(books, frame)
    monkeypatch.setattr(stores, "read_marked", lambda *stores: None)
    monkeypatch.setattr(stores, "read_captured", lambda ledger: None)
    thorough = audit_tasks.audit_orders(books, frame)
    assert list(said(quick)) == list(said(thorough))
    return quick


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_by_looking_only_at_what_is_not_plain(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    books = SmallBooks(tmp_path)
    fill(books, chance, wrong=(0.0, 0.01, 0.03, 0.2)[seed % 4])
    excuses = Excuses(parked=frozenset({"o1", "o4"})) if seed % 3 == 0 else Excuses()
    mark = Watermark(at_us=(NOW_S - 500) * S, now_us=NOW_S * S, strict=seed % 2 == 0)
    quick = both_ways(books, mark, excuses, monkeypatch)
    assert sum(one.rows_checked for one in quick) > 150
    if seed % 4 == 0 and not excuses.parked:
        assert {one.status for one in quick} == {"ok"}
    if seed % 4 == 3:
        assert sum(one.status == "violated" for one in quick) >= 5, "the books are broken in many ways"


@pytest.mark.parametrize(
    ("store", "sql", "violated"),
    [
        ("inventory", "DELETE FROM reservations", "completed_orders_are_whole"),
        ("payments", "DELETE FROM payments", "money_sums_agree"),
        ("shipping", "DELETE FROM shipments", "completed_orders_are_whole"),
        ("provider", "DELETE FROM accounts", "money_equals_orders"),
        ("orders", """UPDATE idempotency_keys SET answer = CAST('{"order_id":"o1"},{"order_id":"o2"}' AS BLOB)
                      WHERE key = 'k1-0'""", "one_key_one_order"),
    ],
)  # fmt: skip
def test_a_book_that_is_empty_or_strange_is_judged_as_row_by_row(
    store: str, sql: str, violated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = SmallBooks(tmp_path)
    fill(books, random.Random(0), wrong=0.0)
    with closing(books.write(store)) as written, written:
        assert written.execute(sql).rowcount > 0
    mark = Watermark(at_us=(NOW_S - 500) * S, now_us=NOW_S * S, strict=True)
    found = both_ways(books, mark, Excuses(), monkeypatch)
    assert violated in {one.name for one in found if one.status == "violated"}, found


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("orders", "UPDATE orders SET total_minor = 'much' WHERE order_id = 'o1'"),
        ("inventory", "UPDATE reservations SET order_id = NULL WHERE order_id = 'o1'"),
        ("payments", "UPDATE payments SET amount_minor = 1.5 WHERE order_id = 'o1'"),
        ("shipping", "UPDATE shipments SET order_id = 'two' || char(10) || 'lines' WHERE order_id = 'o1'"),
        ("provider", "UPDATE accounts SET captured_minor = NULL WHERE order_id = 'o1'"),
    ],
)
def test_what_is_no_column_is_left_to_the_rows(table: str, sql: str, tmp_path: Path) -> None:
    books = SmallBooks(tmp_path)
    fill(books, random.Random(0), wrong=0.0)
    names = ("orders", "inventory", "payments", "shipping")

    def marked() -> object:
        with ExitStack() as stack:
            opened = {name: stack.enter_context(closing(books.store(name))) for name in names}
            return stores.read_marked(opened, stack.enter_context(closing(books.ledger())))

    assert marked() is not None
    with closing(books.write(table)) as store, store:
        store.execute(sql)
    assert marked() is None


def test_who_came_back_under_an_erased_id_may_have_lost_the_keys_until_orders_has_answered(tmp_path: Path) -> None:
    with closing(SmallBooks(tmp_path).write("customers")) as customers, customers:
        told = [(b'["guest-1", "c2"]', 7), (b'["c3"]', 9), (b'["c4"]', None)]
        customers.executemany("INSERT INTO erasures VALUES (?, ?)", told)
        answers = [("guest-1", "orders", 20), ("guest-1", "orders", 30), ("c2", "shipping", 40)]
        customers.executemany("INSERT INTO erasure_answers VALUES (?, ?, ?)", answers)
    with closing(stores.open_store(tmp_path / "customers.db")) as customers:
        assert stores.read_forgotten(customers) == {"c1": 5, "guest-1": 30, "c2": 1 << 62, "c3": 1 << 62}


def test_a_snapshot_holds_until_the_next_is_taken(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as writer, writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (n)")
        writer.commit()
        with closing(stores.open_store(tmp_path / "a.db")) as reader:
            seen = []
            for number in range(3):
                stores.take_snapshot(reader)
                writer.execute("INSERT INTO t VALUES (?)", (number,))
                writer.commit()
                seen.append(reader.execute("SELECT count(*) FROM t").fetchone()[0])
    assert seen == [0, 1, 2]
