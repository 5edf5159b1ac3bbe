"""Replicas and cost: how many were wanted and ready, what they used, and what an order cost at a price."""

from datetime import timedelta
from pathlib import Path

import pytest

from shop_stack.events import OrderCancelled, ServiceSample, StackSampled
from tests.analytics_stand import NOW, placed, stand
from tests.marts_stand import Sent, sent, told

pytestmark = pytest.mark.embedded
MINUTE = NOW.replace(second=0)


def sample(after_s: float, *services: ServiceSample, interval_s: float = 1.0) -> Sent:
    event = StackSampled(interval_s=interval_s, services=list(services), parts={}, cpu_cores=0.0, memory_bytes=0)
    return sent(event, MINUTE + timedelta(seconds=after_s))


def service(name: str, ready: int, desired: int, cpu: float = 0.5, group: str | None = None) -> ServiceSample:
    return ServiceSample(
        service=name, group=group or name, ready=ready, desired=desired, request_rate=0.0, error_rate=0.0, p50_ms=None,
        p95_ms=None, p99_ms=None, lag=0, cpu_cores=cpu, memory_bytes=0,
    )  # fmt: skip


def test_a_minute_says_what_was_wanted_and_what_was_ready(tmp_path: Path) -> None:
    events = [
        sample(-1, service("orders", 1, 1)),
        sample(0, service("orders", 1, 1), service("payments", 2, 2)),
        sample(1, service("orders", 1, 3)),
        sample(3, service("orders", 2, 3), interval_s=2.0),
        sample(4, service("orders", 3, 3)),
    ]
    rows = told(tmp_path, events, {"replicas": {"service": "orders"}})["replicas"]
    assert rows == [
        {"minute": (MINUTE - timedelta(minutes=1)).replace(tzinfo=None), "service": "orders", "group": "orders",
         "wanted": 1, "ready": 1, "least_ready": 1, "most_ready": 1, "mean_ready": 1, "short_seconds": 0,
         "complete": True},
        {"minute": MINUTE.replace(tzinfo=None), "service": "orders", "group": "orders", "wanted": 3, "ready": 3,
         "least_ready": 1, "most_ready": 3, "mean_ready": (1 + 1 + 2 * 2 + 3) / 5, "short_seconds": 3,
         "complete": False},
    ]  # fmt: skip


def test_an_hour_costs_what_its_replicas_and_its_cpu_cost(tmp_path: Path) -> None:
    hour = MINUTE.replace(minute=0)
    at = (hour - MINUTE).total_seconds()
    events = [
        sample(at + n * 60, service("orders", 2, 2), service("payments", 1, 1, 1.0), interval_s=60.0) for n in range(30)
    ]
    events += [sent(placed(f"o{n}"), hour + timedelta(minutes=n)) for n in range(5)]
    events += [sent(OrderCancelled(order_id="o4", reason="customer"), hour + timedelta(minutes=9))]
    prices = {"replica_hour_minor": "10", "cpu_hour_minor": "4.5"}
    rows = told(tmp_path, events, {"cost_by_hour": prices}, hour + timedelta(minutes=59))["cost_by_hour"]
    said = {r["group"]: (r["replica_hours"], r["cpu_hours"], r["cost_minor"], r["orders"]) for r in rows}
    assert said == {
        "orders": (1.0, 0.25, pytest.approx(10 + 0.25 * 4.5), 4),
        "payments": (0.5, 0.5, pytest.approx(5 + 0.5 * 4.5), 4),
    }
    assert sum(r["cost_an_order_minor"] for r in rows) == pytest.approx((10 + 1.125 + 5 + 2.25) / 4)
    assert {(r["hour"], r["complete"]) for r in rows} == {(hour.replace(tzinfo=None), False)}


def test_services_that_share_a_process_are_counted_once(tmp_path: Path) -> None:
    events = [sample(0, *(service(name, 2, 2, 1.0, "core") for name in ("orders", "catalog")), interval_s=36.0)]
    row = told(tmp_path, events, {"cost_by_hour": {"replica_hour_minor": "100"}})["cost_by_hour"][0]
    assert (row["group"], row["services"]) == ("core", "catalog, orders")
    assert (row["replica_hours"], row["cpu_hours"], row["cost_minor"]) == (0.02, 0.01, 2)
    assert (row["orders"], row["cost_an_order_minor"]) == (0, None)


def test_without_a_price_there_is_no_cost(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        topic, record = sample(0, service("orders", 1, 1))
        made.log.append(topic, [record])
        made.put(placed("o"))
        made.catch_up()
        row = made.ask("cost_by_hour")[0]
        assert (row["orders"], row["cost_minor"], row["cost_an_order_minor"]) == (1, None, None)
        assert made.ask("cost_by_hour", cpu_hour_minor="0")[0]["cost_minor"] == 0
