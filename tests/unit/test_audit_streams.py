"""The auditor's judgements over events as columns: outboxes against log, sequences, versions, effects, inboxes."""

import sqlite3
from contextlib import closing

import msgspec
import numpy as np
import pytest

from shop_stack.operations import audit, audit_columns, audit_stores, audit_streams
from shop_stack.operations.audit import Invariant
from shop_stack.operations.audit_columns import Reading, Records, column, keys
from shop_stack.operations.audit_streams import Outgoing, Subscription

pytestmark = pytest.mark.pure


def said(found: Invariant) -> tuple[str, int, int, int]:
    """Status, violations, explained, in flight."""
    return found.status, found.violations, found.explained, found.in_flight


def event(number: int, subject: str = "a", sequence: int | None = 1, cause: str | None = None, source: str = "/orders",
          kind: str = "shop.order.placed.v1") -> bytes:  # fmt: skip
    wire = {"specversion": "1.0", "id": f"id-{number}", "source": source, "type": kind, "subject": subject}
    return msgspec.json.encode({**wire, "sequence": sequence, "causationid": cause, "data": {}})


def records(*values: bytes, topic: str = "shop.orders") -> Records:
    reading = Reading(topic)
    reading.add(0, range(len(values)), b"\n".join(values), lambda: values)
    return reading.records()


def outgoing(*numbers: int, pending: tuple[int, ...] = ()) -> Outgoing:
    return Outgoing(column([f"id-{n}" for n in numbers]), column([f"id-{n}" for n in pending]))


def test_outboxes_and_log_hold_the_same() -> None:
    log = records(event(1), event(2, sequence=2), event(2, sequence=2), event(9, source="/elsewhere"))

    def judged(sent: Outgoing, judged_to: int = 4, strict: bool = False, since: bytes = b"") -> Invariant:
        return audit_streams.outboxes_equal_log(log, sent, ["/orders"], {0: judged_to}, strict, since)

    whole = judged(outgoing(1, 2))
    assert (said(whole), whole.rows_checked) == (("ok", 0, 0, 0), 5)
    assert judged(outgoing(1, 2, 3)).counter_examples == ["id-3 was sent to shop.orders and is not in the log"]
    assert judged(outgoing(1)).counter_examples == ["a is in shop.orders and in no outbox: id-2"] * 2
    assert said(judged(outgoing(1), judged_to=1)) == ("ok", 0, 0, 2), "it came after the outbox was read"
    assert said(judged(outgoing(1, pending=(2, 3)))) == ("ok", 0, 0, 1), "sent and not yet marked is no difference"
    assert said(judged(outgoing(1, pending=(2, 3)), strict=True)) == ("violated", 1, 0, 0)
    assert judged(outgoing(0, 1), since=b"id-1").violations == 2, "what may have been removed is left out"
    assert judged(outgoing()).status == "violated"


def test_sequences_rise_by_one_and_repeats_do_not_count() -> None:
    def judged(*values: bytes) -> Invariant:
        return audit_streams.sequences_gapless(records(*values), ["/orders"])

    first, second, third = event(1), event(2, sequence=2), event(3, sequence=3)
    other = event(7, "b")
    assert judged(first, other, second, second, first, third, event(4, sequence=None)).rows_checked == 4
    assert judged(first, other, second, second, first, third).status == "ok"
    assert judged(first, third).counter_examples == ["a has version 3 after 1 in shop.orders"]
    assert judged(second, third).counter_examples == ["a has version 2 after 0 in shop.orders"]
    assert judged(first, third, second).violations == 2
    assert judged(first, event(4)).status == "ok", "a second event of a version is another invariant's"
    assert judged(first, event(3, sequence=3, source="/elsewhere")).status == "ok"


def test_one_event_a_version() -> None:
    twice = audit_streams.one_event_per_version(records(event(1), event(1), event(2)), ["/orders"])
    assert twice.counter_examples == ["a has a second shop.order.placed.v1 of version 1: id-2"]
    other_type = event(2, kind="shop.order.advanced.v1")
    assert audit_streams.one_event_per_version(records(event(1), other_type), ["/orders"]).status == "ok"


def test_one_effect_an_event() -> None:
    def judged(*values: bytes, handled: tuple[str, ...] = ("cause",)) -> Invariant:
        return audit_streams.one_effect_per_event(records(*values), ["/orders"], lambda: keys(column(handled)))

    first, again = event(1, cause="cause"), event(2, sequence=2, cause="cause")
    assert judged(first, again).counter_examples == ["a had shop.order.placed.v1 a second time (id-2) of event cause"]
    assert judged(first, again, handled=("another",)).status == "ok", "a request may well have two effects of a kind"
    assert judged(first, event(2, "b", cause="cause")).status == "ok"
    assert judged(first, event(2, sequence=2, cause="cause", kind="shop.order.advanced.v1")).status == "ok"
    inbox = column(["id-1", "id-2", "id-1"])
    assert audit_streams.handled_once("orders", inbox, column(["id-5"])).counter_examples == [
        "id-1 was handled twice by orders"
    ]
    assert audit_streams.handled_once("orders", inbox[:2], column(["id-2"])).counter_examples == [
        "id-2 is parked at orders, which has handled it"
    ]


def test_what_is_subscribed_and_committed_was_handled_or_is_parked() -> None:
    log = records(event(1), event(2, "b"), event(3, "c", kind="shop.order.advanced.v1"), event(4, "d"))
    mine = Subscription("payments", frozenset({"shop.order.placed.v1"}), {0: 3}, column(["id-1", "id-2"]))
    assert said(audit_streams.subscribed_events_handled(log, mine)) == ("ok", 0, 0, 1)
    lost = audit_streams.subscribed_events_handled(log, mine._replace(inbox=column(["id-1"])))
    assert lost.counter_examples == ["b was read by payments from shop.orders and had no effect: id-2"]
    parked = audit_streams.subscribed_events_handled(
        log, mine._replace(inbox=column(["id-1"]), parked=column(["id-2"]))
    )
    assert (said(parked), parked.counter_examples) == (("explained", 0, 1, 1), ["id-2 is parked at payments"])
    assert audit_streams.subscribed_events_handled(log, mine._replace(inbox=column([]), since=b"id-3")).status == "ok"
    assert said(audit_streams.subscribed_events_handled(log, mine._replace(committed={}))) == ("ok", 0, 0, 3)


def test_an_event_that_could_not_be_read_is_in_the_inbox_by_its_place() -> None:
    log = records(event(1), event(2, "b"), event(3, "c"))
    mine = Subscription("payments", frozenset({"shop.order.placed.v1"}), {0: 3}, column(["id-1", "id-3"]))
    given_up = mine._replace(inbox=column(["id-1", "id-3", "shop.orders/0/1"]))
    assert said(audit_streams.subscribed_events_handled(log, given_up)) == ("ok", 0, 0, 0)
    parked = audit_streams.subscribed_events_handled(log, mine._replace(parked=column(["shop.orders/0/1"])))
    assert (said(parked), parked.counter_examples) == (("explained", 0, 1, 0), ["id-2 is parked at payments"])
    elsewhere = mine._replace(inbox=column(["id-1", "id-3", "shop.orders/1/1"]))
    assert audit_streams.subscribed_events_handled(log, elsewhere).violations == 1


def test_what_was_handled_is_in_the_log() -> None:
    seen = keys(column(["id-1"]))
    gone = audit_streams.unlogged(column(["id-1", "id-2", "shop.orders/0/7"]), seen)
    assert gone.tolist() == [b"id-2"]
    assert audit_streams.unlogged(column(["id-2"]), seen, since=b"id-3").tolist() == []
    found = audit_streams.handled_events_are_logged("payments", 3, gone)
    assert (found.rows_checked, found.counter_examples) == (3, ["id-2 was handled by payments and is not in the log"])


def test_what_is_no_event_is_counted_and_its_neighbours_are_read() -> None:
    log = records(event(1), b"{broken", b'{"id": 7}', event(2, sequence=2), b"\xff")
    assert (len(log), log.unreadable, log.position.tolist()) == (2, [(0, 1), (0, 2), (0, 4)], [0, 3])
    found = audit_streams.outboxes_equal_log(log, outgoing(1, 2), ["/orders"], {0: 5})
    assert (found.status, found.because) == ("ok", "shop.orders: 3 records are no events; the first is at 0/1")
    joined = records(b'{"id":"x","type":"t"},{"id":"y","type":"t"}')
    assert len(joined) == 0, "two in one record are none"
    assert len(records(b"{broken")) == 0


def test_many_differences_are_counted_and_few_are_named() -> None:
    ids = column([f"id-{n:06}" for n in range(12_000)])
    found = audit_streams.outboxes_equal_log(records(), Outgoing(published=ids), ["/orders"], {})
    assert (found.violations, len(found.counter_examples)) == (12_000, audit.MOST_EXAMPLES)


def test_keys_and_columns_hold_for_any_text() -> None:
    texts = ["a", "ab", "", "ünï", "a" * 50, "b"]
    assert [bytes(one).decode() for one in column(texts)] == texts
    assert len(set(keys(column(texts)).tolist())) == len(texts)
    wide, narrow = column(["abc", "x" * 40]), column(["abc"])
    assert keys(wide)[0] == keys(narrow)[0], "a text has one key in columns of any width"
    assert [bytes(one) for one in audit_columns.split(b"a\nbcd\ne", 3)] == [b"a", b"bcd", b"e"]
    assert [bytes(one) for one in audit_columns.split(b"ab\ncd", 2)] == [b"ab", b"cd"]
    assert len(column([])) == len(audit_columns.split(b"", 0)) == len(audit_columns.joined_texts([])) == 0
    many = column([f"{n:036}" for n in range(100_000)])
    assert len(np.unique(keys(many))) == 100_000
    assert audit_columns.missing(keys(narrow), keys(wide)).tolist() == [False]
    assert audit_columns.missing(keys(wide), keys(narrow)).tolist() == [False, True]


def test_equal_keys_are_brought_together_in_their_order() -> None:
    chance = np.random.default_rng(1)
    some = chance.integers(0, 2**63, 300, dtype=np.uint64)
    many = some[chance.integers(0, 300, 5000)]
    alike = chance.integers(0, 7, 5000, dtype=np.uint64)  # all upper bits are equal
    for found in (many, alike, many[:0], many[:1], np.full(9, 2**64 - 1, dtype=np.uint64)):
        assert audit_columns.grouped(found).tolist() == np.argsort(found, kind="stable").tolist()


def test_an_inbox_is_read_in_parts_and_nothing_of_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["a", "b", "b", "b", "c", "d"]
    with closing(sqlite3.connect(":memory:")) as store:
        assert len(audit_stores.read_inbox(store, "orders")) == 0
        store.execute("CREATE TABLE inbox (consumer, event_id)")
        store.executemany("INSERT INTO inbox VALUES (?, ?)", [("orders", one) for one in ids] + [("others", "e")])
        for at_once in range(1, 8):
            monkeypatch.setattr(audit_stores, "_AT_ONCE", at_once)
            assert [one.decode() for one in audit_stores.read_inbox(store, "orders").tolist()] == ids
