"""What is rolled up says the same as the raw events, exactly: late, repeated and returning ones, at odd bounds too."""

import contextlib
import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.archiving import Archive
from analytics.binding import bind
from analytics.questions import QUESTIONS, find
from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import CartChanged, CheckoutStarted, OrderRejected, ProductViewed, RecordLost
from shop_stack.ids import uuid7
from shop_stack.stack import Retention
from tests.analytics_stand import NOW, ZONE, Stand, placed, record, stand
from tests.benchmarks.from_raw import from_raw
from tests.benchmarks.panels import alike, only
from tests.benchmarks.shop_day import ShopDay

pytestmark = pytest.mark.embedded
SPANS = (
    {},
    {"since": (NOW - timedelta(hours=24)).isoformat(), "until": NOW.isoformat()},
    {"since": (NOW - timedelta(hours=2, seconds=17)).isoformat(), "until": (NOW - timedelta(seconds=401)).isoformat()},
    {"since": (NOW - timedelta(minutes=9)).isoformat(), "until": (NOW - timedelta(minutes=2)).isoformat()},
    {"since": (NOW - timedelta(days=4)).isoformat(), "until": NOW.isoformat()},
    {"since": (NOW - timedelta(hours=50)).isoformat(), "until": (NOW - timedelta(hours=24)).isoformat()},
)
NEEDED = {"order_journey": "order_id", "forecast_accuracy": "series"}


def unlike(made: Stand, names: Iterable[str] = QUESTIONS) -> list[tuple[str, dict[str, str]]]:
    """The questions and spans whose answers are not those of the raw events."""
    found = []
    for name in names:
        raw = from_raw(name)
        takes = {p.name for p in find(name).parameters}
        if raw is None or name in NEEDED:
            continue
        for span in SPANS:
            given = {key: value for key, value in span.items() if key in takes}
            values = bind(find(name), given, made.now, ZONE)
            answered = made.warehouse.ask(find(name).sql, values).rows
            if not alike(answered, made.warehouse.ask(raw, only(values, raw)).rows):
                found.append((name, given))
    return found


def funnel(made: Stand, **given: str) -> list[int]:
    return [int(row["sessions"]) for row in made.ask("funnel", **given)]


@contextlib.contextmanager
def a_day(folder: Path, events: int) -> Iterator[Stand]:
    """A stand with a small day of the shop, ingested and rolled up in several turns."""
    with stand(folder) as made:
        for span in ShopDay(events, hours=3, until=NOW).by_span(1800.0):
            for topic, records in span.items():
                made.log.append(topic, records)
            made.catch_up()
            made.ingest.roll_up()
        yield made


def test_a_day_of_the_shop_says_the_same_from_marts_and_from_raw_events(tmp_path: Path) -> None:
    with a_day(tmp_path, 19_000) as made:
        assert funnel(made)[4] > 20
        assert unlike(made) == []
        with made.warehouse.transaction():
            made.warehouse.compact((NOW - timedelta(hours=2.5)).replace(tzinfo=None))
        assert unlike(made) == []


def test_the_day_is_the_same_for_the_same_seed_and_orders_belong_to_their_sessions() -> None:
    def made() -> list[tuple[str, bytes]]:
        spans = ShopDay(9_000, hours=1, until=NOW).by_span()
        return [(topic, one.value) for span in spans for topic, records in span.items() for one in records]

    assert made() == made()
    with_carts = [value for topic, value in made() if topic == "shop.behaviour" and b'"cart_id"' in value]
    orders = [value for topic, value in made() if b"shop.order.placed" in value]
    assert orders
    for order in orders:
        cart = order.split(b'"cart_id":"')[1][:36]
        customer = order.split(b'"customer_id":"')[1][:36]
        assert any(cart in value and customer in value for value in with_carts)


def something(dice: random.Random, number: int) -> tuple[str, Any]:
    """A random event of few sessions and carts, at a random time of the last days."""
    session, cart = f"s{dice.randrange(5)}", f"c{dice.randrange(6)}"
    at = NOW - timedelta(seconds=dice.choice([30, 600, 7200, 90_000, 300_000]) * dice.random())
    event: Any = dice.choice(
        [
            ProductViewed(session_id=session, product_id="p1"),
            CartChanged(session_id=session, cart_id=cart, product_id="p1", quantity=1),
            CheckoutStarted(session_id=session, cart_id=cart, total_minor=1),
            placed(f"o{number}", cart_id=cart),
        ]
    )
    return event.topic.name, record(event, at)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_late_twice_or_before_its_cause_the_funnel_counts_each_session_once(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    with stand(tmp_path) as made:
        kept: list[tuple[str, Any]] = []
        for turn in range(4):
            for number in range(dice.randrange(1, 12)):
                kept.append(
                    something(dice, turn * 100 + number) if dice.random() < 0.9 or not kept else dice.choice(kept)
                )
                made.log.append(kept[-1][0], [kept[-1][1]])
            made.catch_up()
            assert unlike(made, ["funnel"]) == [], f"turn {turn}, not rolled up"
            made.ingest.roll_up()
            assert unlike(made, ["funnel"]) == [], f"turn {turn}"
        assert unlike(made, ["vital_signs"]) == []


def test_an_order_that_comes_after_its_end_is_called_off_all_the_same(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.put(OrderRejected(order_id="o1", reason="declined"))
        made.catch_up()
        made.ingest.roll_up()
        made.put(placed("o1", 500), placed("o2", 700))
        made.catch_up()
        for _ in range(2):
            assert [(row["orders"], row["revenue_minor"]) for row in made.ask("revenue_by_day")] == [(1, 700)]
            assert unlike(made, ["revenue_by_day", "vital_signs"]) == []
            made.ingest.roll_up()
        made.check()


def journeys(made: Stand, orders: Iterable[str]) -> list[str]:
    """The orders whose journey is not that of the raw events."""
    raw, asked = from_raw("order_journey"), find("order_journey")
    assert raw is not None
    wrong = []
    for order in orders:
        values = bind(asked, {"order_id": order}, made.now, ZONE)
        rows = made.warehouse.ask(asked.sql, values).rows
        if not rows or rows != made.warehouse.ask(raw, only(values, raw)).rows:
            wrong.append(order)
    return wrong


def test_no_event_of_an_order_is_lost_however_far_from_the_others_it_lies(tmp_path: Path) -> None:
    day = ShopDay(12_000, hours=3, until=NOW)
    with stand(tmp_path) as made:
        for span in day.by_span(1800.0):
            for topic, records in span.items():
                made.log.append(topic, records)
            made.catch_up()
        chosen = day.orders[::9]
        odd = "no-uuid"
        made.put(placed(odd))
        for order in (*chosen, odd):  # long after, long before, and by its subject alone
            made.put(OrderRejected(order_id=order, reason="declined"), at=NOW + timedelta(days=3))
            made.put(OrderRejected(order_id=order, reason="declined"), at=NOW - timedelta(days=3))
            told = Envelope(id=uuid7(NOW), source="/tests", subject=order, time=NOW, data=RecordLost(
                lost_topic="t", partition=0, position=0))  # fmt: skip
            made.log.append("ops.incidents", [Record(key=order, value=encode(told))])
            made.catch_up()
        assert journeys(made, (*chosen, odd)) == []
        assert len(made.ask("order_journey", order_id=odd)) == 4
        assert made.ask("order_journey", order_id="unknown") == []
        made.ingest.roll_up()
        assert journeys(made, (*chosen, odd)) == []
        until = NOW + timedelta(days=2)
        assert Archive(made.warehouse, Retention(raw_days=0, database_mb=2048), lambda: until).turn() > 10_000
        assert journeys(made, (*chosen, odd)) == []
