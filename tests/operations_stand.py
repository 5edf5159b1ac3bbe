"""A stand for operations: the real API, store and embedded log over a runtime that is kept in memory."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import uvicorn

from shop_stack.access import Signer, Verifier, prepare_keys, read_token
from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.operations.api import make_app
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.engine import Engine, build
from shop_stack.runtime.interface import Group, Observation, Part, Replica
from shop_stack.settings import Home, Settings, TopologyName
from shop_stack.telemetry.requests import Traced


class MemoryRuntime:
    """Groups and replicas as plain values. `gate` holds actions back while it is cleared; `silent` refuses answers."""

    def __init__(self, topology: dict[str, list[str]]) -> None:
        self._lock = threading.Lock()
        self._pids = iter(range(100_000, 200_000))
        self.port = 9  # where new replicas answer; nobody is there
        self.groups = {
            name: Group(name=name, services=services, desired=1, replicas=[self._replica(f"{name}-1")])
            for name, services in topology.items()
        }
        self.gate = threading.Event()
        self.gate.set()
        self.silent = False
        self.fails_with: str | None = None
        self.calls: list[tuple[object, ...]] = []

    def _replica(self, name: str, restarts: int = 0) -> Replica:
        return Replica(
            name=name,
            pid=next(self._pids),
            port=self.port,
            state="ready",
            started_at=time.time(),
            restarts=restarts,
            cpu_s=1.0,
            memory_bytes=20_000_000,
        )

    def observe(self) -> Observation:
        if self.silent:
            raise NotRunning("no supervisor answers")
        with self._lock:
            part = Part(name="analytics", pid=7, state="crashed", restarts=1, cpu_s=1.0, memory_bytes=1, note="killed")
            return Observation(at=time.time(), ready=True, groups=list(self.groups.values()), parts=[part])

    def scale(self, group: str, replicas: int) -> None:
        self.calls.append(("scale", group, replicas))
        self._hold()
        with self._lock:
            made = [self._replica(f"{group}-{number + 1}") for number in range(replicas)]
            self.groups[group] = msgspec.structs.replace(self.groups[group], desired=replicas, replicas=made)

    def restart(self, group: str, replica: str | None = None) -> None:
        self.calls.append(("restart", group, replica))
        self._hold()
        with self._lock:
            made = [self._replica(r.name) if replica in (None, r.name) else r for r in self.groups[group].replicas]
            self.groups[group] = msgspec.structs.replace(self.groups[group], replicas=made)

    def logs(self, group: str, replica: str | None = None, lines: int = 200) -> list[str]:
        return [f"{group}-1 | [@click=app.quit]line {n}[/]" for n in range(lines)]

    def crash(self, group: str, times: int) -> None:
        """Count restarts of the group's first replica."""
        with self._lock:
            first, *rest = self.groups[group].replicas
            first = msgspec.structs.replace(first, restarts=first.restarts + times)
            self.groups[group] = msgspec.structs.replace(self.groups[group], replicas=[first, *rest])

    def _hold(self) -> None:
        self.gate.wait(10)
        if self.fails_with:
            raise ActionRefused(self.fails_with)


class Stand:
    """One engine and, when served, its HTTP address."""

    def __init__(self, home: Home, topology: TopologyName = "microservices", log_url: str = "embedded:") -> None:
        self.settings = Settings(home=home, topology=topology, log_url=log_url)
        from shop_stack.hosting.topology import read_topology
        from shop_stack.stack import read_stack

        groups = read_topology(topology, read_stack()).groups
        self.runtime = MemoryRuntime({name: list(services) for name, services in groups.items()})
        prepare_keys(home, datetime.now(UTC))
        self.engine: Engine = build(self.settings, self.runtime)
        self.address = ""

    def token(self, role: str) -> str:
        return read_token(self.settings.home, role)

    def shopper_token(self) -> str:
        signer = Signer(self.settings.home, "shoppers")
        return signer.issue("somebody", "customer", datetime.now(UTC), timedelta(hours=1))

    def client(self, role: str = "operator") -> OperationsClient:
        return OperationsClient(self.address, self.token(role))

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Start the engine and answer on a free port while the block lasts."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = Traced(make_app(self.engine, Verifier(self.settings.home, "operators")), "operations")
        config = uvicorn.Config(app, ws="none", log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        self.engine.start()
        thread.start()
        try:
            until(lambda: server.started)
            yield
        finally:
            server.should_exit = True
            thread.join(10)
            self.engine.stop()


def make_home(folder: Path) -> Home:
    """A home folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Home(folder)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the condition holds; fails after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)
