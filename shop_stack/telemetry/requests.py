"""Requests to an HTTP server as spans, by OpenTelemetry's semantic conventions.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from collections.abc import Iterable, Mapping

from shop_stack.asgi import App, Noted, Receive, Scope, Send
from shop_stack.telemetry import tracing

_UNTOLD = ("/livez", "/readyz", "/metrics")
_TOLD = ("question_name", "service_name", "order_id", "action_id", "incident_id")


def end_request(
    span: tracing.Span, service: str, route: str, status: int, more: Mapping[str, str | int] | None = None
) -> None:
    """End a server's span that was begun under the request's method; its name holds the route, never the path."""
    span.service = service
    told: dict[str, str | int] = {
        "http.request.method": span.name,
        "http.route": route,
        "http.response.status_code": status,
    }
    span.attributes = {**told, **(more or {})}
    span.name = f"{span.name} {route}".rstrip()
    tracing.end(span, failed=status >= 500)


class Traced:
    """An ASGI application whose requests are spans of one service, under the trace of who asks.

    While one is answered `tracing.here` names its span. Questions about health and metrics make none.
    """

    def __init__(self, app: App, service: str) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = self._begin(scope)
        if span is None:
            await self._app(scope, receive, send)
            return
        noted = Noted(send)
        token = tracing.here.set(span.traceparent)
        try:
            await self._app(scope, receive, noted)
        finally:
            tracing.here.reset(token)
            end_request(span, self._service, scope.get("path_template", ""), noted.status, _about(scope, noted.status))

    def _begin(self, scope: Scope) -> tracing.Span | None:
        if scope["type"] != "http" or scope["path"] in _UNTOLD or not tracing.listened_to():
            return None
        return tracing.begin(self._service, scope["method"], "server", _traceparent(scope["headers"]))


def _traceparent(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), None)


def _about(scope: Scope, status: int) -> dict[str, str]:
    """What was asked about, where there is such a thing: a person's id is never told."""
    given = scope.get("path_params", {}) if status < 400 else {}
    return {f"shop.{name.removesuffix('_name')}": str(given[name]) for name in _TOLD if name in given}
