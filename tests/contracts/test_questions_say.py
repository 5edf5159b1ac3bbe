"""What the questions say: days in the stack's zone, origins apart, the same weekday, cohorts and forecasts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from shop_stack.events import (
    CartChanged,
    CheckoutStarted,
    Event,
    ForecastMade,
    OrderCancelled,
    OrderCompleted,
    OrderRejected,
    PartitionLag,
    Point,
    ProductAdded,
    ProductViewed,
    ServiceSample,
    StackSampled,
)
from tests.analytics_stand import NOW, Stand, days_before, past_minute, past_order, placed, stand

pytestmark = pytest.mark.embedded


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Stand]:
    with stand(tmp_path) as made:
        yield made


def test_orders_have_their_current_state_in_the_minute_they_were_placed(shop: Stand) -> None:
    shop.put(*(placed(f"o{n}") for n in range(4)))
    later = NOW + timedelta(minutes=5)
    shop.put(OrderCompleted(order_id="o0", customer_id="c", lines=[], total_minor=500, seconds=1.0), at=later)
    shop.put(
        OrderRejected(order_id="o1", reason="declined"), OrderCancelled(order_id="o2", reason="customer"), at=later
    )
    shop.catch_up()
    rows = shop.ask("orders_by_minute")
    assert {(r["state"], r["orders"], r["value_minor"]) for r in rows} == {
        (state, 1, 500) for state in ("open", "completed", "rejected", "cancelled")
    }
    assert {r["minute"] for r in rows} == {datetime(2026, 11, 18, 12, 0)}  # noqa: DTZ001
    shop.check()


def test_days_are_business_days_of_the_zone_and_origins_stay_apart(shop: Stand) -> None:
    before_midnight_in_london = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    shop.put(past_order("a", 100), at=before_midnight_in_london)
    shop.put(past_order("b", 200), at=before_midnight_in_london + timedelta(hours=1))
    shop.put(past_order("c", 400, "imported"), at=before_midnight_in_london)
    shop.put(placed("d", 800), at=NOW)
    shop.catch_up()
    said = {(r["day"], r["origin"], r["revenue_minor"], r["complete"]) for r in shop.ask("revenue_by_day")}
    assert said == {
        (date(2026, 7, 1), "simulated", 100, True),
        (date(2026, 7, 2), "simulated", 200, True),
        (date(2026, 7, 1), "imported", 400, True),
        (date(2026, 11, 18), "live", 800, False),
    }
    assert [r["revenue_minor"] for r in shop.ask("revenue_by_day", origin="live")] == [800]


def test_vital_signs_compare_with_the_same_weekday_at_the_same_time_of_day(shop: Stand) -> None:
    shop.put(past_order("early", 1000), past_minute(10.0, 8.0), at=days_before(7) - timedelta(hours=1))
    shop.put(past_order("late", 9000), at=days_before(7) + timedelta(hours=1))
    shop.put(past_order("imported", 7000, "imported"), at=days_before(7) - timedelta(hours=1))
    shop.put(placed("o1", 1500, "k"), at=NOW - timedelta(minutes=2))
    shop.put(CartChanged(session_id="s", cart_id="k", product_id="p1", quantity=1), at=NOW - timedelta(minutes=3))
    shop.put(ProductViewed(session_id="s2", product_id="p1"), at=NOW - timedelta(minutes=3))
    shop.catch_up()
    signs = {r["metric"]: r for r in shop.ask("vital_signs")}
    assert list(signs) == ["revenue", "orders", "average_order", "conversion", "sessions"]
    assert (signs["revenue"]["today"], signs["revenue"]["same_weekday"]) == (1500, 1000)
    assert signs["revenue"]["change"] == pytest.approx(0.5)
    assert (signs["sessions"]["today"], signs["sessions"]["same_weekday"]) == (2, 8)
    assert (signs["conversion"]["today"], signs["conversion"]["same_weekday"]) == (0.5, pytest.approx(1 / 8))
    assert signs["revenue"]["origin_note"] == "today: live; the same weekday: simulated"
    assert all(r["definition"] for r in signs.values())


def test_without_a_week_before_there_is_no_change(shop: Stand) -> None:
    shop.put(placed("o1"), at=NOW - timedelta(minutes=1))
    shop.catch_up()
    revenue = shop.ask("vital_signs")[0]
    assert (revenue["today"], revenue["same_weekday"], revenue["change"]) == (500, None, None)
    assert "the same weekday: no data" in revenue["origin_note"]


def test_imported_data_alone_has_vital_signs_of_its_own_day(shop: Stand) -> None:
    at = datetime(2011, 12, 7, 12, tzinfo=UTC)
    shop.put(past_order("a", 300, "imported"), at=at)
    shop.put(past_order("b", 200, "imported"), at=at - timedelta(days=7))
    shop.catch_up()
    revenue = shop.ask("vital_signs", at="2011-12-07T13:00:00Z")[0]
    assert (revenue["today"], revenue["same_weekday"]) == (300, 200)
    assert revenue["origin_note"] == "today: imported; the same weekday: imported"


def import_two_days(shop: Stand) -> None:
    """A Friday of two orders, in London, and the Friday before it of one; and orders beside both that do not count."""
    friday = datetime(2011, 12, 9, 23, 30, tzinfo=UTC)
    for key, at, total in (
        ("late", friday, 300), ("early", friday - timedelta(hours=23), 100),
        ("day before", friday - timedelta(days=1), 7), ("a week before", friday - timedelta(days=7), 200),
        ("and a day", friday - timedelta(days=8), 9),
    ):  # fmt: skip
        shop.put(past_order(key, total, "imported"), at=at)


def test_a_home_with_nothing_but_imported_orders_shows_their_last_day_and_says_so(shop: Stand) -> None:
    import_two_days(shop)
    shop.catch_up()
    signs = {r["metric"]: r for r in shop.ask("vital_signs")}
    assert list(signs) == ["revenue", "orders", "average_order", "conversion", "sessions"]
    assert (signs["revenue"]["today"], signs["revenue"]["same_weekday"], signs["revenue"]["change"]) == (400, 200, 1.0)
    assert (signs["orders"]["today"], signs["orders"]["same_weekday"]) == (2, 1)
    assert (signs["conversion"]["today"], signs["sessions"]["today"]) == (None, None)
    note = "2011-12-09, the last day imported: imported; the same weekday: imported"
    assert {r["origin_note"] for r in signs.values()} == {note}


@pytest.mark.parametrize(
    "event", [placed("o1", 1500), past_order("p", 1500), ProductViewed(session_id="s", product_id="p")]
)
def test_imported_orders_stand_back_once_the_shop_has_anything_of_its_own(shop: Stand, event: Event) -> None:
    import_two_days(shop)
    shop.put(event, at=NOW - timedelta(minutes=5))
    shop.catch_up()
    revenue = shop.ask("vital_signs")[0]
    assert revenue["today"] in (1500, 0)
    assert "imported" not in revenue["origin_note"]


def test_a_last_imported_day_that_a_clock_change_makes_longer_is_whole(shop: Stand) -> None:
    day = datetime(2011, 10, 30, tzinfo=UTC)
    for key, at in (("first", day - timedelta(hours=1)), ("last", day + timedelta(hours=23, minutes=59))):
        shop.put(past_order(key, 100, "imported"), at=at)
    shop.put(past_order("before", 1000, "imported"), at=day - timedelta(hours=1, minutes=1))
    shop.catch_up()
    assert shop.ask("vital_signs")[0]["today"] == 200


def test_top_products_are_named_and_leave_out_what_was_called_off(shop: Stand) -> None:
    shop.put(ProductAdded(product_id="p1", name="Lantern", category="c", list_price_minor=500))
    shop.put(placed("o1"), placed("o2"), placed("o3", product="p2"), placed("o4", product="p2"), placed("o5"))
    shop.put(OrderRejected(order_id="o4", reason="declined"))
    shop.catch_up()
    shop.now = NOW + timedelta(minutes=1)
    rows = shop.ask("top_products", limit="2")
    assert [(r["name"], r["units"], r["orders"], r["revenue_minor"]) for r in rows] == [
        ("Lantern", 3, 3, 1500), ("p2", 1, 1, 500)]  # fmt: skip


def test_the_funnel_counts_each_session_at_every_step_it_came_past(shop: Stand) -> None:
    for session in ("a", "b", "c", "d"):
        shop.put(ProductViewed(session_id=session, product_id="p"), ProductViewed(session_id=session, product_id="q"))
    for session in ("a", "b"):
        shop.put(CartChanged(session_id=session, cart_id=f"k{session}", product_id="p", quantity=1))
    shop.put(CheckoutStarted(session_id="a", cart_id="ka", total_minor=5), placed("o1", cart_id="ka"))
    shop.catch_up()
    shop.now = NOW + timedelta(minutes=1)
    assert [(r["step"], r["sessions"]) for r in shop.ask("funnel")] == [
        ("sessions", 4), ("viewed", 4), ("cart", 2), ("checkout", 1), ("ordered", 1)]  # fmt: skip


def test_service_minutes_join_samples_and_keep_origins_apart(shop: Stand) -> None:
    for second in range(30):
        sample = ServiceSample(
            service="orders", group="orders", ready=2, desired=2, request_rate=4.0, error_rate=0.25, p50_ms=1.0,
            p95_ms=20.0, p99_ms=30.0, lag=second, cpu_cores=0.5, memory_bytes=1)  # fmt: skip
        shop.put(
            StackSampled(interval_s=1.0, services=[sample], parts={}, cpu_cores=1.0, memory_bytes=1),
            at=NOW + timedelta(seconds=second - 30),
        )
    shop.put(past_minute(100.0), at=NOW - timedelta(hours=2))
    shop.catch_up()
    past, live = shop.ask("service_minutes", service="orders")
    assert (past["origin"], past["requests_per_minute"], past["error_rate"]) == ("simulated", 100.0, 0.0)
    assert live["origin"] == "live"
    assert live["requests_per_minute"] == pytest.approx(240.0)
    assert live["error_rate"] == pytest.approx(0.25)
    assert (live["ready"], live["lag"], live["p95_ms"]) == (2, 29, pytest.approx(20.0))
    assert live["complete"] is False
    assert [r["lag"] for r in shop.ask("lag_by_group")] == [29]


def test_lag_is_kept_by_group_and_by_the_partitions_in_which_events_wait(shop: Stand) -> None:
    for second, hot in enumerate((10, 60, 30)):
        waits = [
            PartitionLag(topic="shop.orders", partition=number, committed=0, end=lag, lag=lag, seconds=seconds)
            for number, lag, seconds in ((3, hot, 2.5 + second), (4, 20, 1.0))
        ]
        sample = ServiceSample(
            service="payments", group="payments", ready=1, desired=1, request_rate=0.0, error_rate=0.0, p50_ms=None,
            p95_ms=None, p99_ms=None, lag=hot + 20, cpu_cores=0.5, memory_bytes=1, lag_s=2.5 + second,
            orders_waiting=7, waiting_minor=4200, partitions=waits)  # fmt: skip
        quiet = msgspec.structs.replace(
            sample, service="orders", lag=0, lag_s=0.0, orders_waiting=0, waiting_minor=0, partitions=[]
        )
        sampled = StackSampled(interval_s=1.0, services=[sample, quiet], parts={}, cpu_cores=1.0, memory_bytes=1)
        shop.put(sampled, at=NOW + timedelta(seconds=second - 30))
        shop.catch_up()
    quiet_row, row = shop.ask("lag_by_group")
    assert [quiet_row[name] for name in ("group", "lag", "seconds", "orders_waiting")] == ["orders", 0, 0.0, 0]
    assert [row[name] for name in ("lag", "seconds", "orders_waiting", "waiting_minor")] == [80, 4.5, 7, 4200]
    rows = shop.ask("lag_by_partition")
    said = [(r["group"], r["topic"], r["partition"], r["lag"], r["seconds"], r["share"]) for r in rows]
    assert said == [("payments", "shop.orders", 3, 60, 4.5, 0.75), ("payments", "shop.orders", 4, 20, 1.0, 0.25)]
    assert shop.ask("lag_by_partition", service="orders") == []


def forecast(
    made_at: datetime,
    points: list[Point],
    status: str = "ok",
    series: str = "requests:orders",
    origin: str = "live",
) -> ForecastMade:
    return ForecastMade(
        forecast_id=series + origin + made_at.isoformat(), series=series, unit="u", origin=origin, made_at=made_at,
        history_end=None, step_s=60, model="m", status=status, note="n", backtest_mase=0.5, points=points)  # fmt: skip


def test_forecasts_are_the_latest_of_each_series_and_none_is_said(shop: Stand) -> None:
    at = NOW + timedelta(minutes=5)
    shop.put(forecast(NOW - timedelta(minutes=5), [Point(at, 5.0, 4.0, 6.0, 3.0, 7.0)]))
    shop.put(forecast(NOW, [Point(at, 8.0, 4.0, 9.0, 3.0, 10.0), Point(at + timedelta(minutes=1), 7.0, 4, 9, 3, 10)]))
    shop.put(forecast(NOW, [], "not_enough_history", "orders:day"))
    shop.catch_up()
    rows = shop.ask("forecasts")
    assert [(r["series"], r["mean"], r["at"] is None) for r in rows] == [
        ("orders:day", None, True), ("requests:orders", 8.0, False), ("requests:orders", 7.0, False)]  # fmt: skip
    peak = shop.ask("forecast_peaks")[0]
    assert (peak["service"], peak["peak_requests_per_minute"], peak["peak_high95"]) == ("orders", 8.0, 10.0)


def test_a_forecast_takes_the_place_of_that_from_another_mix_of_past_and_present_but_not_of_imported_orders(
    shop: Stand,
) -> None:
    at = NOW + timedelta(days=1)
    for hours, origin, mean in ((3, "simulated", 1.0), (2, "imported", 2.0), (1, "simulated+live", 3.0)):
        made_at = NOW - timedelta(hours=hours)
        shop.put(forecast(made_at, [Point(at, mean, 0.0, 9.0, 0.0, 9.0)], series="orders:day", origin=origin))
    shop.catch_up()
    rows = shop.ask("forecasts", series="orders:day")
    assert [(r["origin"], r["mean"]) for r in rows] == [("imported", 2.0), ("simulated+live", 3.0)]


def test_forecast_accuracy_holds_what_was_said_first_against_what_came(shop: Stand) -> None:
    due = (NOW - timedelta(minutes=10)).replace(second=0)
    shop.put(forecast(due - timedelta(minutes=9), [Point(due, 200.0, 100.0, 300.0, 50.0, 400.0)]))
    shop.put(forecast(due - timedelta(minutes=4), [Point(due, 999.0, 1.0, 2.0, 1.0, 2.0)]))
    sample = ServiceSample(
        service="orders", group="orders", ready=1, desired=1, request_rate=4.0, error_rate=0.0, p50_ms=None,
        p95_ms=None, p99_ms=None, lag=0, cpu_cores=0.1, memory_bytes=1)  # fmt: skip
    shop.put(StackSampled(interval_s=60.0, services=[sample], parts={}, cpu_cores=1.0, memory_bytes=1), at=due)
    shop.catch_up()
    rows = shop.ask("forecast_accuracy", series="requests:orders")
    assert [(r["actual"], r["mean"]) for r in rows] == [(240.0, 200.0)]


def test_the_range_of_the_data_is_known_by_origin(shop: Stand) -> None:
    shop.put(past_order("a", 5, "imported"), at=datetime(2011, 1, 1, tzinfo=UTC))
    shop.put(past_order("b"), at=days_before(3))
    shop.put(placed("o1"))
    shop.catch_up()
    ranges = {r["origin"]: (r["first"].year, r["events"]) for r in shop.ask("data_range")}
    assert ranges == {"imported": (2011, 1), "simulated": (2026, 1), "live": (2026, 1)}
