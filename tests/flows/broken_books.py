"""Hands that break the books as bugs and bad disks would, and the invariants that must notice, with their words."""

from collections.abc import Callable
from pathlib import Path

from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.operations.audit import Report
from shop_stack.settings import Home
from tests.store_hands import Hands, change, look

Break = Callable[[Hands], object]
_ANOTHER = (
    "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, sequence, topic, key, created, published) "
    "SELECT ?, aggregatetype, aggregateid, type, ?, CAST(? AS bigint), topic, key, created, published "
    "FROM outbox WHERE id = ?"
)
_OF_VERSION = "SELECT payload, id FROM outbox WHERE aggregateid = ? AND sequence = ?"


def one_order(hands: Hands, state: str = "completed") -> str:
    found = hands.look("orders", "SELECT order_id FROM orders WHERE state = ? ORDER BY order_id LIMIT 1", state)
    return str(found[0][0])


def topic_file(home: Home, topic: str = "shop.orders") -> Path:
    return home.log / "topics" / f"{topic}.db"


def drop_record(hands: Hands, topic: str, event_id: object) -> None:
    change(topic_file(hands.home, topic), "DELETE FROM records WHERE instr(CAST(value AS TEXT), ?) = 28", [(event_id,)])


def double_capture(hands: Hands) -> None:
    again = "SELECT key || '-2', order_id, step, amount_minor, status, body, 1 FROM answers WHERE key = ?"
    change(hands.home.provider_ledger, f"INSERT INTO answers {again}", [(f"{one_order(hands)}/capture",)])


def money_kept(hands: Hands) -> None:
    refused = one_order(hands, "rejected")
    change(
        hands.home.provider_ledger, "INSERT OR REPLACE INTO accounts VALUES (?, 'captured', 500, 500, 0)", [(refused,)]
    )


def money_held(hands: Hands) -> None:
    refused = one_order(hands, "rejected")
    change(
        hands.home.provider_ledger, "INSERT OR REPLACE INTO accounts VALUES (?, 'authorised', 500, 0, 0)", [(refused,)]
    )


def unpaid(hands: Hands) -> None:
    hands.change("payments", "UPDATE payments SET state = 'authorised' WHERE order_id = ?", [(one_order(hands),)])


def stuck(hands: Hands) -> None:
    hands.change("orders", "UPDATE orders SET state = 'shipped' WHERE order_id = ?", [(one_order(hands),)])


def two_keys(hands: Hands) -> None:
    hands.change("orders", "INSERT INTO idempotency_keys SELECT subject, method, path, key || '-2', body_hash, "
           "status, answer, at FROM idempotency_keys WHERE key = 'key-0'")  # fmt: skip


def lost_order(hands: Hands) -> None:
    hands.change("orders", "DELETE FROM orders WHERE order_id = ?", [(one_order(hands),)])


def oversold(hands: Hands) -> None:
    hands.change("inventory", "UPDATE stock_items SET available = -1 WHERE product_id = 'p0'")


def vanished_units(hands: Hands) -> None:
    hands.change("inventory", "UPDATE stock_items SET sold = sold - 1 WHERE product_id = 'p0'")


def unsold(hands: Hands) -> None:
    hands.change("inventory", "DELETE FROM reservations WHERE order_id = ?", [(one_order(hands),)])


def lost_parcel(hands: Hands) -> None:
    hands.change("shipping", "DELETE FROM shipments WHERE order_id = ?", [(one_order(hands),)])


def lost_tail(hands: Hands) -> None:
    change(topic_file(hands.home, "shop.shipping"), "DELETE FROM records WHERE id = (SELECT max(id) FROM records)")


def never_sent(hands: Hands) -> None:
    last = "UPDATE outbox SET published = NULL WHERE ordinal = (SELECT max(ordinal) FROM outbox)"
    hands.change("shipping", last)
    lost_tail_of_last(hands)


def lost_tail_of_last(hands: Hands) -> None:
    ((event_id,),) = hands.look("shipping", "SELECT id FROM outbox WHERE published IS NULL")
    drop_record(hands, "shop.shipping", event_id)
    hands.change("orders", "DELETE FROM inbox WHERE event_id = ?", [(event_id,)])


def lost_outbox_row(hands: Hands) -> None:
    hands.change("payments", "DELETE FROM outbox WHERE ordinal = 3")


def gap(hands: Hands) -> None:
    """A version that was never written: neither outbox nor log have it."""
    ((event_id,),) = hands.look(
        "orders", "SELECT id FROM outbox WHERE aggregateid = ? AND sequence = 3", one_order(hands)
    )
    hands.change("orders", "DELETE FROM outbox WHERE id = ?", [(event_id,)])
    drop_record(hands, "shop.orders", event_id)


def other_order(hands: Hands) -> None:
    """Two events of one aggregate have changed places in the log."""
    rows = list(
        look(
            topic_file(hands.home), "SELECT id, value FROM records WHERE key = ? ORDER BY id LIMIT 2", one_order(hands)
        )
    )
    change(topic_file(hands.home), "UPDATE records SET value = ? WHERE id = ?",
           [(rows[1][1], rows[0][0]), (rows[0][1], rows[1][0])])  # fmt: skip


def second_event_of_a_version(hands: Hands) -> None:
    """A dual write: another event under a version that is taken, in log and outbox."""
    another(hands, "orders", 10, None, b'"causationid"', b'"of"')


def second_effect(hands: Hands) -> None:
    """An event was handled again: its effect has another id and version."""
    new_id = another(hands, "payments", 2, 3, b'"sequence":2', b'"sequence":3')
    hands.change("orders", "INSERT INTO inbox VALUES ('orders', ?, 0)", [(new_id,)])


def another(hands: Hands, service: str, version: int, as_version: int | None, old: bytes, new: bytes) -> str:
    """Publish an event of an order once more, changed and under a new id, which is returned."""
    order_id = one_order(hands)
    ((payload, event_id),) = hands.look(service, _OF_VERSION, order_id, version)
    assert isinstance(payload, bytes)
    new_id = str(event_id)[:-4] + "ffff"
    value = payload.replace(str(event_id).encode(), new_id.encode()).replace(old, new)
    hands.change(service, _ANOTHER, [(new_id, value, as_version, event_id)])
    with EmbeddedLog(hands.home.log) as log:
        log.append(f"shop.{service}", [Record(order_id, value)])
    return new_id


def lost_inbox_row(hands: Hands) -> None:
    ((event_id,),) = hands.look("payments", "SELECT min(event_id) FROM inbox")
    hands.change("payments", "DELETE FROM inbox WHERE event_id = ?", [(event_id,)])


def handled_twice(hands: Hands) -> None:
    """Without its key the inbox takes anything."""
    for sql in (
        "CREATE TABLE other AS SELECT * FROM inbox",
        "INSERT INTO other SELECT * FROM inbox WHERE event_id = (SELECT min(event_id) FROM inbox)",
        "DROP TABLE inbox",
        "ALTER TABLE other RENAME TO inbox",
    ):
        hands.change("shipping", sql)


BREAKS: dict[Break, dict[str, str]] = {
    double_capture: {"captured_at_most_once": "ORDER was captured 2 times"},
    money_kept: {
        "money_equals_orders": "REFUSED is rejected and the provider keeps 500",
        "money_sums_agree": "200 orders cost",
    },
    money_held: {"failures_leave_nothing": "REFUSED is rejected and the provider still holds 500"},
    unpaid: {"money_sums_agree": "200 orders cost"},
    stuck: {"orders_reach_an_end": "ORDER is still shipped"},
    two_keys: {"one_key_one_order": "ORDER was answered to 2 keys: key-0, key-0-2"},
    lost_order: {
        "one_key_one_order": "ORDER was promised to the key",
        "money_equals_orders": "ORDER is no order",
        "failures_leave_nothing": "ORDER is no order",
    },
    oversold: {"stock_never_negative": "p0 has -1 available", "stock_adds_up": "p0 has -1"},
    vanished_units: {"stock_adds_up": "p0 has"},
    unsold: {"completed_orders_are_whole": "ORDER is completed and its stock is not even", "stock_adds_up": "p0 has"},
    lost_parcel: {"completed_orders_are_whole": "ORDER is completed and its parcel is not there"},
    lost_tail: {"outboxes_equal_log": "is not in the log", "inboxes_equal_log": "was handled by orders"},
    never_sent: {"outboxes_equal_log": "waits to be sent to shop.shipping"},
    lost_outbox_row: {"outboxes_equal_log": "is in shop.payments and in no outbox"},
    gap: {"sequences_gapless": "ORDER has version 4 after 2"},
    other_order: {"sequences_gapless": "ORDER has version 2 after 0"},
    second_event_of_a_version: {"one_event_per_version": "ORDER has a second shop.order.completed.v1 of version 10"},
    second_effect: {"one_effect_per_event": "ORDER had shop.payment.captured.v1 a second time"},
    lost_inbox_row: {"inboxes_equal_log": "was read by payments from shop.orders and had no effect"},
    handled_twice: {"one_effect_per_event": "was handled twice by shipping"},
}
IN_STORES: tuple[Break, ...] = (
    unpaid, stuck, two_keys, lost_order, oversold, vanished_units, unsold, lost_parcel, never_sent, lost_outbox_row,
    gap, second_event_of_a_version, second_effect, lost_inbox_row, handled_twice,
)  # fmt: skip
"""Those that break what services keep; the others break the log or the provider's ledger alone."""


def assert_noticed(broken: Break, hands: Hands, audit: Callable[[], Report]) -> None:
    """Break the books: the audit names what is wrong, whose it is, and nothing else."""
    names = {"ORDER": one_order(hands), "REFUSED": one_order(hands, "rejected")}
    broken(hands)
    report = audit()
    violated = {one.name: one.counter_examples for one in report.invariants if one.status == "violated"}
    assert set(violated) == set(BREAKS[broken])
    assert not report.ok
    for name, words in BREAKS[broken].items():
        for stand_in, order_id in names.items():
            words = words.replace(stand_in, order_id)
        assert any(words in example for example in violated[name]), violated[name]
