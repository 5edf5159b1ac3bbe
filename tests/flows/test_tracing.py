"""Traces to an OpenTelemetry collector: one order's, through three services; none where no collector is named."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shop_stack.collector import ENDPOINT
from shop_stack.errors import SettingError
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.hosting import host, tracing
from shop_stack.hosting.http import Front, Requests, asgi
from shop_stack.hosting.otlp import MOST_WAITING, SpanExporter
from shop_stack.mesh.direct import run
from shop_stack.settings import Home, Settings
from tests.collector import Collector, running_collector
from tests.flows.shop_at_work import Shop
from tests.flows.shop_in_process import replica_process, wait_until

pytestmark = pytest.mark.embedded
TRACE, GATEWAY = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


def test_one_orders_trace_goes_through_orders_inventory_and_payments(collector: Collector, tmp_path: Path) -> None:
    shop = Shop(tmp_path, "microservices")
    exporter = SpanExporter(collector.address, "r-1")
    exporter.start()
    try:
        shop.add_products({"tea": 10})
        body = msgspec.json.encode({"cart_id": shop.fill_cart("shopper", {"tea": 1}), "expected_total": 500})
        tracing.export_to(exporter.add)
        headers = {
            "content-type": "application/json", "idempotency-key": uuid.uuid4().hex, "x-subject": "shopper",
            "traceparent": f"00-{TRACE}-{GATEWAY}-00",
        }  # fmt: skip
        front = Front(asgi(shop.replica("orders").direct_app()), {}, Requests())
        answer = run(front, "POST", "/v1/orders", headers, body)
        order_id = answer.json()["order_id"]
        shop.until_state(order_id, "completed")
    finally:
        tracing.export_to(None)
        exporter.stop()
        shop.close()
    assert exporter.dropped == 0
    assert set(collector.paths) == {"/v1/traces"}
    spans = [span for span in collector.spans() if span["traceId"] == TRACE]
    by_id = {span["spanId"]: span for span in spans}
    (first,) = (span for span in spans if span["kind"] == 2 and span["name"].startswith("POST"))
    assert (first["service"], first["name"], first["parentSpanId"]) == ("orders", "POST /v1/orders", GATEWAY)
    assert first["attributes"]["http.response.status_code"] == "202"
    assert all(span["parentSpanId"] in {GATEWAY, *by_id} for span in spans)
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)
    (asked,) = (span for span in spans if span["name"] == "provider authorise")
    assert (asked["service"], asked["kind"], asked["attributes"]) == ("payments", 3, {"shop.order_id": order_id})
    led_here = []
    while asked["parentSpanId"] != GATEWAY:
        asked = by_id[asked["parentSpanId"]]
        led_here.append((asked["service"], asked["name"]))
    assert led_here == [
        ("payments", "handle AuthorisationRequested"),
        ("orders", "handle StockReserved"),
        ("inventory", "handle ReservationRequested"),
        ("orders", "POST /v1/orders"),
    ]


def test_a_replica_sends_when_a_collector_is_named(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, collector.address)
    settings = Settings(home=Home(tmp_path))
    with EmbeddedLog(settings.home.log), replica_process(host.run_group, settings, "catalog", "catalog-7") as replica:
        replica.wait_ready()
        assert replica.client.get("/v1/products/nothing").status_code == 404
        (span,) = wait_until(collector.spans, "the span")
    assert (span["service"], span["attributes"]["http.response.status_code"]) == ("catalog", "404")
    assert "nothing" not in span["name"]


def test_without_a_collector_nothing_is_imported_started_or_made() -> None:
    code = (
        "import sys, threading; from shop_stack.hosting import host, tracing\n"
        "with host._exporting('r-1'):\n"
        "    print('shop_stack.hosting.otlp' in sys.modules, threading.active_count(),"
        " tracing.begin('orders', 'x', 'server', None))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.split() == ["False", "1", "None"]


def test_a_collector_that_is_away_costs_spans_and_never_waits(collector: Collector) -> None:
    collector.status = 503
    exporter = SpanExporter(collector.address, "r-1")
    tracing.export_to(exporter.add)
    try:
        for _ in range(MOST_WAITING + 5):
            with tracing.within("orders", "work", "client", None, {}):
                pass
        assert exporter.dropped == 5
        exporter.start()
    finally:
        tracing.export_to(None)
        exporter.stop()
    assert (exporter.sent, collector.bodies) == (0, [])
    assert exporter.dropped > 5


def test_work_that_raises_is_a_span_that_failed(collector: Collector) -> None:
    exporter = SpanExporter(collector.address, "r-1")
    tracing.export_to(exporter.add)
    try:
        with pytest.raises(KeyError), tracing.within("orders", "work", "client", "not a traceparent", {}):
            raise KeyError
    finally:
        tracing.export_to(None)
        exporter.start()
        exporter.stop()
    (span,) = collector.spans()
    assert span["status"] == {"code": 2}
    assert "parentSpanId" not in span


def test_an_endpoint_that_is_no_url_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match="OTEL_EXPORTER_OTLP_ENDPOINT is not http") as told:
        SpanExporter("collector:4318", "r-1")
    assert "collector" not in str(told.value), "an address may hold a password"
