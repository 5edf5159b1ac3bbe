"""Metrics of a replica, of operations and of analytics, and the files for Prometheus and Grafana that stand on them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from litestar.testing import TestClient

from analytics.desk import Desk
from analytics.ingest import Watermark
from analytics.questions_api import make_app
from analytics.warehouse import Warehouse
from shop_stack.access import Verifier
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.settings import Home
from shop_stack.stack import read_stack
from tests import toy_service
from tests.contracts.toy_parts import product, send
from tests.exposition import Family, read
from tests.flows.shop_in_process import running_shop, wait_until
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded
ROOT = Path(__file__).parents[2]
FILES = ROOT / "docs" / "observability"
_NAME = re.compile(r"\bshopfloor_\w+")


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Family]:
    """A replica's page after three requests, one of them failed, and an event."""
    with running_shop(tmp_path_factory.mktemp("shop"), cards={"toy": [toy_service.CARD]}) as shop:
        shop.get("toy", "/v1/counts/a")
        shop.get("toy", "/v1/counts/a")
        shop.get("toy", "/v1/broken")
        send(shop.log, product("good", 1))
        handled = 'shopfloor_events_handled_total{service="toy",type="shop.product.added.v1"} 1\n'
        return read(wait_until(lambda: (t := shop.get("toy", "/metrics").text) and handled in t and t, "the event"))


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Family]:
    """The page of operations over a log with a group that has three events to process."""
    stand = Stand(make_home(tmp_path_factory.mktemp("operations")))
    with EmbeddedLog(stand.settings.home.log) as log:
        log.append("shop.models", [Record("k", b"x")] * 3)
        consumer = log.subscribe('odd"group', ["shop.models"])
        until(lambda: consumer.poll(timeout_s=0.1))
        consumer.commit({("shop.models", 0): 1})
    with stand.served():
        until(lambda: stand.engine.sampler.snapshot.observation and stand.engine.link.lag('odd"group') == 2)
        answer = httpx.get(f"{stand.address}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read(answer.text)


@pytest.fixture(scope="module")
def analytics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Family]:
    """The page of analytics that has read a topic and waits for its disk."""
    home = Home(tmp_path_factory.mktemp("analytics"))
    mark = Watermark(datetime(2026, 1, 1, tzinfo=UTC), {"shop.orders": {0: 7, 1: 5}}, trouble="the disk is full")
    warehouse = Warehouse(home.path / "warehouse.duckdb")
    desk = Desk(warehouse, lambda: mark, ZoneInfo("UTC"))
    with TestClient(make_app(desk, lambda: Verifier(home, "operators"))) as client:
        answer = client.get("/metrics")
    warehouse.close()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read(answer.text)


def test_a_replica_counts_requests_with_their_durations_and_events(replica: dict[str, Family]) -> None:
    requests = replica["shopfloor_requests_total"]
    assert requests.values(service="toy", status="200") == [2]
    assert requests.values(service="toy", status="500") == [1]
    durations = replica["shopfloor_request_duration_seconds"].samples
    assert durations["shopfloor_request_duration_seconds_count", frozenset({("service", "toy")})] == 3
    assert replica["shopfloor_outbox_age_seconds"].values(service="toy") == [0]


def test_operations_tells_replicas_and_each_groups_lag(operations: dict[str, Family]) -> None:
    assert operations["shopfloor_replicas_ready"].values(group="orders") == [1]
    assert operations["shopfloor_part_up"].values(part="analytics") == [0]
    assert operations["shopfloor_consumer_lag_events"].values(consumer='odd"group', topic="shop.models") == [2]
    assert operations["shopfloor_runtime_up"].values() == [1]


def test_analytics_tells_how_far_it_has_read(analytics: dict[str, Family]) -> None:
    assert analytics["shopfloor_analytics_position"].values(topic="shop.orders", partition="1") == [5]
    assert analytics["shopfloor_analytics_watermark_timestamp_seconds"].values() == [1_767_225_600]
    assert analytics["shopfloor_analytics_halted"].values() == [0]
    assert analytics["shopfloor_analytics_troubled"].values() == [1]


def test_the_dashboard_names_metrics_and_labels_that_exist(
    replica: dict[str, Family], operations: dict[str, Family], analytics: dict[str, Family]
) -> None:
    families = replica | operations | analytics
    known = {name for name, family in families.items() if family.kind != "histogram"}
    known |= {name for family in families.values() for name, _ in family.samples}
    panels = json.loads((FILES / "grafana-dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 12
    for target in (target for panel in panels for target in panel["targets"]):
        named = set(_NAME.findall(target["expr"]))
        assert named
        assert named <= known, target["expr"]
        kinds = {family.kind for name, family in families.items() if any(one.startswith(name) for one in named)}
        assert ("rate(" in target["expr"]) == bool(kinds & {"counter", "histogram"}), target["expr"]


def test_the_page_for_readers_names_every_metric(
    replica: dict[str, Family], operations: dict[str, Family], analytics: dict[str, Family]
) -> None:
    told = (FILES / "README.md").read_text()
    for name in replica | operations | analytics:
        last = name.removeprefix("shopfloor_analytics_").removeprefix("shopfloor_")
        assert name in told or f"`_{last}" in told, name


def test_prometheus_scrapes_every_service_group_and_part_where_compose_has_them() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load((FILES / "prometheus.yml").read_text())["scrape_configs"]}
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    (services,) = jobs["services"]["dns_sd_configs"]
    hosted = {name for name, one in compose.items() if "shop_stack.hosting" in (one.get("command") or [])}
    assert set(services["names"]) == hosted >= {spec.name for spec in read_stack(None).services}
    assert all(str(services["port"]) in compose[name]["healthcheck"]["test"] for name in hosted)
    for part in ("operations", "analytics"):
        (place,) = jobs[part]["static_configs"][0]["targets"]
        name, _, port = place.partition(":")
        assert port in compose[name]["healthcheck"]["test"]
