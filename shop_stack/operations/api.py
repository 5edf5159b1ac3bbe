"""The operations API: who may see and do what, over HTTP, and the process that serves it."""

import signal
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Annotated, Any

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream

from shop_stack.access import Principal, Verifier
from shop_stack.asgi import App
from shop_stack.described import DescribedJson
from shop_stack.errors import (
    AccessDenied,
    ActionRefused,
    EventLogError,
    NotRunning,
    SettingError,
    ShopfloorError,
)
from shop_stack.exposition import CONTENT_TYPE
from shop_stack.leads import Lead, leads_to
from shop_stack.listening import listen_on
from shop_stack.logs import write_json_lines
from shop_stack.operations.audit import Report
from shop_stack.operations.auditing import Auditing
from shop_stack.operations.engine import Engine, build
from shop_stack.operations.metrics import metrics_text
from shop_stack.operations.model import (
    Accepted,
    ActionView,
    DeadLetterView,
    Expectation,
    GroupLag,
    IncidentView,
    Journey,
    LogLines,
    ObjectiveView,
    Problem,
    ReplayPreview,
    ReplayRequest,
    RestartRequest,
    ScaleRequest,
    StackView,
    WhoAmI,
)
from shop_stack.operations.people_api import people_routes
from shop_stack.operations.tail import BACKLOG, Filter, server_sent
from shop_stack.runtime import lifeline
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.settings import Settings
from shop_stack.strictness import StrictRequest
from shop_stack.telemetry.metrics import exporting_metrics
from shop_stack.telemetry.requests import Traced
from shop_stack.telemetry.tracing import exporting_spans

Asked = Request[Any, Any, Any]
Name = FromPath[str]
Text = FromQuery[str]
Lines = Annotated[int, QueryParameter(ge=1, le=5000)]
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=200)]
_STATUS: dict[type[ShopfloorError], tuple[int, str]] = {
    AccessDenied: (401, "no access"),
    SettingError: (404, "not found"),
    ActionRefused: (409, "refused"),
    NotRunning: (503, "the supervisor does not answer"),
    EventLogError: (503, "the event log does not answer"),
}

_FROM_AN_ACTION = leads_to(Lead("get", "/ops/v1/actions/{action_id}", {"path.action_id": "$response.body#/action_id"}))
_FROM_DEAD_LETTERS = leads_to(
    Lead(
        "post",
        "/ops/v1/dead-letters/replay",
        body={"service": "$response.body#/0/service", "event_id": "$response.body#/0/event_id"},
    )
)


class NotAllowed(AccessDenied):
    """The token is good and its role may not do this (403)."""


def may(least: str, verifier: Verifier) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]:
    """A guard: a token of the operators' issuer whose role is at least `least`."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        principal = verifier.principal(connection.headers.get("authorization"))
        if not principal.may(least):
            raise NotAllowed(f"the role {principal.role or 'of this token'} may not do this; it needs {least}")
        connection.state.principal = principal

    return guard


def _who(request: Asked) -> Principal:
    principal: Principal = request.state.principal
    return principal


def _utc(at: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return at.replace(tzinfo=UTC) if at and not at.tzinfo else at


def _now() -> datetime:
    return datetime.now(UTC)


def make_app(engine: Engine, verifier: Verifier, on_ready: Callable[[], None] = lambda: None) -> Litestar:
    """The application over an engine that its owner starts and stops."""
    see, act = [may("viewer", verifier)], [may("operator", verifier)]
    return Litestar(
        route_handlers=[
            *_health(),
            _metrics_route(engine),
            *_state_routes(engine, see),
            *_record_routes(engine, see, act),
            *_action_routes(engine, act),
            *_dead_letter_routes(engine, see, act),
            _audit_route(Auditing(engine.settings), see),
            *people_routes(engine.people, [may("manager", verifier)], [may("admin", verifier)]),
            _events_route(engine, see),
        ],
        request_class=StrictRequest,
        exception_handlers={ShopfloorError: _refuse, HTTPException: _refuse_request},
        openapi_config=OpenAPIConfig(
            title="Shopfloor operations",
            version="1",
            description="The live state of a stack, and what operators may do to it.",
            path="/ops/v1/schema",
            render_plugins=[DescribedJson(path="/openapi.json")],
        ),
        on_startup=[on_ready],
        logging_config=None,
        request_max_body_size=65536,
    )


def _health() -> list[HTTPRouteHandler]:
    @get("/livez", sync_to_thread=False, include_in_schema=False)
    def live() -> str:
        return "alive"

    @get("/readyz", sync_to_thread=False, include_in_schema=False)
    def ready() -> str:
        return "ready"

    return [live, ready]


def _metrics_of(engine: Engine) -> str:
    return metrics_text(engine.sampler.snapshot, engine.link.seen_lags(), len(engine.store.open_incidents()))


def _metrics_route(engine: Engine) -> HTTPRouteHandler:
    @get("/metrics", sync_to_thread=True, include_in_schema=False)
    def metrics() -> Response[bytes]:
        return Response(_metrics_of(engine).encode(), media_type=CONTENT_TYPE)

    return metrics


def _state_routes(engine: Engine, see: list[Any]) -> list[HTTPRouteHandler]:
    @get("/ops/v1/whoami", guards=see, sync_to_thread=False)
    def whoami(request: Asked) -> WhoAmI:
        """Whom the token speaks for."""
        principal = _who(request)
        return WhoAmI(principal.subject, principal.role)

    @get("/ops/v1/services", guards=see, sync_to_thread=False)
    def services(request: Asked) -> StackView:
        """The stack now."""
        return engine.views.stack_view(engine.sampler.snapshot, _who(request), _now())

    @get("/ops/v1/services/{service_name:str}/expectation", guards=see, sync_to_thread=True)
    def expectation(service_name: Name, replicas: FromQuery[int]) -> Expectation:
        """What scaling to `replicas` would do."""
        return engine.performer.expectation(service_name, replicas)

    @get("/ops/v1/services/{service_name:str}/logs", guards=see, sync_to_thread=True)
    def logs(service_name: Name, lines: Lines = 200, replica: FromQuery[str | None] = None) -> LogLines:
        """The last lines of a service's, group's or part's log."""
        return LogLines(engine.runtime.logs(engine.group_or_part(service_name), replica, lines))

    return [whoami, services, expectation, logs]


def _record_routes(engine: Engine, see: list[Any], act: list[Any]) -> list[HTTPRouteHandler]:
    @get("/ops/v1/actions", guards=see, sync_to_thread=True)
    def actions(limit: Limit = 50) -> list[ActionView]:
        """The last actions, newest first."""
        return engine.store.actions(limit)

    @get("/ops/v1/actions/{action_id:str}", guards=see, sync_to_thread=True)
    def action(action_id: Name) -> ActionView:
        """One action, from request to verdict."""
        return engine.action(action_id)

    @get("/ops/v1/orders/{order_id:str}", guards=see, sync_to_thread=True)
    def journey(order_id: Name, at: FromQuery[datetime | None] = None) -> Journey:
        """Everything that happened to an order, in the order of cause; with `at` only what has a time before it."""
        return engine.journey(order_id, _utc(at))

    @get("/ops/v1/consumer-groups", guards=see, sync_to_thread=True)
    def consumer_groups() -> list[GroupLag]:
        """How far each consumer group is behind: records, seconds, orders, money, its drain, and each partition."""
        return engine.consumer_groups()

    @get("/ops/v1/objectives", guards=see, sync_to_thread=True)
    def objectives() -> list[ObjectiveView]:
        """Every objective of stack.toml, what is left of its error budget, and how fast that burns."""
        return engine.burning.views(_now())

    @get("/ops/v1/incidents", guards=see, sync_to_thread=True)
    def incidents() -> list[IncidentView]:
        """Incidents, open ones first."""
        return engine.store.incidents()

    @post("/ops/v1/incidents/{incident_id:str}/acknowledge", guards=act, sync_to_thread=True, status_code=200)
    def acknowledge(request: Asked, incident_id: Name, take_over: FromQuery[bool] = False) -> IncidentView:
        """Say that somebody looks after it; `take_over` when another did until now."""
        return engine.incidents.acknowledge(incident_id, _who(request).subject, _now(), take_over=take_over)

    return [actions, action, journey, consumer_groups, objectives, incidents, acknowledge]


def _action_routes(engine: Engine, act: list[Any]) -> list[HTTPRouteHandler]:
    @post(
        "/ops/v1/services/{service_name:str}/scale",
        guards=act,
        sync_to_thread=True,
        status_code=202,
        opt=_FROM_AN_ACTION,
    )
    def scale(request: Asked, service_name: Name, data: JSONBody[ScaleRequest], key: Key = None) -> Accepted:
        """Want a number of replicas; the answer comes before the effect."""
        return Accepted(engine.performer.scale(service_name, data, _who(request), key))

    @post(
        "/ops/v1/services/{service_name:str}/restart",
        guards=act,
        sync_to_thread=True,
        status_code=202,
        opt=_FROM_AN_ACTION,
    )
    def restart(request: Asked, service_name: Name, data: JSONBody[RestartRequest], key: Key = None) -> Accepted:
        """Replace one replica, or each in turn; the answer comes before the effect."""
        return Accepted(engine.performer.restart(service_name, data, _who(request), key))

    return [scale, restart]


def _dead_letter_routes(engine: Engine, see: list[Any], act: list[Any]) -> list[HTTPRouteHandler]:
    @get("/ops/v1/dead-letters", guards=see, sync_to_thread=True, opt=_FROM_DEAD_LETTERS)
    def dead_letters(service: Text = "", limit: Limit = 200) -> list[DeadLetterView]:
        """Records that could not be handled and stop their aggregates, oldest first."""
        return engine.dead_letters.letters([service] if service else [])[:limit]

    @post("/ops/v1/dead-letters/replay", guards=act, sync_to_thread=True, status_code=200)
    def replay(request: Asked, data: JSONBody[ReplayRequest], key: Key = None) -> ReplayPreview:
        """What a replay would try; with `dry_run` false it is begun, and the answer comes before the effect."""
        if data.discard and not _who(request).may("admin"):
            raise NotAllowed(f"the role {_who(request).role} may not discard dead letters; it needs admin")
        preview = engine.dead_letters.preview(data)
        if data.dry_run:
            return preview
        return msgspec.structs.replace(preview, action_id=engine.performer.replay(data, _who(request), key))

    return [dead_letters, replay]


def _audit_route(auditing: Auditing, see: list[Any]) -> HTTPRouteHandler:
    @get("/ops/v1/audit", guards=see, sync_to_thread=True)
    def audit(strict: FromQuery[bool] = False) -> Report:
        """Hold the books against each other, now; `strict` counts what is in flight as violated."""
        return auditing.report(strict=strict)

    return audit


def _events_route(engine: Engine, see: list[Any]) -> HTTPRouteHandler:
    @get("/ops/v1/events", guards=see, media_type="text/event-stream")
    async def events(
        topic: Text = "",
        type_: Annotated[str, QueryParameter(name="type")] = "",
        contains: Text = "",
        backlog: FromQuery[int] = BACKLOG,
    ) -> Stream:
        """Events as they come, server-sent: TailEvent as data; `skipped` says what a slow listener missed."""
        return Stream(
            server_sent(engine.tail, Filter(topic, type_, contains), backlog),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return events


def _refuse(_request: Asked, error: ShopfloorError) -> Response[bytes]:
    if isinstance(error, NotAllowed):
        return _problem(403, "not allowed", str(error))
    status, title = next((known for kind, known in _STATUS.items() if isinstance(error, kind)), (500, "failed"))
    return _problem(status, title, str(error))


def _refuse_request(_request: Asked, error: HTTPException) -> Response[bytes]:
    extra = f": {error.extra}" if error.extra else ""
    return _problem(error.status_code, "the request is wrong", f"{error.detail}{extra}", error.headers)


def _problem(status: int, title: str, detail: str, more: Mapping[str, str] | None = None) -> Response[bytes]:
    body = msgspec.json.encode(Problem(title=title, status=status, detail=detail))
    headers = {**(more or {}), **({"WWW-Authenticate": "Bearer"} if status == 401 else {})}
    return Response(body, status_code=status, media_type="application/problem+json", headers=headers)


def run_operations(settings: Settings, channel: Connection) -> None:
    """Serve operations until SIGTERM or until the channel closes; says ("ready", True) on it once it answers.

    Raises SettingError when the port is taken.
    """
    write_json_lines("operations")
    lifeline.follow(channel.fileno())
    engine = build(settings, SupervisorRuntime(settings.home))
    listener = listen_on(settings.bind, settings.ports.get("operations", 0), "operations")
    engine.start()
    try:
        app = make_app(engine, Verifier(settings.home, "operators"), lambda: channel.send(("ready", True)))
        with exporting_spans("operations"), exporting_metrics("operations", "operations", lambda: _metrics_of(engine)):
            serve(Traced(app, "operations"), listener)
    finally:
        engine.stop()


def serve(app: App, listener: socket.socket) -> None:
    """Serve on a bound socket until SIGTERM; open streams are cut after a second."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    if threading.current_thread() is threading.main_thread():  # else the signal, raised again, would end it before stop
        signal.signal(signal.SIGTERM, server.handle_exit)
    server.run(sockets=[listener])
