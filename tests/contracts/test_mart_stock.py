"""Stock and days of cover: the last level by version, rates over 7 and 28 days, and a clear answer without sales."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.statements import statement
from shop_stack.events import (
    Event,
    Line,
    OrderCancelled,
    OrderCompleted,
    PastOrderRecorded,
    ProductAdded,
    StockLevelChanged,
    StockReceived,
)
from tests.analytics_stand import NOW, Stand, days_before, placed, stand
from tests.flows.shop_at_work import Shop
from tests.marts_stand import Sent, sent, told

pytestmark = pytest.mark.embedded
HOUR = timedelta(hours=1)


def level(product: str, available: int, version: int, reserved: int = 0, sold: int = 0) -> Sent:
    event = StockLevelChanged(product_id=product, available=available, reserved=reserved, sold=sold)
    return sent(event, sequence=version)


def received(product: str, quantity: int, version: int) -> Sent:
    return sent(StockReceived(product_id=product, quantity=quantity), sequence=version)


def past(order_id: str, product: str, quantity: int, origin: str = "simulated") -> Event:
    return PastOrderRecorded(
        order_id=order_id, customer_id=None, country=None, lines=[Line(product, quantity, 100)],
        total_minor=quantity * 100, origin=origin, file_hash="",
    )  # fmt: skip


def covers(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (r["product_id"], r["available"], r["sold_per_day_7"], r["sold_per_day_28"], r["days_of_cover"]) for r in rows
    ]


def test_cover_is_what_is_on_the_shelf_over_what_is_sold_a_day(tmp_path: Path) -> None:
    whole_hour = NOW.replace(minute=0, second=0)
    events = [
        sent(ProductAdded(product_id="fast", name="Lantern", category="c", list_price_minor=100)),
        received("fast", 100, 1), level("fast", 100, 2), level("fast", 90, 3, reserved=10),
        level("fast", 90, 4, sold=10),
        received("slow", 56, 1), level("slow", 56, 2),
        received("still", 5, 1), level("still", 5, 2),
        received("out", 7, 1), level("out", 7, 2), level("out", 0, 3, sold=7),
        sent(past("h1", "fast", 14), whole_hour - timedelta(days=28)),
        sent(past("h2", "fast", 14), whole_hour - timedelta(days=7)),
        sent(past("h3", "slow", 28, "imported"), days_before(20)),
        sent(past("h4", "still", 100), whole_hour - timedelta(days=28, hours=1)),
        sent(placed("a", product="fast"), NOW - HOUR),
        sent(placed("b", product="fast"), NOW - HOUR),
        sent(OrderCancelled(order_id="b", reason="customer")),
        sent(placed("c", product="out"), NOW - HOUR),
        sent(OrderCompleted(order_id="c", customer_id="c", lines=[], total_minor=500, seconds=1.0)),
    ]  # fmt: skip
    rows = told(tmp_path, events, {"stock_cover": {}}, whole_hour)["stock_cover"]
    assert covers(rows) == [
        ("out", 0, 1 / 7, 1 / 28, 0),
        ("fast", 90, 15 / 7, 29 / 28, 90 / (15 / 7)),
        ("slow", 56, 0, 1, 56),
        ("still", 5, 0, 0, None),
    ]
    assert [(r["name"], r["said"]) for r in rows] == [
        ("out", "sold out"),
        ("Lantern", "at the rate of the last 7 days"),
        ("slow", "at the rate of the last 28 days: none was sold in the last 7"),
        ("still", "none was sold in the last 28 days"),
    ]
    assert [(r["reserved"], r["sold"]) for r in rows] == [(0, 7), (0, 10), (0, 0), (0, 0)]


def test_a_shop_of_a_few_hours_or_days_is_asked_over_its_own_time(tmp_path: Path) -> None:
    whole_hour = NOW.replace(minute=0, second=0)
    with stand(tmp_path) as made:
        made.now = whole_hour
        made.log.append(*_one(level("p1", 30, 1)))
        made.put(placed("a"), placed("b"), at=whole_hour - HOUR)
        made.catch_up()
        assert covers(made.ask("stock_cover")) == [("p1", 30, 2, 2, 15)]
        made.put(past("h", "p1", 8), at=whole_hour - timedelta(days=10))
        made.catch_up()
        assert covers(made.ask("stock_cover")) == [("p1", 30, 2 / 7, 1, 105)]
        assert made.ask("stock_cover", product_id="other") == []


def _one(what: Sent) -> tuple[str, list[Any]]:
    return what[0], [what[1]]


def test_units_that_are_nowhere_and_sums_that_differ_are_found(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        for one in (received("p1", 10, 1), level("p1", 10, 2), received("p1", 5, 3)):
            made.log.append(*_one(one))
        made.put(placed("a"))
        made.catch_up()
        made.ingest.roll_up()
        made.check()  # the receipt has come, and its level not yet
        made.log.append(*_one(level("p1", 14, 4)))
        made.catch_up()
        found = made.warehouse.ask(statement("checks/stock_adds_up"), {}).rows
        assert found == [("p1", 4, 14, 15)]
        made.log.append(*_one(level("p1", 14, 5, sold=1)))
        made.catch_up()
        made.check()
        made.warehouse.write("update kept_units_hours set units = 2")
        with pytest.raises(AssertionError, match="units_reconcile"):
            made.check()


def test_a_real_shop_has_the_units_that_its_inventory_says(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", "monolith")
    try:
        shop.add_products({"p1": 100, "p2": 0})
        for units in (1, 2):
            shop.until_state(shop.order({"p1": units}), "completed")
        made = Stand(tmp_path, shop.log)
        made.catch_up()
        made.now = shop.clock() + timedelta(minutes=1)
        made.check()
        rows = {row["product_id"]: row for row in made.ask("stock_cover")}
        said = {name: {what: rows[name][what] for what in ("available", "reserved", "sold")} for name in rows}
        assert said == shop.levels(["p1", "p2"])
        assert (rows["p1"]["sold_per_day_7"], rows["p1"]["days_of_cover"]) == (3, pytest.approx(97 / 3))
        assert rows["p2"]["said"] == "sold out"
        made.warehouse.close()
    finally:
        shop.close()
