"""Traces to an OpenTelemetry collector: one order's, through three services; none where no collector is named."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from analytics.desk import Desk
from analytics.questions_api import make_app
from shop_stack.access import Verifier
from shop_stack.envelope import decode
from shop_stack.errors import SettingError
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.events import ActionRequested
from shop_stack.hosting import host
from shop_stack.hosting.http import Front, Requests, asgi
from shop_stack.mesh.direct import run
from shop_stack.settings import Home, Settings
from shop_stack.telemetry import tracing
from shop_stack.telemetry.collector import ENDPOINT
from shop_stack.telemetry.requests import Traced
from shop_stack.telemetry.spans import MOST_WAITING, SpanExporter
from tests import operations_stand
from tests.analytics_stand import ZONE, placed, stand
from tests.collector import Collector, running_collector
from tests.flows.shop_at_work import Shop
from tests.flows.shop_in_process import replica_process, wait_until
from tests.operations_stand import make_home
from tests.serving import served

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


@contextmanager
def told_to(collector: Collector) -> Iterator[None]:
    """Spans of this process go to the collector while the block lasts, and are there after it."""
    exporter = SpanExporter(collector.address, "r-1")
    exporter.start()
    tracing.export_to(exporter.add)
    try:
        yield
    finally:
        tracing.export_to(None)
        exporter.stop()


def test_an_operators_question_is_one_trace_through_operations_and_analytics(
    collector: Collector, tmp_path: Path
) -> None:
    operations = operations_stand.Stand(make_home(tmp_path / "home"))
    home = operations.settings.home
    with told_to(collector), stand(tmp_path) as made:
        made.put(placed("o1", 500))
        made.catch_up()
        made.ingest.roll_up()
        desk = Desk(made.warehouse, lambda: made.ingest.watermark, ZONE, now=lambda: made.now)
        with served(Traced(make_app(desk, lambda: Verifier(home, "operators")), "analytics")) as address:
            operations.engine.settings.ports["analytics"] = int(address.rpartition(":")[2])
            with operations.served():
                headers = {
                    "authorization": f"Bearer {operations.token('viewer')}", "traceparent": f"00-{TRACE}-{GATEWAY}-01",
                }  # fmt: skip
                answer = httpx.get(f"{operations.address}/ops/v1/orders/o1", headers=headers)
                assert [step["type"] for step in answer.json()["steps"]] == ["shop.order.placed.v1"]
                assert httpx.get(f"{operations.address}/readyz").status_code == 200
    spans = collector.spans()
    asked, call, answered = (span for span in reversed(spans_of(spans, TRACE)))
    assert (asked["service"], asked["kind"], asked["parentSpanId"]) == ("operations", 2, GATEWAY)
    assert (asked["name"], asked["attributes"]["shop.order_id"]) == ("GET /ops/v1/orders/{order_id}", "o1")
    assert (call["service"], call["kind"], call["parentSpanId"]) == ("operations", 3, asked["spanId"])
    assert (answered["service"], answered["kind"], answered["parentSpanId"]) == ("analytics", 2, call["spanId"])
    assert answered["attributes"]["shop.question"] == "order_journey"
    others = [(span["service"], span["name"]) for span in spans if span["traceId"] != TRACE]
    assert set(others) == {("analytics", "ingest"), ("analytics", "roll up")}, "questions about health make none"
    (ingested, *_) = (span for span in spans if span["name"] == "ingest")
    assert ingested["attributes"]["messaging.batch.message_count"] == "1"


def test_an_action_goes_on_in_the_trace_of_who_asked_for_it_and_so_does_its_event(
    collector: Collector, tmp_path: Path
) -> None:
    operations = operations_stand.Stand(make_home(tmp_path / "home"))
    with told_to(collector), operations.served():
        operations_stand.until(lambda: operations.engine.sampler.snapshot.observation.groups)
        headers = {
            "authorization": f"Bearer {operations.token('operator')}", "traceparent": f"00-{TRACE}-{GATEWAY}-01",
        }  # fmt: skip
        body = {"replicas": 2, "reason": "a sale begins"}
        answer = httpx.post(f"{operations.address}/ops/v1/services/orders/scale", headers=headers, json=body)
        assert answer.status_code == 202, answer.text
        operations_stand.until(lambda: operations.runtime.calls)
    spans = spans_of(collector.spans(), TRACE)
    (asked,) = (span for span in spans if span["kind"] == 2)
    (performed,) = (span for span in spans if span["name"] == "perform scale")
    assert (performed["parentSpanId"], performed["attributes"]["shop.service"]) == (asked["spanId"], "orders")
    with EmbeddedLog(operations.settings.home.log) as log:
        topic = ActionRequested.topic.name
        told = [decode(r.value) for n in range(log.partitions(topic)) for r in log.read(topic, n, 0)]
    (requested,) = (envelope for envelope in told if isinstance(envelope.data, ActionRequested))
    assert requested.traceparent == f"00-{TRACE}-{asked['spanId']}-01"


def spans_of(spans: list[dict[str, Any]], trace_id: str) -> list[dict[str, Any]]:
    """Those of one trace, in the order in which they ended."""
    return sorted((s for s in spans if s["traceId"] == trace_id), key=lambda span: int(span["endTimeUnixNano"]))


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
        "import sys, threading; from shop_stack.hosting import host; from shop_stack.telemetry import tracing\n"
        "with tracing.exporting_spans('r-1'):\n"
        "    print('shop_stack.telemetry.spans' in sys.modules, threading.active_count(),"
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
