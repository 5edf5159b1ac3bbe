"""Runs one replica of a process group: from the fork to a clean leave."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import uvicorn
import uvloop
from litestar.concurrency import set_asyncio_executor

from shop_stack import access
from shop_stack.eventlog.opening import open_log
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.context import utc_now
from shop_stack.hosting.group import Group
from shop_stack.hosting.http import asgi
from shop_stack.hosting.service import Mesh, Service
from shop_stack.hosting.topology import read_topology
from shop_stack.logs import write_json_lines
from shop_stack.mesh.calls import HttpMesh
from shop_stack.mesh.direct import run
from shop_stack.runtime import lifeline
from shop_stack.settings import LOOPBACK, SQLITE, Home, Place, Settings
from shop_stack.stack import Stack, read_stack
from shop_stack.telemetry.metrics import exporting_metrics
from shop_stack.telemetry.tracing import exporting_spans

KEEP_ALIVE_S = 75
_DRAIN_S = 0.1
_FINISH_S = 10
_LOOK_S = 1.0
_POOL_ENDS_S = 2.0
log = logging.getLogger(__name__)


class Channel(Protocol):
    """Who hears what a replica says of itself."""

    def send(self, message: tuple[str, Any], /) -> None: ...


def preload(settings: Settings) -> None:
    """In the fork server: import what every replica needs and exercise it once, so that replicas share the memory.

    Raises AssertionError when a thread is left over; those of a service's own pools end with the exercised services.
    """
    exercise(settings)
    gc.collect()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(_POOL_ENDS_S)
    assert threading.active_count() == 1, f"preloading started threads: {threading.enumerate()}"


def run_group(settings: Settings, group: str, replica: str, channel: Connection, mesh: Mesh | None = None) -> None:
    """Run a replica until SIGTERM or until the channel closes.

    Says ("port", n) once bound, ("ready", bool) whenever that changes. `mesh` overrides the way to other groups.
    """
    write_json_lines(replica)
    lifeline.follow(channel.fileno())
    listener = bind()
    channel.send(("port", listener.getsockname()[1]))
    stack = read_stack(settings.stack_file)
    cards = [card_of(name) for name in read_topology(settings.topology, stack).groups[group]]
    serve(cards, settings, stack, replica, channel, listener, mesh)


def serve(
    cards: Sequence[Service],
    settings: Settings,
    stack: Stack,
    replica: str,
    channel: Channel,
    listener: socket.socket,
    mesh: Mesh | None = None,
) -> None:
    """Run these services on a bound socket until SIGTERM; see run_group."""
    at_work = Group(cards, settings, stack, mesh if mesh is not None else through_gateway(settings))
    set_asyncio_executor(at_work.pool)
    parts = ",".join(at_work.contexts)
    with (
        exporting_spans(replica),
        exporting_metrics(parts, replica, at_work.metrics_text),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_live(at_work, settings, replica, channel, listener))


def through_gateway(settings: Settings) -> HttpMesh:
    """The way to the services of other groups: Envoy's mesh listener."""
    gateway = settings.place("mesh") if "mesh" in settings.ports else (LOOPBACK, 0)
    return HttpMesh(lambda service: gateway)


def bind(place: Place = (LOOPBACK, 0)) -> socket.socket:
    """A listening socket, on a free port of loopback unless told otherwise."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(place)
    return listener


class Server(uvicorn.Server):
    """Uvicorn, but it leaves signals to the host and does not wake ten times a second to look whether to leave."""

    def __init__(self, group: Group) -> None:
        config = uvicorn.Config(group.app, http="httptools", ws="none", lifespan="off", interface="asgi3",
                                log_config=None, access_log=False, server_header=False, date_header=False,
                                proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_S,
                                timeout_graceful_shutdown=_FINISH_S)  # fmt: skip
        super().__init__(config)
        self.leave = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The host has its own handlers."""
        yield

    async def main_loop(self) -> None:
        """Serve until told to leave."""
        await self.on_tick(0)
        await self.leave.wait()


async def _live(group: Group, settings: Settings, replica: str, channel: Channel, listener: socket.socket) -> None:
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leaving.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    server = Server(group)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        event_log = await asyncio.to_thread(open_log, settings)
        group.start(event_log, replica)
        on_loop = settings.stores_url == SQLITE
        telling = asyncio.create_task(_tell_readiness(group, channel, on_loop))
        await asyncio.wait([asyncio.create_task(leaving.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        group.leaving = True
        _say(channel, False)
        await asyncio.sleep(_DRAIN_S)
    finally:
        server.leave.set()
        await serving
    await asyncio.to_thread(group.stop)
    event_log.close()


async def _tell_readiness(group: Group, channel: Channel, on_loop: bool) -> None:
    """`on_loop`: the stores are files; a server may hang, and must not keep the loop from answering."""
    said = False
    while True:
        ready = not (group.troubles() if on_loop else await asyncio.to_thread(group.troubles))
        if ready != said:
            said = ready
            _say(channel, ready)
        await asyncio.sleep(_LOOK_S if said else 0.02)


def _say(channel: Channel, ready: bool) -> None:
    with contextlib.suppress(OSError):
        channel.send(("ready", ready))


def exercise(settings: Settings) -> None:
    """Build all services on a home folder that is thrown away and ask each for something; starts no thread."""
    stack = read_stack(settings.stack_file)
    with tempfile.TemporaryDirectory(prefix="shopfloor-") as folder:
        elsewhere = replace(settings, home=Home(Path(folder)), stores_url=SQLITE)
        access.prepare_keys(elsewhere.home, utc_now())
        cards = [card_of(spec.name) for spec in stack.services]
        group = Group(cards, elsewhere, stack, through_gateway(elsewhere))
        try:
            _ask_everything(group)
        finally:
            group.stop()


def _ask_everything(group: Group) -> None:
    app = group.direct_app()
    asked = [route for route in app.routes if not route.path_format.startswith("/schema")]  # its YAML costs 0.4 s
    for route in asked:
        for method in sorted(getattr(route, "methods", ())):
            path = "/".join("x" if part.startswith("{") else part for part in route.path_format.split("/"))
            with contextlib.suppress(Exception):
                run(asgi(app), method, path, {"x-subject": "x", "idempotency-key": "x"}, b"{}")
