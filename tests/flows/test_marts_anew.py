"""A warehouse whose marts were made by an earlier version comes up with the new ones filled, from its archive too."""

from datetime import datetime
from pathlib import Path

import pytest

import analytics.archiving
import analytics.marts
import analytics.warehouse
from analytics.archiving import Archive
from analytics.marts import MARTS, STAGING
from shop_stack.events import (
    ActionRequested,
    CustomerRegistered,
    IncidentOpened,
    PaymentAuthorised,
    ServiceSample,
    StackSampled,
    StockLevelChanged,
    StockReceived,
)
from shop_stack.ids import uuid7
from shop_stack.stack import Retention
from tests.analytics_stand import NOW, Stand, days_before, placed
from tests.marts_stand import Sent, answers, sent

pytestmark = pytest.mark.embedded
FIRST = ("topic_minutes", "partition_positions", "orders_placed", "order_ends", "order_lines", "sales_minutes",
         "behaviour", "past_sessions", "service_parts", "partition_lags", "products", "forecasts_made",
         "forecast_points")  # fmt: skip
SINCE = {"since": days_before(9).isoformat()}
ASKED: dict[str, dict[str, str]] = {
    **dict.fromkeys(("payments_by_minute", "event_flow", "replicas", "cost_by_hour"), SINCE),
    **dict.fromkeys(("incidents", "operator_actions", "customers_by_day", "customer_cohorts"), SINCE),
    "stock_cover": {},
    "revenue_by_day": {},
}


def everything(at: datetime) -> list[Sent]:
    """Something for each mart."""
    order, name = uuid7(at), at.isoformat()
    sample = ServiceSample(
        service="orders", group="orders", ready=1, desired=2, request_rate=1, error_rate=0, p50_ms=1, p95_ms=1,
        p99_ms=1, lag=0, cpu_cores=1, memory_bytes=1,
    )  # fmt: skip
    action = ActionRequested(
        action_id=name, kind="restart", service="orders", group="orders", actor="anna", reason="load"
    )
    return [
        sent(placed(name), at, "/orders", identifier=order),
        sent(PaymentAuthorised(order_id=name, amount_minor=500, provider_reference="r"), at, "/payments", order),
        sent(StockReceived(product_id=name, quantity=3), at, sequence=1),
        sent(StockLevelChanged(product_id=name, available=3, reserved=0, sold=0), at, sequence=2),
        sent(StackSampled(interval_s=1, services=[sample], parts={}, cpu_cores=1, memory_bytes=1), at),
        sent(IncidentOpened(incident_id=name, kind="k", service="orders", summary="s"), at),
        sent(action, at),
        sent(CustomerRegistered(customer_id=name), at),
    ]


def test_a_warehouse_of_an_earlier_version_has_the_new_marts_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        for module in (analytics.marts, analytics.warehouse):
            earlier.setattr(module, "MARTS", FIRST)
            earlier.setattr(module, "STAGING", STAGING[:10])
        earlier.setattr(analytics.archiving, "coarsen", lambda *_: 0)  # it knew no hours either
        old = Stand(tmp_path / "home")
        for at in (days_before(8), days_before(2), NOW):
            for topic, record in everything(at):
                old.log.append(topic, [record])
        old.catch_up()
        old.ingest.roll_up()
        archived = Archive(old.warehouse, Retention(raw_days=7), now=lambda: NOW).turn()
        assert archived == len(everything(NOW))
        kept = {row[0] for row in old.warehouse.ask("select table_name from duckdb_tables()", {}).rows}
        assert not {f"kept_{mart}" for mart in set(MARTS) - set(FIRST)} & kept
        old.close()
    made = Stand(tmp_path / "home")
    said = answers(made, ASKED)
    assert all(said.values())
    assert made.warehouse.ask("select count(*) from archived_files", {}).rows == [(0,)]
    made.check()
    made.ingest.roll_up()
    assert answers(made, ASKED) == said
    made.check()
    anew = Stand(tmp_path / "anew", made.log)
    anew.catch_up()
    assert answers(anew, ASKED) == said
    assert {row["events"] for row in said["event_flow"]} == {3}
    anew.warehouse.close()
    made.close()
