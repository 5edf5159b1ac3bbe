"""What is told of services by the minute is told by the hour when it is old: the same sums, in few rows."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.archiving import Archive
from analytics.coarsening import coarsen
from analytics.rebuilding import rebuild
from shop_stack.events import PartitionLag, ServiceSample, StackSampled
from shop_stack.stack import Retention
from tests.analytics_stand import NOW, Stand, days_before

pytestmark = pytest.mark.embedded
OLD = days_before(61).replace(hour=9, minute=0, second=0)
ELEVEN = (OLD + timedelta(hours=2)).replace(tzinfo=None)
SPAN = {"since": OLD.isoformat(), "until": (NOW + timedelta(minutes=1)).isoformat()}
MEASURES = ("service_minutes", "replicas", "lag_by_group", "lag_by_partition", "event_to_query_delay")


def sample(minute: int) -> StackSampled:
    """Half a minute of two services of which one lags, other figures each minute."""
    lags = [
        PartitionLag(topic="shop.orders", partition=p, committed=0, end=minute + p, lag=minute + p, seconds=minute / 10)
        for p in (0, 1)
    ]
    services = [
        ServiceSample(
            service=name, group=name, ready=1 + minute % 3, desired=2, request_rate=10.0 + minute, error_rate=0.01,
            p50_ms=1.0, p95_ms=5.0 + minute, p99_ms=9.0, lag=2 * minute + 1, lag_s=minute / 10, orders_waiting=minute,
            waiting_minor=100 * minute, cpu_cores=0.5, memory_bytes=1, partitions=lags if name == "orders" else [],
        )
        for name in ("orders", "payments")
    ]  # fmt: skip
    return StackSampled(interval_s=30.0, services=services, parts={}, cpu_cores=1.0, memory_bytes=1)


def sampled(made: Stand, begin: datetime, minutes: Iterable[int]) -> None:
    for minute in minutes:
        for second in (10, 40):
            made.put(sample(minute), at=begin + timedelta(minutes=minute, seconds=second))
        at = (begin + timedelta(minutes=minute)).replace(tzinfo=None)
        made.warehouse.write(
            "insert into delay_buckets values ($at, $bucket, 3)", {"at": at, "bucket": 40 + minute % 5}
        )
    made.catch_up()
    made.ingest.roll_up()


def filled(folder: Path) -> Stand:
    """Two hours and a half of long ago, with a minute missing, and some minutes of today."""
    made = Stand(folder)
    sampled(made, OLD, [minute for minute in range(150) if minute != 30])
    sampled(made, NOW - timedelta(hours=1), range(5))
    return made


def asked(made: Stand) -> dict[str, list[dict[str, Any]]]:
    return {name: made.ask(name, **SPAN) for name in MEASURES}


def of(rows: list[dict[str, Any]], hour: datetime) -> list[dict[str, Any]]:
    return [row for row in rows if hour <= row["minute"] < hour + timedelta(hours=1)]


def test_minutes_before_a_full_hour_become_hours_that_say_the_same(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before = asked(made)
    assert coarsen(made.warehouse, ELEVEN) > 800
    after = asked(made)
    for name in MEASURES:
        minutes, hours = before[name], after[name]
        assert [row for row in hours if row["minute"] >= ELEVEN] == [row for row in minutes if row["minute"] >= ELEVEN]
        assert {row["minute"] for row in hours if row["minute"] < ELEVEN} == {
            ELEVEN - timedelta(hours=2), ELEVEN - timedelta(hours=1)}  # fmt: skip
    for hour in (ELEVEN - timedelta(hours=2), ELEVEN - timedelta(hours=1)):
        one, many = of(after["service_minutes"], hour), of(before["service_minutes"], hour)
        assert [row["service"] for row in one] == ["orders", "payments"]
        orders = [row for row in many if row["service"] == "orders"]
        count = sum(row["requests_per_minute"] for row in orders)
        assert one[0]["requests_per_minute"] == pytest.approx(count / len(orders))
        weighted = sum(row["p95_ms"] * row["requests_per_minute"] for row in orders)
        assert one[0]["p95_ms"] == pytest.approx(weighted / count)
        assert one[0]["error_rate"] == pytest.approx(0.01)
        assert (one[0]["ready"], one[0]["lag"]) == (orders[-1]["ready"], max(row["lag"] for row in orders))
        (replicas,) = [row for row in of(after["replicas"], hour) if row["service"] == "orders"]
        minutes = [row for row in of(before["replicas"], hour) if row["service"] == "orders"]
        assert replicas["short_seconds"] == sum(row["short_seconds"] for row in minutes)
        assert (replicas["least_ready"], replicas["most_ready"], replicas["wanted"]) == (1, 3, 2)
        assert [row["waiting_minor"] for row in of(after["lag_by_group"], hour)] == [
            max(row["waiting_minor"] for row in of(before["lag_by_group"], hour))] * 2  # fmt: skip
        assert [row["partition"] for row in of(after["lag_by_partition"], hour)] == [1, 0]
        (delays,) = of(after["event_to_query_delay"], hour)
        assert delays["events"] == sum(row["events"] for row in of(before["event_to_query_delay"], hour))
    made.check(OLD + timedelta(minutes=149, seconds=40))
    made.close()


def test_what_comes_late_is_added_to_its_hour_and_a_rebuild_equals(tmp_path: Path) -> None:
    made = filled(tmp_path)
    coarsen(made.warehouse, ELEVEN)
    rows = made.warehouse.write("select count(*) from service_parts")
    assert coarsen(made.warehouse, ELEVEN) == 0
    sampled(made, OLD, [30])
    assert {row["minute"].minute for row in of(made.ask("service_minutes", **SPAN), ELEVEN - timedelta(hours=2))} == {
        0, 30}  # fmt: skip
    assert coarsen(made.warehouse, ELEVEN) > 0
    assert made.warehouse.write("select count(*) from service_parts") == rows
    made.warehouse.close()
    done = rebuild(tmp_path / "warehouse.duckdb", made.log)
    assert (done.swapped, done.differences) == (True, [])
    made.log.close()


def test_a_turn_of_the_archive_does_it_after_so_many_days(tmp_path: Path) -> None:
    made = filled(tmp_path)
    for days, left in ((62, 149), (61, 149), (60, 3)):
        Archive(made.warehouse, Retention(minute_days=days), now=lambda: NOW).turn()
        told = made.ask("service_minutes", service="orders", **SPAN)
        assert sum(row["minute"].date() == OLD.date() for row in told) == left, days
    made.close()
