"""The auditor's judgements as pure functions: what breaks each, what explains it, and what is still in flight."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from shop_stack.operations import audit, audit_operators, audit_stock
from shop_stack.operations.audit import AccountRow, CaptureRow, Excuses, Invariant, KeyRow, OrderRow, Watermark
from shop_stack.operations.audit_analytics import CountedRow, StateRow, analytics_equals_log, analytics_equals_orders
from shop_stack.operations.audit_erasure import ErasedRow, RemainRow, erased_people_absent, files_below, find_bytes
from shop_stack.operations.audit_operators import ActionRow, AuditRow
from shop_stack.operations.audit_stock import LevelRow, ReservationRow, StockChange

pytestmark = pytest.mark.pure
S = 1_000_000
MARK = Watermark(at_us=100 * S, now_us=1000 * S)
STRICT = msgspec.structs.replace(MARK, strict=True)
NONE = Excuses()
PARKED = Excuses(parked=frozenset({"a"}))
REPORTED = Excuses(incidents=frozenset({"a"}))


def order(
    order_id: str = "a", state: str = "completed", total: int = 500, placed_s: int = 10, moved_s: int = 20
) -> OrderRow:
    return OrderRow(order_id, state, total, placed_s * S, moved_s * S, "jane")


def account(order_id: str = "a", state: str = "captured", captured: int = 500, refunded: int = 0) -> AccountRow:
    return AccountRow(order_id, state, 500, captured, refunded)


def said(found: Invariant) -> tuple[str, int, int, int]:
    """Status, violations, explained, in flight."""
    return found.status, found.violations, found.explained, found.in_flight


def test_an_order_has_its_deadlines_and_a_minute() -> None:
    def judged(*orders: OrderRow, mark: Watermark = MARK, excuses: Excuses = NONE) -> Invariant:
        return audit.orders_reach_an_end(orders, 20.0, 30.0, mark, excuses)

    late, young = order(state="reserved", placed_s=829), order("b", state="placed", placed_s=831)
    assert said(judged(order(), young)) == ("ok", 0, 0, 1)
    assert said(judged(late, young)) == ("violated", 1, 0, 1)
    assert judged(late).counter_examples == ["a is still reserved after 171 s"]
    assert said(judged(late, excuses=REPORTED)) == said(judged(late, excuses=PARKED)) == ("explained", 0, 1, 0)
    assert said(judged(young, mark=STRICT)) == ("violated", 1, 0, 0)


def test_one_key_leads_to_one_order_and_one_order_to_one_key() -> None:
    def judged(orders: list[OrderRow], *rows: KeyRow, forgotten: dict[str, int] | None = None) -> Invariant:
        return audit.one_key_one_order(orders, rows, 5 * S, forgotten)

    key = KeyRow("jane", "k1", 202, "a", 10 * S)
    assert said(judged([order()], key, KeyRow("jane", "k0", 409, None, 9 * S))) == ("ok", 0, 0, 0)
    assert judged([order()], key, key._replace(key="k2")).counter_examples == ["a was answered to 2 keys: k1, k2"]
    assert judged([order()]).status == "violated"
    assert judged([order()], forgotten={"jane": 11 * S}).status == "ok"
    assert judged([order()], forgotten={"jane": 9 * S}).violations == 1, "placed by somebody who came back"
    assert judged([order(placed_s=4)]).status == "ok", "its key may have been pruned"
    assert judged([], key).counter_examples == ["a was promised to the key k1 and is not there"]


def test_a_second_key_at_the_provider_is_a_second_capture() -> None:
    one = CaptureRow("a", "a/capture", 500)
    assert said(audit.captured_at_most_once([one, CaptureRow("b", "b/capture", 500)])) == ("ok", 0, 0, 0)
    twice = audit.captured_at_most_once([one, one._replace(key="a/capture-2")])
    assert twice.counter_examples == ["a was captured 2 times by the provider's ledger"]


@pytest.mark.parametrize(
    ("of", "at", "outcome"),
    [
        (order(), account(), ("ok", 0, 0, 0)),
        (order(), account(captured=499), ("violated", 1, 0, 0)),
        (order(), None, ("violated", 1, 0, 0)),
        (order(state="cancelled"), account(refunded=500), ("ok", 0, 0, 0)),
        (order(state="cancelled"), account(), ("violated", 1, 0, 0)),
        (order(state="authorised"), account(), ("ok", 0, 0, 1)),
        (order(state="captured"), account(refunded=500), ("ok", 0, 0, 1)),
        (order(state="authorised"), account("a", "authorised", 0), ("ok", 0, 0, 0)),
        (None, account(), ("violated", 1, 0, 0)),
        (None, account("a", "voided", 0), ("ok", 0, 0, 0)),
    ],
)
def test_money_is_the_orders_total_or_nothing(
    of: OrderRow | None, at: AccountRow | None, outcome: tuple[str, int, int, int]
) -> None:
    orders = {"a": of} if of else {}
    accounts = {"a": at} if at else {}
    assert said(audit.money_equals_orders(orders, accounts, MARK, NONE)) == outcome
    if outcome[1]:
        assert said(audit.money_equals_orders(orders, accounts, MARK, REPORTED)) == ("explained", 0, 1, 0)


def test_the_three_sums_are_one_but_for_what_is_open_or_explained() -> None:
    orders = {"a": order(), "b": order("b", "rejected"), "c": order("c", "shipped")}
    accounts = {"a": account(), "c": account("c")}
    paid = {"a": ("captured", 500), "b": ("declined", 500), "c": ("captured", 500)}
    assert said(audit.money_sums_agree(orders, accounts, paid, NONE)) == ("ok", 0, 0, 1)
    wrong = {**paid, "a": ("authorised", 500)}
    assert audit.money_sums_agree(orders, accounts, wrong, NONE).counter_examples == [
        "2 orders cost 500, payments captured 0, the provider took 500 (minor units)"
    ]
    assert audit.money_sums_agree(orders, accounts, wrong, PARKED).status == "ok"


def test_failures_leave_nothing() -> None:
    failed = {"a": order(state="rejected")}

    def judged(stock: str | None = None, money: AccountRow | None = None, parcel: str | None = None) -> Invariant:
        held = {"a": stock} if stock else {}
        return audit.failures_leave_nothing(
            failed, held, {"a": money} if money else {}, {"a": parcel} if parcel else {}, NONE
        )

    assert said(judged("released", account("a", "voided", 0))) == ("ok", 0, 0, 0)
    assert judged("reserved").counter_examples == ["a is rejected and its stock is reserved"]
    assert judged("sold").status == "violated"
    assert judged(money=account("a", "authorised", 0)).counter_examples == [
        "a is rejected and the provider still holds 500"
    ]
    assert judged(parcel="wanted").status == "violated"
    orphans = audit.failures_leave_nothing({}, {"x": "released"}, {"y": account("y")}, {"z": "wanted"}, NONE)
    assert orphans.violations == 3


def test_a_completed_order_has_its_goods() -> None:
    def judged(stock: str | None, parcel: str | None, moved_s: int = 20, mark: Watermark = MARK) -> Invariant:
        orders = {"a": order(moved_s=moved_s), "b": order("b", "rejected")}
        return audit.completed_orders_are_whole(
            orders, {"a": stock} if stock else {}, {"a": parcel} if parcel else {}, mark, NONE
        )

    assert said(judged("sold", "delivered")) == ("ok", 0, 0, 0)
    assert said(judged("reserved", "delivered")) == ("violated", 1, 0, 0)
    assert said(judged(None, "delivered", moved_s=100)) == ("ok", 0, 0, 1)
    assert said(judged(None, "delivered", moved_s=100, mark=STRICT)) == ("violated", 1, 0, 0)
    assert said(judged("sold", None)) == ("violated", 1, 0, 0)


def test_stock_is_never_negative_and_adds_up() -> None:
    changes = [StockChange("p", 10), StockChange("p", None, 10, 0, 0), StockChange("p", None, 9, 1, 0),
               StockChange("p", None, 9, 0, 1)]  # fmt: skip
    now, held = [LevelRow("p", 9, 0, 1)], [ReservationRow("a", "sold", [("p", 1)]), ReservationRow("b", "released", [])]
    history = audit_stock.stock_history(changes)
    assert audit_stock.stock_never_negative(history, now).status == "ok"
    whole = audit_stock.stock_adds_up(history, now, held)
    assert (whole.status, whole.rows_checked) == ("ok", 5)

    below = audit_stock.stock_history([*changes, StockChange("p", None, -1, 10, 1), changes[-1]])
    assert audit_stock.stock_never_negative(below, now).counter_examples == [
        "p had -1 available, 10 reserved and 1 sold after a commit"
    ]
    assert audit_stock.stock_never_negative(history, [LevelRow("p", 9, -1, 2)]).status == "violated"
    leaked = audit_stock.stock_history([*changes, StockChange("p", None, 8, 0, 1), changes[-1]])
    assert audit_stock.stock_adds_up(leaked, now, held).counter_examples == [
        "p had 8 + 0 + 1 units after a commit and had received 10"
    ]
    assert audit_stock.stock_adds_up(history, now, []).counter_examples == [
        "p has 0 reserved and 1 sold, and orders hold 0 and bought 0"
    ]
    assert audit_stock.stock_adds_up(history, [LevelRow("p", 8, 0, 1)], held).violations == 2
    assert audit_stock.stock_adds_up(history, [LevelRow("q", 1, 0, 0)], []).violations == 2
    assert audit_stock.stock_adds_up(history, [], [ReservationRow("a", "reserved", [("p", 1)])]).status == "ok"


def chained(*deeds: str) -> list[AuditRow]:
    rows: list[AuditRow] = []
    for number, did in enumerate(deeds, 1):
        previous = rows[-1].hash if rows else ""
        digest = hashlib.sha256("\n".join((previous, str(number), "anna", did)).encode()).hexdigest()
        rows.append(AuditRow(number, number, "anna", did, previous, digest))
    return rows


ACTION = ActionRow("x1", "scale", "orders", "applied", "anna", 3)


def test_each_action_has_one_record_by_the_one_who_asked() -> None:
    rows = chained("x1 scale orders 3 None: load", "acknowledge i1")
    assert said(audit_operators.actions_recorded_once([ACTION], rows)) == ("ok", 0, 0, 0)
    assert audit_operators.actions_recorded_once([ACTION], rows[1:]).counter_examples == [
        "x1 (scale orders) has 0 audit records"
    ]
    assert audit_operators.actions_recorded_once([ACTION], [*rows, *rows]).status == "violated"
    assert audit_operators.actions_recorded_once([ACTION._replace(actor="bert")], rows).counter_examples == [
        "x1 was asked by bert and is recorded of anna"
    ]


def test_the_chain_is_whole_and_has_every_published_head() -> None:
    rows = chained("one", "two", "three")
    assert said(audit_operators.audit_chain_whole(rows, [rows[1].hash])) == ("ok", 0, 0, 0)
    for broken in (rows[1:], [rows[0], rows[2]], [rows[1], rows[0], rows[2]], [rows[0]._replace(did="0"), *rows[1:]]):
        assert audit_operators.audit_chain_whole(broken, []).status == "violated"
    cut = audit_operators.audit_chain_whole(rows[:2], [rows[2].hash])
    assert cut.counter_examples == [f"{rows[2].hash} was published as the head of the audit chain and is not in it"]


def test_replicas_are_those_last_asked_for() -> None:
    def judged(desired: int, *actions: ActionRow) -> Invariant:
        return audit_operators.replicas_as_asked(actions, {"orders": desired})

    later = ACTION._replace(action_id="x2", replicas=2)
    assert said(judged(2, ACTION, later)) == ("ok", 0, 0, 0)
    assert judged(3, ACTION, later).counter_examples == ["orders shall have 3 replicas and was last scaled to 2 (x2)"]
    assert judged(3, ACTION, later._replace(state="failed")).status == "ok"
    assert said(judged(2, ACTION, later._replace(state="requested"))) == ("ok", 0, 0, 1)
    assert judged(1, ACTION._replace(group="core"), ACTION._replace(kind="restart")).rows_checked == 0


def test_analytics_has_each_record_once() -> None:
    def judged(row: CountedRow | None, start: int = 0, strict: bool = False, later: int = 10) -> Invariant:
        found = {("shop.orders", 0): row} if row else {}
        starts, ends, then = ({"shop.orders": {0: position}} for position in (start, 10, later))
        return analytics_equals_log(found, starts, ends, then, strict)

    row = CountedRow("shop.orders", 0, 10, 10, 1)
    assert said(judged(row)) == ("ok", 0, 0, 0)
    assert said(judged(row._replace(position=8, records=8))) == ("ok", 0, 0, 2)
    assert said(judged(row._replace(position=8, records=8), strict=True)) == ("violated", 2, 0, 0)
    assert judged(row._replace(records=9)).counter_examples == [
        "shop.orders/0 was read up to 10 and analytics has 9 records of it"
    ]
    assert judged(row._replace(records=11)).status == "violated"
    assert said(judged(row._replace(records=6), start=4)) == ("ok", 0, 0, 0), "retention may have removed the front"
    grown = row._replace(position=12, records=12)
    assert said(judged(grown, later=12, strict=True)) == ("ok", 0, 0, 0), "the log has grown since"
    assert judged(grown, later=11).counter_examples == ["shop.orders/0 ends at 11 and analytics has read up to 12"]
    assert said(judged(None)) == ("ok", 0, 0, 10)


def test_analytics_knows_the_orders_and_no_other() -> None:
    def judged(of: OrderRow | None, row: StateRow | None, mark: Watermark = MARK) -> tuple[str, int, int, int]:
        orders, states = {"a": of} if of else {}, {"a": row} if row else {}
        return said(analytics_equals_orders(orders, states, mark, NONE))

    assert judged(order(), StateRow("a", "completed", 500)) == ("ok", 0, 0, 0)
    assert judged(order(state="shipped"), StateRow("a", "open", 500)) == ("ok", 0, 0, 0)
    assert judged(order(), StateRow("a", "open", 500)) == ("violated", 1, 0, 0)
    assert judged(order(moved_s=100), StateRow("a", "open", 500)) == ("ok", 0, 0, 1)
    assert judged(order(state="shipped"), StateRow("a", "completed", 500)) == ("ok", 0, 0, 1), "analytics is ahead"
    assert judged(order(state="shipped"), StateRow("a", "completed", 500), STRICT) == ("violated", 1, 0, 0)
    assert judged(order(), StateRow("a", "completed", 499)) == ("violated", 1, 0, 0)
    assert judged(order(), None) == ("violated", 1, 0, 0)
    assert judged(order(moved_s=100), None) == ("ok", 0, 0, 1)
    assert judged(None, StateRow("a", "open", 500)) == ("violated", 1, 0, 0)


def test_of_the_erased_nothing_is_left(tmp_path: Path) -> None:
    erased = [ErasedRow("jane", 10 * S), ErasedRow("joe", 200 * S)]
    remains = [RemainRow("jane", "storefront", "carts", 1), RemainRow("joe", "storefront", "carts", 2)]
    found = erased_people_absent(erased, remains, [], 0, MARK)
    assert said(found) == ("violated", 1, 0, 1), "who was erased just now may still be under way"
    assert found.counter_examples == ["jane is erased and storefront keeps 1 carts"]
    assert said(erased_people_absent([], [], [], 0, MARK)) == ("ok", 0, 0, 0)

    folder = tmp_path / "deep"
    folder.mkdir()
    size = 4 * 1024 * 1024
    (folder / "split.db").write_bytes(b"x" * (size - 3) + b"needle" + b"x" * size + b"needle")
    (folder / "clean").write_bytes(b"needl")
    (folder / "list").write_bytes(b"needle")
    files = files_below(tmp_path, [folder / "list"])
    traces = list(find_bytes([*files, folder / "gone"], [b"needle", b"n"]))
    assert {(Path(trace.file).name, trace.needle, trace.offset) for trace in traces} == {
        ("clean", 2, 0),
        ("split.db", 1, size - 3),
        ("split.db", 2, size - 3),
    }
    assert erased_people_absent([], [], traces, len(files), MARK).violations == 3


def test_parts_of_an_invariant_are_summed_and_the_worst_status_wins() -> None:
    ok = Invariant(name="n", status="ok", rows_checked=2, counter_examples=[], in_flight=1, because="x")
    broken = Invariant(name="n", status="violated", rows_checked=1, counter_examples=["a is wrong"], violations=1)
    explained = Invariant(name="n", status="explained", rows_checked=1, counter_examples=["b is parked"], explained=1)
    other = audit.skipped("m", "not running")
    found = audit.merged([ok, broken, other, explained])
    assert [one.name for one in found] == ["n", "m"]
    assert (said(found[0]), found[0].rows_checked, found[0].because) == (("violated", 1, 1, 1), 4, "x")
    assert found[0].counter_examples == ["a is wrong"]
    assert found[1].status == "skipped"
