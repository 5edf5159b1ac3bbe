"""A shop for the tests: groups of services over the embedded log, joined straight to each other, without Envoy.

In this process (`running_shop`), each group behind its own HTTP server on a thread, as in a replica; or as real
processes (`replica_process`), for tests that kill. The provider's stand-in comes along when payments is among them.
"""

import asyncio
import contextlib
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import uvloop
from litestar.concurrency import set_asyncio_executor

from shop_stack import access
from shop_stack.envelope import Envelope, decode
from shop_stack.eventlog.interface import EventLog
from shop_stack.eventlog.opening import open_log
from shop_stack.events import Event
from shop_stack.hosting import host
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.group import Group
from shop_stack.hosting.service import Service
from shop_stack.hosting.topology import read_topology
from shop_stack.mesh.calls import HttpMesh
from shop_stack.settings import Home, Settings, TopologyName
from shop_stack.stack import Stack, read_stack
from tests.postgres_server import PostgresServer

SPAWN = multiprocessing.get_context("spawn")
PATIENCE_S = 20.0


def wait_until(holds: Callable[[], Any], what: str = "the condition", patience_s: float = PATIENCE_S) -> Any:
    """Wait until `holds()` is true and give its value; fail with `what` when it never is."""
    until = time.monotonic() + patience_s
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < until, f"{what} did not come true within {patience_s:g} s"
        time.sleep(0.01)


class ServedGroup:
    """A group behind a real HTTP server on a thread of this process."""

    def __init__(self, group: Group, pool: ThreadPoolExecutor) -> None:
        self.group = group
        self._pool = pool
        self.listener = host.bind()
        self.port: int = self.listener.getsockname()[1]
        self._server: host.Server | None = None
        self._loop = uvloop.new_event_loop()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()
        assert self._serving.wait(PATIENCE_S)

    def _run(self) -> None:
        set_asyncio_executor(self._pool)  # one for the process: wide enough for groups that wait for each other
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._server = host.Server(self.group)
        task = asyncio.create_task(self._server.serve(sockets=[self.listener]))
        self._serving.set()
        await task

    def stop(self) -> None:
        """Stop serving, then all that runs beside the requests."""
        server = self._server
        assert server is not None
        self._loop.call_soon_threadsafe(server.leave.set)
        self._thread.join(PATIENCE_S)
        self.group.stop()


@dataclass
class Shop:
    """A running shop; `groups` by service name."""

    settings: Settings
    stack: Stack
    log: EventLog
    groups: dict[str, ServedGroup] = field(default_factory=dict)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=PATIENCE_S))

    def request(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        subject: str | None = None,
        role: str | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """A request straight to a service, with the headers that the gateway would set."""
        headers = {"x-subject": subject, "x-role": role, "idempotency-key": key}
        return self.client.request(
            method,
            f"http://127.0.0.1:{self.groups[service].port}{path}",
            content=json.dumps(body).encode() if body is not None else None,
            headers={"content-type": "application/json"} | {k: v for k, v in headers.items() if v is not None},
        )

    def get(self, service: str, path: str, **who: Any) -> httpx.Response:
        """GET; see request."""
        return self.request(service, "GET", path, **who)

    def post(self, service: str, path: str, body: Any, **who: Any) -> httpx.Response:
        """POST; see request."""
        return self.request(service, "POST", path, body, **who)

    def events(self, topic: str) -> list[Envelope[Event]]:
        """Everything on a topic, first occurrences of each event only, in order within each partition."""
        found: dict[str, Envelope[Event]] = {}
        for record in records(self.log, topic):
            envelope = decode(record.value)
            found.setdefault(envelope.id, envelope)
        return list(found.values())

    def context(self, service: str) -> Any:
        """A service's context, to look into its store or to act as its handlers do."""
        return self.groups[service].group.contexts[service]


def records(log: EventLog, topic: str) -> list[Any]:
    """All records of a topic."""
    found = []
    for partition, (start, end) in enumerate(zip(log.starts(topic), log.ends(topic), strict=True)):
        position = start
        while position < end and (some := log.read(topic, partition, position)):
            found += some
            position = some[-1].position + 1
    return found


@contextmanager
def running_shop(
    folder: Path,
    services: Sequence[str] | None = None,
    *,
    topology: TopologyName = "microservices",
    cards: Mapping[str, Sequence[Service]] | None = None,
    stack: Stack | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ports: Mapping[str, int] | None = None,
    delivery_seconds: float = 0.2,
    postgres: PostgresServer | None = None,
) -> Iterator[Shop]:
    """These services (default: all) in this process under a topology, over a home folder; ready when it yields.

    `cards` names groups of cards instead of services, for toys. Payments gets a provider of its own unless `ports`
    names one. With `postgres`, the stores lie on that server.
    """
    the_stack = stack if stack is not None else read_stack()
    groups = cards if cards is not None else _groups(the_stack, topology, services)
    settings = Settings(
        home=Home(folder), topology=topology, delivery_seconds=delivery_seconds, ports=dict(ports or {})
    )
    if postgres is not None:
        stores = postgres.settings(folder, [card.name for group in groups.values() for card in group])
        settings = replace(settings, stores_url=stores.stores_url, store_secrets=stores.store_secrets)
    access.prepare_keys(settings.home, datetime.now(UTC))
    with contextlib.ExitStack() as leaving:
        if any(card.name == "payments" for group in groups.values() for card in group):
            settings = leaving.enter_context(_provider(settings))
        log = leaving.enter_context(contextlib.closing(open_log(settings)))
        shop = Shop(settings, the_stack, log)
        leaving.callback(shop.client.close)
        pool = leaving.enter_context(ThreadPoolExecutor(64, thread_name_prefix="worker"))
        leaving.callback(set_asyncio_executor, None)  # what runs later in this process has pools of its own
        mesh = HttpMesh(lambda service: ("127.0.0.1", shop.groups[service].port))
        for group_name, group_cards in groups.items():
            served = ServedGroup(Group(group_cards, settings, the_stack, mesh, clock), pool)
            leaving.callback(served.stop)
            shop.groups.update({card.name: served for card in group_cards})
            served.group.start(log, f"{group_name}-1")
        for served in shop.groups.values():
            wait_until(lambda served=served: not served.group.troubles(), "readiness of every group")
        yield shop


def _groups(stack: Stack, topology: str, services: Sequence[str] | None) -> dict[str, list[Service]]:
    wanted = services if services is not None else [spec.name for spec in stack.services]
    placed = read_topology(topology, stack).groups
    groups = {group: [card_of(name) for name in names if name in wanted] for group, names in placed.items()}
    return {group: found for group, found in groups.items() if found}


@contextmanager
def _provider(settings: Settings) -> Iterator[Settings]:
    """The payment provider's stand-in as a process of its own, on a free port."""
    if "provider" in settings.ports or find_spec("shop_stack.provider") is None:
        yield settings
        return
    with contextlib.closing(host.bind()) as free:
        port = free.getsockname()[1]
    told = replace(settings, ports={**settings.ports, "provider": port})
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=run_provider, args=(told, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_S), "the provider did not become ready"
        assert ours.recv() == ("ready", True)
        yield told
    finally:
        ours.close()
        process.terminate()
        process.join(PATIENCE_S)


def run_provider(settings: Settings, channel: Connection) -> None:
    """The provider's process."""
    from shop_stack.provider.app import run_provider as run

    run(settings, channel)


@dataclass
class ReplicaProcess:
    """A replica as a real process, with a client of its HTTP."""

    process: BaseProcess
    channel: Connection
    client: httpx.Client

    def wait_ready(self) -> None:
        """Wait until it says that it is ready."""
        assert self.channel.poll(PATIENCE_S), "the replica did not become ready"
        assert self.channel.recv() == ("ready", True)


@contextmanager
def replica_process(target: Callable[..., None], *arguments: Any) -> Iterator[ReplicaProcess]:
    """Start `target(*arguments, channel)` as a process, such as host.run_group; killed at the end if it still runs."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_S), "the replica did not bind a port"
        kind, port = ours.recv()
        assert kind == "port"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            yield ReplicaProcess(process, ours, client)
    finally:
        ours.close()
        process.kill()
        process.join(PATIENCE_S)
