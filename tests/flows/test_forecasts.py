"""Forecasts from history to event and back: fitted in a child that exits, published, ingested and answered."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from analytics.forecasting import Forecasting
from analytics.statements import statement
from shop_stack.eventlog.interface import Record
from shop_stack.events import ServiceSample, StackSampled
from shop_stack.ids import imported_id
from shop_stack.stack import read_stack
from tests.analytics_stand import NOW, Stand, midday, past_minute, past_order, record, stand

pytestmark = pytest.mark.embedded


def forecasting(made: Stand) -> Forecasting:
    return Forecasting(made.warehouse, made.log, read_stack(), now=lambda: NOW)


def daily(origin: str, last: date, days: int, orders: int) -> list[Record]:
    """Some past orders at noon of each day, fewer on Sundays."""
    made = []
    for back in range(days):
        day = last - timedelta(days=back)
        for number in range(1 if day.weekday() == 6 else orders):
            key = f"{origin}{day}{number}"
            made.append(record(past_order(key, 1000, origin), midday(day), imported_id("file", key)))
    return made


def test_the_next_hour_of_a_service_and_the_advice_come_back_as_events(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        start = NOW.replace(second=0) - timedelta(minutes=600)
        minutes = [
            record(past_minute(6000.0 + minute % 7), at, imported_id("minutes", str(minute)))
            for minute in range(600)
            if minute != 300
            for at in [start + timedelta(minutes=minute)]
        ]
        made.log.append("shop.history", minutes)
        made.catch_up()
        forecasting(made).make("requests")
        made.catch_up()
        rows = [r for r in made.ask("forecasts") if r["series"] == "requests:orders"]
        assert len(rows) == 60
        assert {(r["status"], r["origin"]) for r in rows} == {("ok", "simulated")}
        assert rows[0]["at"] == NOW.replace(second=0, tzinfo=None)
        assert rows[0]["mean"] == pytest.approx(6003, abs=10)
        assert "1 minutes without samples" in rows[0]["note"]
        others = [r for r in made.ask("forecasts") if r["series"] == "requests:catalog"]
        assert [(r["status"], r["at"]) for r in others] == [("not_enough_history", None)]
        advice = made.warehouse.ask("select data ->> 'replicas' from raw_events where type like '%advised%'", {}).rows
        assert advice == [("3",)]
        made.check()


def test_days_are_forecast_from_the_end_of_each_history(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.log.append("shop.history", daily("simulated", NOW.date(), 60, 4))
        made.log.append("shop.history", daily("imported", date(2011, 12, 9), 60, 6))
        made.catch_up()
        forecasting(made).make("sales")
        made.catch_up()
        rows = made.ask("forecasts", series="orders:day")
        first = {origin: next(r for r in rows if r["origin"] == origin) for origin in ("imported", "simulated")}
        assert len(rows) == 28
        assert first["simulated"]["at"] == datetime(2026, 11, 18)  # noqa: DTZ001
        assert first["imported"]["at"] == datetime(2011, 12, 10)  # noqa: DTZ001
        assert first["imported"]["note"] == "from its own last day, 2011-12-09"
        assert first["simulated"]["mean"] == pytest.approx(4, abs=0.5)
        sundays = [r["mean"] for r in rows if r["at"].weekday() == 6]
        assert sundays == pytest.approx([1, 1, 1, 1], abs=0.6)


def test_an_empty_shop_says_that_there_is_not_enough_history(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        work = forecasting(made)
        work.make("sales")
        work.make("requests")
        made.catch_up()
        rows = made.ask("forecasts")
        assert len(rows) == 2 + len(read_stack().services)
        assert {r["status"] for r in rows} == {"not_enough_history"}
        assert all(r["note"] for r in rows)
        assert all(r["made_at"] == NOW.astimezone(UTC).replace(tzinfo=None) for r in rows)


def test_simulated_and_live_requests_of_a_minute_are_one_series(tmp_path: Path) -> None:
    """While the past is written the shop is idle and sampled; in the minute of the joint each made its share."""
    first = NOW.replace(second=0) - timedelta(minutes=4)
    with stand(tmp_path) as made:
        for minute, (simulated, live_rate) in enumerate([(600.0, None), (600.0, 0.0), (240.0, 6.0), (None, 10.0)]):
            at = first + timedelta(minutes=minute)
            if simulated is not None:
                made.put(past_minute(simulated), at=at, identifier=imported_id("joint", str(minute)))
            if live_rate is not None:
                made.put(*[sampled(live_rate)] * 12, at=at)
        made.catch_up()
        sql = statement("series/requests_by_minute")
        spans = {"since": (first - timedelta(minutes=1)).replace(tzinfo=None), "until": NOW.replace(tzinfo=None)}
        rows = made.warehouse.ask(sql, spans).dictionaries()
        assert [(row["requests"], row["origin"]) for row in rows] == [
            (600, "simulated"), (600, "live"), (600, "live"), (600, "live"),
        ]  # fmt: skip


def sampled(request_rate: float) -> StackSampled:
    """Five seconds of one service."""
    orders = ServiceSample(
        service="orders", group="orders", ready=1, desired=1, request_rate=request_rate, error_rate=0.0, p50_ms=1.0,
        p95_ms=2.0, p99_ms=3.0, lag=0, cpu_cores=0.1, memory_bytes=1,
    )  # fmt: skip
    return StackSampled(interval_s=5.0, services=[orders], parts={}, cpu_cores=0.1, memory_bytes=1)
