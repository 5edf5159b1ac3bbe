"""An OpenTelemetry collector for tests: a real HTTP server that keeps what it is sent, decoded."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Collector:
    """What came. `status` is what it answers."""

    address: str = ""
    status: int = 200
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def spans(self) -> list[dict[str, Any]]:
        """All spans, each with its resource's `service` and its attributes as a plain dict."""
        return [
            span | {"service": plain(resource["resource"])["service.name"], "attributes": plain(span)}
            for body in list(self.bodies)
            for resource in body.get("resourceSpans", [])
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def metrics(self, service: str) -> dict[str, dict[str, Any]]:
        """What came last of a service, each metric by its name."""
        found = [
            scope["metrics"]
            for body in list(self.bodies)
            for resource in body.get("resourceMetrics", [])
            for scope in resource["scopeMetrics"]
            if plain(resource["resource"])["service.name"] == service
        ]
        return {metric["name"]: metric for metric in found[-1]} if found else {}


def plain(holder: dict[str, Any]) -> dict[str, Any]:
    """OTLP's attributes as a dict."""
    return {one["key"]: next(iter(one["value"].values())) for one in holder["attributes"]}


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector on a free port of loopback."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.paths.append(self.path)
            if collector.status == 200:
                collector.bodies.append(json.loads(body))
            self.send_response(collector.status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
