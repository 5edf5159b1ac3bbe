"""Metrics to an OpenTelemetry collector: what the Prometheus page says, of replicas, operations and analytics."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from shop_stack.access import prepare_keys
from shop_stack.errors import SettingError
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.exposition import Durations, histogram, metric
from shop_stack.hosting import host
from shop_stack.hosting.store import StoreAway
from shop_stack.operations.api import run_operations
from shop_stack.settings import Home, Settings, to_environment
from shop_stack.telemetry import metrics as otlp_metrics
from shop_stack.telemetry.collector import ENDPOINT
from shop_stack.telemetry.metrics import MetricsExporter, exporting_metrics
from tests.collector import Collector, plain, running_collector
from tests.flows.shop_at_work import free_port
from tests.flows.shop_in_process import replica_process, wait_until

pytestmark = pytest.mark.embedded


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


def test_counters_gauges_and_histograms_say_what_the_page_says(collector: Collector) -> None:
    durations = Durations()
    for seconds in (0.004, 0.02, 0.02, 99.0):
        durations.add(seconds)
    odd = 'a "b\\" # HELP x\n{c="d"} 1'
    page = (
        metric("asked_total", "counter", "Requests.", [({"service": "orders"}, 3), ({"service": odd}, 0.25)])
        + metric("waiting", "gauge", "Waiting.", [({}, 7)])
        + metric("nothing", "gauge", "Nothing.", [])
        + histogram("took_seconds", "Seconds.", [({"service": odd}, durations)])
    )
    exporter = MetricsExporter(collector.address, "orders", "orders-1", lambda: page)
    exporter.start()
    exporter.stop()
    assert collector.paths == ["/v1/metrics"]
    sent = collector.metrics("orders")
    assert sent.keys() == {"asked_total", "waiting", "took_seconds"}
    counter = sent["asked_total"]["sum"]
    assert (counter["isMonotonic"], counter["aggregationTemporality"]) == (True, 2)
    assert [(plain(one), one["asDouble"]) for one in counter["dataPoints"]] == [
        ({"service": "orders"}, 3), ({"service": odd}, 0.25)
    ]  # fmt: skip
    assert [one["asDouble"] for one in sent["waiting"]["gauge"]["dataPoints"]] == [7]
    (point,) = sent["took_seconds"]["histogram"]["dataPoints"]
    assert (plain(point), point["count"], point["sum"]) == ({"service": odd}, "4", durations.sum_s)
    assert [int(count) for count in point["bucketCounts"]] == durations.counts
    assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
    assert int(point["startTimeUnixNano"]) < int(point["timeUnixNano"])


def test_a_replica_sends_its_page_when_it_leaves(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, collector.address)
    settings = Settings(home=Home(tmp_path))
    with EmbeddedLog(settings.home.log), replica_process(host.run_group, settings, "catalog", "catalog-7") as replica:
        replica.wait_ready()
        assert replica.client.get("/v1/products/nothing").status_code == 404
        replica.process.terminate()
        replica.process.join(20)
        asked = collector.metrics("catalog")["shopfloor_requests_total"]["sum"]["dataPoints"]
    assert {"service": "catalog", "status": "404"} in [plain(one) for one in asked]


def test_analytics_sends_its_page(collector: Collector, tmp_path: Path) -> None:
    settings = Settings(home=Home(tmp_path), ports={"analytics": free_port()})
    prepare_keys(settings.home, datetime.now(UTC))
    environment = {**os.environ, **to_environment(settings), ENDPOINT: collector.address}
    process = subprocess.Popen([sys.executable, "-m", "analytics"], env=environment, stdin=subprocess.PIPE)
    try:
        wait_until(lambda: answers(settings, "analytics", "/livez"), "analytics", 60)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
    assert "shopfloor_analytics_halted" in collector.metrics("analytics")


def test_operations_sends_its_page(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, collector.address)
    settings = replace(Settings(home=Home(tmp_path)), ports={"operations": free_port()})
    prepare_keys(settings.home, datetime.now(UTC))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_operations, args=(settings, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        wait_until(lambda: answers(settings, "operations", "/livez"), "operations", 60)
        process.terminate()
        process.join(30)
    finally:
        process.kill()
        ours.close()
    assert "shopfloor_runtime_up" in collector.metrics("operations")


def answers(settings: Settings, part: str, path: str) -> bool:
    """Whether a part answers this path."""
    try:
        return httpx.get(f"http://127.0.0.1:{settings.ports[part]}{path}", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_no_endpoint_starts_nothing_and_a_wrong_one_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)

    def page() -> str:
        raise AssertionError("nobody asks for the page")

    with exporting_metrics("orders", "orders-1", page):
        pass
    monkeypatch.setenv(ENDPOINT, "collector:4318/secret")
    with pytest.raises(SettingError, match=ENDPOINT) as caught, exporting_metrics("orders", "orders-1", page):
        pass
    assert "secret" not in str(caught.value)


def test_a_collector_that_refuses_or_is_away_ends_nothing(collector: Collector) -> None:
    collector.status = 503
    for address in (collector.address, f"http://127.0.0.1:{free_port()}"):
        exporter = MetricsExporter(address, "orders", "orders-1", lambda: metric("up", "gauge", "Up.", [({}, 1)]))
        exporter.start()
        exporter.stop()
    assert collector.paths == ["/v1/metrics"]
    assert collector.metrics("orders") == {}


def test_a_page_that_cannot_be_read_now_is_sent_later(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_metrics, "EVERY_S", 0.01)
    away = [StoreAway("the store of orders does not answer")]

    def page() -> str:
        if away:
            raise away.pop()
        return metric("up", "gauge", "Up.", [({}, 1)])

    exporter = MetricsExporter(collector.address, "orders", "orders-1", page)
    exporter.start()
    wait_until(lambda: collector.metrics("orders"), "the page")
    exporter.stop()
    assert away == []
