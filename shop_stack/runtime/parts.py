"""The processes of a stack that are no service: one of each, started again when it dies."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from shop_stack.errors import NotRunning
from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.mesh.envoy import EnvoyFiles
from shop_stack.mesh.envoy_process import dies_with_parent, envoy_command
from shop_stack.runtime.backoff import Backoff
from shop_stack.runtime.forking import ForkServer
from shop_stack.runtime.interface import Part, State
from shop_stack.runtime.processes import Process, listen, spawn
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.settings import Settings, to_environment

LEAVE_S = 12.0
_LOOK_EVERY_S = 0.02
_STATUS_ARRIVES_S = 0.03

Begun = tuple[Process, Awaitable[bool]]
Start = Callable[[], Awaitable[Begun]]


@dataclass(frozen=True)
class PartSpec:
    """How a part is started: `start` answers its process, and what becomes true when it is ready."""

    name: str
    start: Start
    address: str | None = None


class PartKeeper:
    """Keeps one part running; `changed` is called on every change."""

    def __init__(self, spec: PartSpec, logs: ReplicaLogs, changed: Callable[[], None]) -> None:
        self.name = spec.name
        self.state: State = "stopped"
        self._spec = spec
        self._logs = logs
        self._changed = changed
        self.process: Process | None = None
        self._backoff = Backoff()
        self._restarts = 0
        self._note = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether it is up."""
        return self.state == "ready"

    def observe(self) -> Part:
        """The part now."""
        running = self.process is not None and not self.process.gone.is_set()
        cpu_s, memory = self.process.usage() if self.process is not None and running else (0.0, 0)
        return Part(
            name=self.name,
            pid=self.process.pid if self.process is not None and running else None,
            state=self.state,
            restarts=self._restarts,
            cpu_s=cpu_s,
            memory_bytes=memory,
            address=self._spec.address,
            note=self._note,
        )

    def begin(self) -> None:
        """Start it in the background."""
        if self.state == "stopped":
            self.state = "starting"
            self._later(self._run())

    async def restart(self) -> None:
        """Stop it; it is started again at once."""
        if self.process is not None:
            await self.process.stop(LEAVE_S)

    async def close(self, patience_s: float = LEAVE_S) -> None:
        """Stop it for good."""
        self.state = "stopping"
        for task in self._tasks:
            task.cancel()
        if self.process is not None:
            await self.process.stop(patience_s)
        self.state = "stopped"

    async def _run(self) -> None:
        self.state = "starting"
        try:
            self.process, ready = await self._spec.start()
        except (NotRunning, OSError) as error:
            self._fall(str(error))
            return
        process = self.process
        process.on_exit = lambda: self._later(self._ended(process))
        if await ready and process is self.process and not process.gone.is_set():
            self.state, self._note = "ready", ""
            self._changed()

    async def _ended(self, process: Process) -> None:
        await asyncio.sleep(_STATUS_ARRIVES_S)
        if self.state not in ("stopping", "stopped") and process is self.process:
            words = self._logs.last_words(self.name)
            self._fall(f"{process.ending()}{f' ({words})' if words and process.status not in (0, -9, -15) else ''}")

    def _fall(self, why: str) -> None:
        delay_s = self._backoff.died(time.monotonic())
        self.state, self._note = "crashed", self._backoff.words(delay_s, why)
        self._restarts += 1
        self._changed()
        self._later(self._again(delay_s))

    async def _again(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if self.state == "crashed":
            await self._run()

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def forked(name: str, module: str, function: str, fork_server: ForkServer) -> Start:
    """A part that the fork server forks; it says ("ready", True) on its channel."""

    async def start() -> Begun:
        process, channel = await fork_server.fork(module, function, [], name)
        return process, _said_ready(process, channel)

    return start


def program(name: str, arguments: list[str], settings: Settings, logs: ReplicaLogs, ready_url: str | None) -> Start:
    """A Python program with a lifeline on its standard input; ready when `ready_url` answers 200 (None: at once)."""

    async def start() -> Begun:
        log = logs.open(name)
        try:
            environment = os.environ | to_environment(settings)
            process, popen = spawn([sys.executable, *arguments], log, env=environment, stdin=subprocess.PIPE)
        finally:
            os.close(log)
        process.lifeline = popen.stdin
        return process, _answers(process, ready_url)

    return start


def envoy(files: EnvoyFiles, logs: ReplicaLogs) -> Start:
    """Envoy itself, tied to this process by the kernel."""

    async def start() -> Begun:
        files.admin_socket.unlink(missing_ok=True)
        log = logs.open("gateway")
        try:
            options = {"cwd": files.folder, "preexec_fn": dies_with_parent(), "stdin": subprocess.DEVNULL}
            process, _ = spawn(envoy_command(files), log, **options)
        finally:
            os.close(log)
        return process, _live(process, EnvoyAdmin(files.admin_socket))

    return start


async def _said_ready(process: Process, channel: Connection) -> bool:
    said = asyncio.Event()
    listen(channel, lambda kind, value: said.set() if kind == "ready" and value else None)
    gone = asyncio.ensure_future(process.gone.wait())
    ready = asyncio.ensure_future(said.wait())
    await asyncio.wait({gone, ready}, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    ready.cancel()
    return said.is_set()


async def _live(process: Process, admin: EnvoyAdmin) -> bool:
    while not process.gone.is_set():
        if await asyncio.to_thread(admin.live):
            return True
        await asyncio.sleep(_LOOK_EVERY_S)
    return False


async def _answers(process: Process, url: str | None) -> bool:
    """Whether the URL answers 200 before the process ends; asked ever more slowly, at most once a second."""
    pause_s = _LOOK_EVERY_S
    while url is not None and not process.gone.is_set():
        if await _status(url) == b"200":
            return True
        await asyncio.sleep(pause_s)
        pause_s = min(1.0, pause_s * 1.2)
    return url is None


async def _status(url: str) -> bytes:
    """The status of a GET on loopback; empty while nothing answers. (An HTTP client would cost 15 MB here.)"""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return b""
    return [*line.split(), b"", b""][1]
