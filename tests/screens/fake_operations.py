"""A small real HTTP server in the shapes of the operations and questions APIs, with scripted states.

The console's tests run against it over real sockets; `python -m tests.screens.fake_operations HOME` serves it.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from shop_stack.events import Effect
from shop_stack.operations.model import (
    ActionView,
    DeadLetterView,
    Expectation,
    IncidentView,
    LogLines,
    PartView,
    Problem,
    ReplicaView,
    ServiceView,
    StackView,
    TailEvent,
)
from shop_stack.settings import Endpoints
from shop_stack.stack import read_stack
from tests.screens import fake_dead_letters, fake_questions
from tests.screens.fake_audits import ORDER, Audits
from tests.screens.fake_group_lag import group_lag
from tests.screens.fake_journeys import EXPLOIT, journey


def replica(name: str, state: str = "ready") -> ReplicaView:
    """One replica."""
    return ReplicaView(
        name=name, pid=4242, address="http://127.0.0.1:4242", state=state, age_s=95.0, restarts=0, cpu_cores=0.04,
        memory_bytes=41 << 20,
    )  # fmt: skip


def service(name: str, purpose: str = "what it is for", **changes: Any) -> ServiceView:
    """A service in good health, with changes."""
    view = ServiceView(
        name=name, group=name, moves_with=[], purpose=purpose, health="ok", because="", replicas=[replica(f"{name}-1")],
        ready=1, desired=1, recommended=1, recommended_because="31% used at the peak", min_replicas=1, max_replicas=8,
        request_rate=12.4, error_rate=0.0, p50_ms=8.0, p95_ms=21.0, p99_ms=40.0, objective_p95_ms=250.0,
        objective_error_rate=0.01, lag=0, utilisation=0.2, replica_capacity=60.0,
        recent_rates=[10 + (i * 7) % 5 for i in range(60)], forecast_peak=18.0,
        forecast_peak_at=datetime(2026, 11, 22, 20, 40, tzinfo=UTC), outbox_age_s=0.0, stopped_aggregates=[],
    )  # fmt: skip
    return msgspec.structs.replace(view, **changes)


def slow(view: ServiceView) -> ServiceView:
    """The same service, slow and full."""
    return msgspec.structs.replace(
        view, health="degraded", because="p95 912 ms is over its objective of 250 ms", p95_ms=912.0, p99_ms=1800.0,
        request_rate=55.2, utilisation=0.92, lag=1312, recommended=3,
        recommended_because="92% used, peak of the hour 61/s",
        recent_rates=[float(i) for i in range(60)], forecast_peak=61.0,
    )  # fmt: skip


def part(name: str, up: bool = True, because: str = "") -> PartView:
    """A part that is no service."""
    return PartView(name=name, up=up, because=because, cpu_cores=0.01, memory_bytes=60 << 20)


def tail_event(position: int, type: str = "shop.order.placed.v1", **changes: Any) -> TailEvent:
    """An event of the tail."""
    event = TailEvent(
        topic="shop.orders", partition=0, position=position, at=datetime.now(UTC), type=type, source="/orders",
        subject=f"0190-order-{position:04}", event_id=f"event-{position}", correlation=f"0190-order-{position:04}",
        summary="total_minor=4599 lines=2",
    )  # fmt: skip
    return msgspec.structs.replace(event, **changes)


@dataclass
class State:
    """What the server answers; tests change it between questions."""

    services: list[ServiceView] = field(
        default_factory=lambda: [service(s.name, s.purpose) for s in read_stack().services]
    )
    parts: list[PartView] = field(
        default_factory=lambda: [
            part(n) for n in ("gateway", "log", "analytics", "operations", "provider", "dashboard")
        ]
    )
    role: str = "operator"
    sample_age_s: float = 0.3
    zone: str = "Europe/London"
    silent: bool = False
    analytics_silent: bool = False
    actions: list[ActionView] = field(default_factory=list)
    incidents: list[IncidentView] = field(default_factory=list)
    events: list[TailEvent] = field(default_factory=list)
    letters: list[DeadLetterView] = field(default_factory=list)
    cured: bool = True
    audits: Audits = field(default_factory=Audits)
    logs: list[str] = field(default_factory=lambda: [f"orders-1 line {i}" for i in range(40)])
    refuse: str = ""
    rests_s: float = 0.0
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    questions: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    journeys: list[tuple[str, str]] = field(default_factory=list)
    measure_s: float = 60.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def view(self) -> StackView:
        """The stack now."""
        now = datetime.now(UTC)
        return StackView(
            name="The bundled shop", topology="microservices", log="embedded:", currency="GBP", at=now,
            sampled_at=now - timedelta(seconds=self.sample_age_s), services=self.services, parts=self.parts,
            actor=self.role, role=self.role, time_zone=self.zone,
        )  # fmt: skip

    def change(self, name: str, how: Callable[[ServiceView], ServiceView]) -> None:
        """Change one service."""
        self.services = [how(view) if view.name == name else view for view in self.services]


def expectation(view: ServiceView, replicas: int, rests_s: float = 0.0) -> Expectation:
    """What scaling promises: utilisation over the replicas."""
    then = view.utilisation * view.desired / max(replicas, 1)
    return Expectation(
        service=view.name, group=view.group, moves_with=view.moves_with, replicas_now=view.desired,
        replicas_then=replicas, utilisation_now=view.utilisation, utilisation_then=then, p95_now_ms=view.p95_ms,
        p95_then_ms=120.0, refused=_refused(view, replicas, rests_s), rests_s=rests_s,
        words=f"{view.desired} → {replicas} replicas: each takes {then:.0%} of what it can, "
        "so p95 should fall to about 120 ms",
    )  # fmt: skip


def _refused(view: ServiceView, replicas: int, rests_s: float) -> str | None:
    if replicas > 8:
        return "at most 8 replicas"
    rests = f"{view.name} was scaled just now; wait {rests_s:.0f} s more and see what it did, or force it"
    return rests if rests_s else None


def effect(p95: float, utilisation: float) -> Effect:
    """A minute of a service."""
    return Effect(seconds=60, request_rate=54.0, error_rate=0.0, p95_ms=p95, lag=3.0, utilisation=utilisation)


def scaled(state: State, name: str, body: dict[str, Any]) -> ActionView:
    """A scaling that was just asked for."""
    view = next(s for s in state.services if s.name == name)
    return ActionView(
        action_id=f"action-{len(state.actions) + 1}", kind="scale", service=name, group=name, actor="operator",
        reason=body["reason"], state="requested", requested_at=datetime.now(UTC), applied_at=None, error=None,
        replicas=body["replicas"], previous=view.desired, expected=expectation(view, body["replicas"]), before=None,
        after=None, verdict=None, because=None, measure_until=None,
    )  # fmt: skip


def advance(state: State) -> None:
    """Let each action go its way: applied after a second, judged when its measuring time is over."""
    now = datetime.now(UTC)
    for i, action in enumerate(state.actions):
        if action.state == "requested" and (now - action.requested_at).total_seconds() > 1.0:
            until = now + timedelta(seconds=state.measure_s)
            state.actions[i] = msgspec.structs.replace(action, state="applied", applied_at=now, measure_until=until)
            if action.replicas is not None:
                _apply(state, action.service, action.replicas)
        elif action.state == "applied" and action.measure_until is not None and now > action.measure_until:
            state.actions[i] = msgspec.structs.replace(
                action, state="measured", before=effect(912, 0.92), after=effect(110, 0.31), verdict="helped",
                because="p95 fell from 912 ms to 110 ms, as promised (120 ms), with no error",
            )  # fmt: skip


def _apply(state: State, name: str, replicas: int) -> None:
    state.change(
        name,
        lambda view: msgspec.structs.replace(
            view, desired=replicas, ready=replicas, recommended=replicas, health="ok", because="", p95_ms=110.0,
            lag=0, utilisation=view.utilisation * view.desired / max(replicas, 1),
            replicas=[replica(f"{name}-{i + 1}") for i in range(replicas)],
        ),
    )  # fmt: skip


class FakeOperations:
    """The server; `state` is what it answers. Use as a context manager with a home folder."""

    def __init__(self, home: Path, state: State | None = None) -> None:
        self.state = state or State()
        self.home = home
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.state))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeOperations":
        url = self.url
        places = Endpoints(gateway=url, trial=url, mesh=url, operations=url, analytics=url, provider=url)
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "endpoints.json").write_bytes(msgspec.json.encode(places))
        for role in ("operator", "viewer"):
            (self.home / f"{role}.token").write_text(f"token-of-{role}")
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.state.silent = True
        self._server.shutdown()
        self._server.server_close()


def _handler(state: State) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(split.query).items()}
            if split.path == "/ops/v1/events":
                return self._stream()
            if split.path == "/ops/v1/audit":
                return self._answer(*state.audits.answer(strict=query.get("strict") == "true"))
            with state.lock:
                self._answer(*_get(state, split.path, query))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            with state.lock:
                split = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(split.query).items()}
                self._answer(*_post(state, split.path, query, body))

        def _answer(self, status: int, answer: Any) -> None:
            payload = msgspec.json.encode(answer)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            sent = 0
            try:
                while not state.silent:
                    fresh = state.events[sent:]
                    sent += len(fresh)
                    self.wfile.write(
                        b"".join(b"data: " + msgspec.json.encode(e) + b"\n\n" for e in fresh) or b": beat\n\n"
                    )
                    self.wfile.flush()
                    time.sleep(0.1)
            except OSError:
                pass
            self.close_connection = True

    return Handler


def _problem(status: int, detail: str) -> tuple[int, Problem]:
    return status, Problem(title="no", status=status, detail=detail)


def _get(state: State, path: str, query: dict[str, str]) -> tuple[int, Any]:
    if path.startswith("/analytics/"):
        if state.analytics_silent:
            return _problem(503, "analytics does not answer")
        name = path.rsplit("/", 1)[-1]
        state.questions.append((name, query))
        return 200, {"question": name, "parameters": {}, "columns": [], "rows": fake_questions.rows(name, query),
                     "sql": "select 1", "watermark": {"at": None, "positions": {}}, "origin_note": "",
                     "next": None}  # fmt: skip
    if state.silent:
        return _problem(503, "operations is being restarted")
    advance(state)
    parts = path.split("/")
    if path == "/ops/v1/services":
        return 200, state.view()
    if path == "/ops/v1/actions":
        return 200, list(reversed(state.actions))
    if path == "/ops/v1/incidents":
        return 200, state.incidents
    if parts[3] == "dead-letters":
        return 200, state.letters
    if parts[3] == "actions":
        return 200, next(action for action in state.actions if action.action_id == parts[4])
    if parts[3] == "orders":
        state.journeys.append((parts[4], query.get("at", "")))
        known = "order" in parts[4] or parts[4] == ORDER
        return (200, journey(parts[4])) if known else _problem(404, f"no order is called {parts[4]}")
    view = next((s for s in state.services if s.name == parts[4]), None)
    if view is None:
        return _problem(404, f"no service is called {parts[4]}")
    if parts[5] == "expectation":
        return 200, expectation(view, int(query["replicas"]), state.rests_s)
    return 200, LogLines([f"{view.name}: {line}" for line in state.logs])


def _acknowledge(state: State, name: str, query: dict[str, str]) -> tuple[int, Any]:
    found = next(incident for incident in state.incidents if incident.incident_id == name)
    if found.acknowledged_by not in (None, state.role) and query.get("take_over") != "true":
        return _problem(409, f"{found.acknowledged_by} looks after it")
    owned = msgspec.structs.replace(found, acknowledged_by=state.role)
    state.incidents = [owned if incident is found else incident for incident in state.incidents]
    return 200, owned


def _post(state: State, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    if state.silent:
        return _problem(503, "operations is being restarted")
    if state.role == "viewer":
        return _problem(403, "the role viewer may not do this")
    if state.refuse:
        return _problem(409, state.refuse)
    if path == "/ops/v1/dead-letters/replay":
        return fake_dead_letters.replay(state, body)
    name, what = path.split("/")[4:6]
    state.asked.append((what, name, body))
    if what == "acknowledge":
        return _acknowledge(state, name, query)
    action = scaled(state, name, {"replicas": None, **body})
    if what == "restart":
        action = msgspec.structs.replace(action, kind="restart", expected=None, replicas=None)
    state.actions.append(action)
    return 202, {"action_id": action.action_id}


def _live(state: State) -> None:
    types = ("shop.order.placed.v1", "shop.behaviour.product-viewed.v1", "shop.payments.payment-declined.v1",
             "shop.inventory.stock-reserved.v1", "shop.models.forecast-made.v1")  # fmt: skip
    for i in range(10**9):
        time.sleep(0.05)
        state.events.append(
            tail_event(i, types[i % len(types)], summary=EXPLOIT if i % 7 == 0 else "total_minor=4599 lines=2")
        )


if __name__ == "__main__":
    demo = State()
    demo.change("payments", slow)
    waits = group_lag("payments", {("shop.orders", 3): 1207, ("shop.orders", 1): 105}, hot="shop.orders/3")
    demo.change("payments", lambda view: msgspec.structs.replace(view, behind=waits))
    with FakeOperations(Path(sys.argv[1]), demo) as fake:
        print(fake.url, flush=True)
        _live(demo)
