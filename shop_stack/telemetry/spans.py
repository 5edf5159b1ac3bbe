"""Spans to an OpenTelemetry collector: a bounded queue, one thread, losses counted."""

import logging
import threading
from collections import deque
from collections.abc import Iterable
from itertools import groupby

import msgspec

from shop_stack.telemetry.collector import TIMEOUT_S, Collector, attributes, resource
from shop_stack.telemetry.tracing import Span

MOST_WAITING = 4096
_BATCH = 512
_EVERY_S = 1.0
_KINDS = {"internal": 1, "server": 2, "client": 3, "consumer": 5}
_FAILED = {"code": 2}
log = logging.getLogger(__name__)


class SpanExporter:
    """Takes spans from any thread and sends them from its own; a collector that is away costs spans, not requests.

    Raises SettingError when the endpoint is no URL.
    """

    def __init__(self, endpoint: str, replica: str) -> None:
        self._collector = Collector(endpoint)
        self._replica = replica
        self._waiting: deque[Span] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self.sent = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, span: Span) -> None:
        """Take a span; one too many is dropped and counted. Never blocks."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
        else:
            self._waiting.append(span)

    def stop(self) -> None:
        """Send what waits, once, and end."""
        self._stopping.set()
        self._thread.join(2 * TIMEOUT_S)

    def _run(self) -> None:
        told = 0
        while not self._stopping.wait(_EVERY_S):
            self._send_waiting()
            if self.dropped > told:
                log.warning("%d spans were dropped: %s does not take them", self.dropped - told, self._collector.host)
                told = self.dropped
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            spans = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not self._collector.post("traces", encoded(spans, self._replica)):
                self.dropped += len(spans)
                return
            self.sent += len(spans)


def encoded(spans: Iterable[Span], replica: str) -> bytes:
    """An ExportTraceServiceRequest in JSON: one resource a service."""
    by_service = groupby(sorted(spans, key=lambda span: span.service), key=lambda span: span.service)
    return msgspec.json.encode({
        "resourceSpans": [
            {
                "resource": resource(service, replica),
                "scopeSpans": [{"scope": {"name": "shopfloor"}, "spans": [_one(span) for span in found]}],
            }
            for service, found in by_service
        ]
    })  # fmt: skip


def _one(span: Span) -> dict[str, object]:
    one: dict[str, object] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": attributes(span.attributes),
        "status": _FAILED if span.failed else {},
    }
    if span.parent_id is not None:
        one["parentSpanId"] = span.parent_id
    return one
