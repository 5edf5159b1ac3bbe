"""Event flow: which event led to which, how often and how late, in whatever order the two came."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.statements import statement
from shop_stack.events import (
    BEHAVIOUR,
    CONTRACTS,
    HISTORY,
    SAMPLES,
    AuthorisationRequested,
    CheckJudged,
    Event,
    Origin,
    PaymentAuthorised,
    RecordParked,
    RecordReplayed,
    ReservationRequested,
    StockReserved,
)
from shop_stack.ids import uuid7
from tests.analytics_stand import NOW, Stand, placed, stand
from tests.flows.shop_at_work import Shop
from tests.marts_stand import Sent, sent, told

pytestmark = pytest.mark.embedded
ASKED: dict[str, dict[str, str]] = {"event_flow": {}}
REQUEST = "7b0f2f0e-6c1f-4c57-9d3e-0d5f4a1e2b3c"  # what the gateway names a request: no event


def after_ms(milliseconds: float) -> Any:
    return NOW + timedelta(milliseconds=milliseconds)


def edges(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str, str], tuple[int, int, int]]:
    return {
        (r["source"], r["type"].split(".", 1)[1], r["consumer"], r["led_to"].split(".", 1)[1]): (
            r["events"], r["retries"], r["dead_letters"]
        )
        for r in rows
    }  # fmt: skip


def asked_to_pay(order_id: str, identifier: str, cause: str | None) -> Sent:
    event = AuthorisationRequested(order_id=order_id, customer_id="c", amount_minor=500)
    return sent(event, NOW, "/orders", cause, identifier=identifier)


def paid(order_id: str, cause: str, milliseconds: float) -> Sent:
    event = PaymentAuthorised(order_id=order_id, amount_minor=500, provider_reference="r")
    return sent(event, after_ms(milliseconds), "/payments", cause)


def dead_letter(event_id: str, order_id: str, attempts: int | None) -> Event:
    origin = Origin(topic="shop.orders", partition=0, position=1, key=order_id, event_id=event_id)
    if attempts is None:
        return RecordReplayed(consumer="payments", origin=origin, outcome="succeeded", replays=1)
    return RecordParked(
        consumer="payments", origin=origin, headers={}, value=None, reason="Timeout", error="", attempts=attempts
    )


def test_edges_have_counts_delays_retries_and_dead_letters(tmp_path: Path) -> None:
    ids = [uuid7(NOW) for _ in range(10)]
    events = [sent(placed("o"), NOW, "/orders", REQUEST, identifier=ids[0])]
    events += [
        sent(ReservationRequested(order_id="o", lines=[]), NOW, "/orders", ids[0], identifier=ids[1]),
        sent(StockReserved(order_id="o", expires_at=NOW), after_ms(20), "/inventory", ids[1]),
    ]
    events += [asked_to_pay(f"p{n}", ids[n], None) for n in range(2, 10)]
    events += [paid(f"p{n}", ids[n], 10.0 if n < 8 else 100.0) for n in range(2, 9)]
    events += [
        sent(dead_letter(ids[9], "p9", 4), after_ms(300), "/payments", uuid7(NOW)),
        sent(dead_letter(ids[9], "p9", None), after_ms(900), "/payments", REQUEST),
        sent(dead_letter("shop.orders/0/17", "p9", 1), after_ms(300), "/payments"),
        paid("nobody", uuid7(NOW), 5),
    ]
    rows = told(tmp_path, events, ASKED)["event_flow"]
    asked = "order.authorisation-requested.v1"
    assert edges(rows) == {
        ("/orders", "order.placed.v1", "/orders", "order.reservation-requested.v1"): (1, 0, 0),
        ("/orders", "order.reservation-requested.v1", "/inventory", "stock.reserved.v1"): (1, 0, 0),
        ("/orders", asked, "/payments", "payment.authorised.v1"): (7, 0, 0),
        ("/orders", asked, "/payments", "dead-letter.parked.v1"): (1, 3, 1),
        ("/orders", asked, "/payments", "dead-letter.replayed.v1"): (1, 0, 0),
    }
    paid_edge = next(row for row in rows if row["led_to"] == "shop.payment.authorised.v1")
    assert (paid_edge["median_ms"], paid_edge["p95_ms"]) == (pytest.approx(10, rel=0.1), pytest.approx(100, rel=0.1))


def test_a_clock_that_runs_behind_makes_no_delay_below_a_millisecond(tmp_path: Path) -> None:
    cause = uuid7(NOW)
    rows = told(tmp_path, [asked_to_pay("p", cause, None), paid("p", cause, -50)], ASKED)["event_flow"]
    assert [(r["events"], r["median_ms"]) for r in rows] == [(1, pytest.approx(1, rel=0.1))]


def test_a_cause_is_found_in_the_archive_and_an_effect_is_in_its_own_time(tmp_path: Path) -> None:
    from analytics.archiving import Archive
    from shop_stack.stack import Retention

    cause = uuid7(NOW)
    with stand(tmp_path) as made:
        made.log.append(*_one(asked_to_pay("p", cause, None)))
        made.catch_up()
        made.ingest.roll_up()
        later = NOW + timedelta(days=2)
        assert Archive(made.warehouse, Retention(raw_days=0), now=lambda: later).turn() == 1
        made.log.append(*_one(paid("p", cause, 2 * 86_400_000.0)))
        made.catch_up()
        for _ in range(2):
            assert made.ask("event_flow") == []
            since = (later - timedelta(minutes=1)).isoformat()
            row = made.ask("event_flow", since=since, until=(later + timedelta(minutes=1)).isoformat())[0]
            assert (row["events"], row["median_ms"]) == (1, pytest.approx(2 * 86_400_000.0, rel=0.1))
            made.check()
            made.ingest.roll_up()


def _one(what: Sent) -> tuple[str, list[Any]]:
    return what[0], [what[1]]


def test_an_edge_too_few_is_found(tmp_path: Path) -> None:
    cause = uuid7(NOW)
    with stand(tmp_path) as made:
        for one in (asked_to_pay("p", cause, None), paid("p", cause, 1), paid("q", cause, 1)):
            made.log.append(*_one(one))
        made.catch_up()
        made.ingest.roll_up()
        made.check()
        made.warehouse.write("update kept_event_edges set events = 1")
        assert made.warehouse.ask(statement("checks/edges_sum"), {}).rows == [(2, 0, 1)]


_MANY = """
insert into raw_events
select
    'log', 'shop.payments', $batch, n, $batch, $own || tail, $source, 'shop.payment.authorised.v1', n::varchar,
    $at + to_milliseconds(n), null, null, case when n % 2 = 0 then $of else 'dddddddd' end || tail, '{}', false
from (select n, '-0000-7000-8000-' || substr(md5(n::varchar), 1, 12) as tail from range($many) as r (n))
"""


def test_as_many_effects_as_one_transaction_may_bring_fit_into_the_memory(tmp_path: Path) -> None:
    """A million events were there before. Of the next all wait for a cause that never comes; of the last each other one
    has its cause among these."""
    many, at = 122_880, NOW.replace(tzinfo=None)
    with stand(tmp_path) as made:
        old = {"batch": 1, "own": "cccdcccd", "source": "/orders", "of": "cccccccc", "at": at, "many": 1_000_000}
        made.warehouse.write(_MANY, old)
        made.warehouse.write("update rolled_up set batch = 1")
        for given in (
            {"batch": 2, "own": "cccccccc", "source": "/orders", "of": "dddddddd"},
            {"batch": 3, "own": "eeeeeeee", "source": "/payments", "of": "cccccccc"},
        ):
            made.warehouse.write(_MANY, {**given, "at": at, "many": many})
            with made.warehouse.transaction():
                made.warehouse.roll_up(int(str(given["batch"])))
        until = (NOW + timedelta(days=1)).isoformat()
        flow = made.ask("event_flow", since=(NOW - timedelta(hours=1)).isoformat(), until=until)
        assert [(r["source"], r["consumer"], r["events"]) for r in flow] == [("/orders", "/payments", many // 2)]


def test_every_event_that_can_have_a_cause_is_heeded() -> None:
    staged = statement("staging/stg_flow_types")
    causeless = {BEHAVIOUR.name, HISTORY.name, SAMPLES.name}
    concluded = {CheckJudged.type}  # from the books as a whole: no event led to it
    assert {kind for kind in CONTRACTS if f"'{kind}'" not in staged} == {
        kind for kind, contract in CONTRACTS.items() if contract.topic.name in causeless
    } | concluded


def test_a_real_order_is_a_chain_from_its_placing_to_its_delivery(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", "microservices")
    try:
        shop.add_products({"p1": 100})
        for _ in range(3):
            shop.until_state(shop.order({"p1": 1}), "completed")
        made = Stand(tmp_path, shop.log)
        made.catch_up()
        made.now = shop.clock() + timedelta(minutes=5)
        made.check()
        found = edges(made.ask("event_flow"))
        events = {event.id: event for event in shop.events()}
        counted: dict[tuple[str, str, str, str], int] = {}
        for event in events.values():
            if cause := events.get(event.causationid or ""):
                edge = (cause.source, cause.type, event.source, event.type)
                counted[edge] = counted.get(edge, 0) + 1
        assert {(a, f"shop.{b}", c, f"shop.{d}"): n for (a, b, c, d), (n, _, _) in found.items()} == counted
        captured = ("/orders", "order.capture-requested.v1", "/payments", "payment.captured.v1")
        assert found[captured] == (3, 0, 0)
        made.warehouse.close()
    finally:
        shop.close()
