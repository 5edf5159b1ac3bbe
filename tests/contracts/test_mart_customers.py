"""Customers and cohorts: who came new on which day, and how a week's new customers ordered in the weeks after."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shop_stack.events import (
    CustomerErased,
    CustomerRegistered,
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    PastOrderRecorded,
)
from tests.analytics_stand import NOW, stand
from tests.marts_stand import Sent, sent, told

pytestmark = pytest.mark.embedded
MONDAY = datetime(2026, 10, 26, 12, tzinfo=UTC)  # the first Monday after the clocks of London went back


def placed(order_id: str, customer: str, minor: int, at: datetime) -> Sent:
    event = OrderPlaced(
        order_id=order_id, customer_id=customer, cart_id="k", lines=[Line("p1", 1, minor)], total_minor=minor
    )
    return sent(event, at)


def past(order_id: str, customer: str | None, minor: int, at: datetime, origin: str = "simulated") -> Sent:
    event = PastOrderRecorded(
        order_id=order_id, customer_id=customer, country=None, lines=[Line("p1", 1, minor)], total_minor=minor,
        origin=origin, file_hash="",
    )  # fmt: skip
    return sent(event, at)


def days(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (r["day"], r["origin"], r["customers"], r["new_customers"], r["returning_customers"], r["orders"],
         r["revenue_minor"], r["registered"])
        for r in rows
    ]  # fmt: skip


def test_a_day_has_its_new_and_its_returning_customers(tmp_path: Path) -> None:
    day = timedelta(days=1)
    before = datetime(2026, 11, 17, 9, tzinfo=UTC)
    events = [
        placed("long ago", "old", 100, before - 100 * day),
        placed("o1", "old", 200, before), placed("o2", "new", 300, before), placed("o3", "new", 400, before),
        placed("o4", "never", 500, before), sent(OrderCancelled(order_id="o4", reason="customer"), before),
        placed("o5", "new", 600, before + day),
        placed("o6", "later", 700, before), sent(OrderCancelled(order_id="o6", reason="deadline"), before + day),
        placed("o7", "later", 800, before + day),
        sent(OrderCompleted(order_id="o7", customer_id="later", lines=[], total_minor=800, seconds=1), NOW),
        past("h1", "made-up-1", 900, before), past("h2", None, 900, before),
        sent(CustomerRegistered(customer_id="new"), before + day),
        sent(CustomerRegistered(customer_id="window-shopper"), before - day),
    ]  # fmt: skip
    rows = told(tmp_path, events, {"customers_by_day": {}})["customers_by_day"]
    assert days(rows) == [
        (date(2026, 11, 16), "live", 0, 0, 0, 0, 0, 1),
        (date(2026, 11, 17), "live", 2, 1, 1, 3, 900, 0),
        (date(2026, 11, 17), "simulated", 1, 1, 0, 1, 900, 0),
        (date(2026, 11, 18), "live", 2, 1, 1, 2, 1400, 1),
    ]
    assert [r["complete"] for r in rows] == [True, True, True, False]


def test_days_are_those_of_the_zone_and_origins_are_asked_apart(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.now = datetime(2026, 7, 3, 12, tzinfo=UTC)
        late = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)  # half past midnight of the next day in London
        for topic, record in (placed("o", "c", 100, late), past("h", "m", 100, late, "imported")):
            made.log.append(topic, [record])
        made.put(CustomerRegistered(customer_id="c"), at=late)
        made.catch_up()
        assert days(made.ask("customers_by_day", origin="live")) == [(date(2026, 7, 2), "live", 1, 1, 0, 1, 100, 1)]
        assert [r["origin"] for r in made.ask("customers_by_day")] == ["imported", "live"]
        assert [r["registered"] for r in made.ask("customers_by_day", origin="imported")] == [0]


def test_a_cohort_is_followed_through_the_weeks_after_its_first(tmp_path: Path) -> None:
    week = timedelta(weeks=1)
    sunday_night = MONDAY - timedelta(hours=12, minutes=15)
    events = [
        placed("a1", "anna", 100, MONDAY), placed("a2", "anna", 100, MONDAY + 2 * week),
        placed("a3", "anna", 150, MONDAY + 2 * week + timedelta(days=6)),
        placed("b1", "bert", 200, MONDAY + timedelta(days=6)), placed("b2", "bert", 200, MONDAY + 2 * week),
        placed("c1", "cleo", 400, MONDAY + week), placed("c2", "cleo", 400, MONDAY + 3 * week),
        sent(OrderCancelled(order_id="c2", reason="customer"), MONDAY + 3 * week),
        placed("d1", "dora", 50, MONDAY), sent(OrderCancelled(order_id="d1", reason="customer"), MONDAY),
        placed("d2", "dora", 60, MONDAY + week),
        placed("e1", "emil", 70, sunday_night),
    ]  # fmt: skip
    rows = told(tmp_path, events, {"customer_cohorts": {}})["customer_cohorts"]
    said = [
        (r["first_week"].isoformat(), r["cohort_customers"], r["weeks_later"], r["customers"], r["share"], r["orders"],
         r["revenue_minor"], r["complete"])
        for r in rows
    ]  # fmt: skip
    assert said == [
        ("2026-10-19", 1, 0, 1, 1, 1, 70, True),
        ("2026-10-26", 2, 0, 2, 1, 2, 300, True),
        ("2026-10-26", 2, 2, 2, 1, 3, 450, True),
        ("2026-11-02", 2, 0, 2, 1, 2, 460, True),
    ]
    assert {r["origin"] for r in rows} == {"live"}


def test_a_cohort_of_before_the_span_is_left_out_and_does_not_come_again_as_a_new_one(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        for topic, record in (placed("a", "anna", 100, MONDAY), placed("b", "anna", 100, NOW - timedelta(hours=1))):
            made.log.append(topic, [record])
        made.catch_up()
        assert made.ask("customer_cohorts", since="2026-11-09T00:00:00Z") == []
        row = made.ask("customer_cohorts", since="2026-10-28T00:00:00Z")[-1]
        assert (row["weeks_later"], row["share"], row["complete"]) == (3, 1, False)
        assert [r["new_customers"] for r in made.ask("customers_by_day", since="2026-11-09T00:00:00Z")] == [0]


def test_who_was_erased_is_in_the_marts_as_a_number_alone(tmp_path: Path) -> None:
    person = "0190-jane-quixotl"
    with stand(tmp_path) as made:
        for topic, record in (placed("a", person, 100, NOW), past("h", person, 100, NOW)):
            made.log.append(topic, [record])
        made.put(CustomerRegistered(customer_id=person), CustomerErased(customer_id=person, erasure_id="e"))
        made.catch_up()
        made.ingest.roll_up()
        for mart in ("customer_orders", "customers_registered"):
            kinds = dict(made.warehouse.ask(f"select * from kept_{mart} limit 0", {}).columns)  # noqa: S608
            assert kinds["customer"] == "UBIGINT"
            rows = made.warehouse.ask(f"select * from kept_{mart}", {}).rows  # noqa: S608
            assert rows
            assert person not in str(rows)
        made.check()


def test_orders_that_no_customer_has_are_found(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        topic, record = placed("a", "anna", 100, NOW)
        made.log.append(topic, [record])
        made.catch_up()
        made.ingest.roll_up()
        made.check()
        made.warehouse.write("update kept_customer_orders set revenue_minor = 99")
        with pytest.raises(AssertionError, match="customers_reconcile"):
            made.check()
