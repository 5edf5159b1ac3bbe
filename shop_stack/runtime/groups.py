"""One process group under the supervisor: replicas started, watched, scaled and replaced; no request fails."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.mesh.clusters import Endpoint
from shop_stack.runtime.backoff import Backoff
from shop_stack.runtime.interface import Group, Replica, State
from shop_stack.runtime.processes import Process, listen
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.settings import LOOPBACK, Place

READY_S = 30.0
LEAVE_S = 20.0
_STATUS_ARRIVES_S = 0.03

Fork = Callable[[str, str], Awaitable[tuple[Process, Connection]]]


class Balancing(Protocol):
    """What a group needs of the mesh (see balancing.Balancer)."""

    def write(self, services: tuple[str, ...], endpoints: list[Endpoint]) -> None: ...
    async def serving(self, services: tuple[str, ...], place: Place) -> bool: ...
    async def draining(self, services: tuple[str, ...], place: Place) -> bool: ...
    async def quiet(self, services: tuple[str, ...], place: Place) -> bool: ...


class Copy:
    """One replica: a name that stays over restarts, and the process that bears it now."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: Process | None = None
        self.channel: Connection | None = None
        self.port = 0
        self.ghost_port = 0
        self.state: State = "starting"
        self.in_service = False
        self.restarts = 0
        self.note = ""
        self.backoff = Backoff()
        self.settled = asyncio.Event()

    @property
    def place(self) -> Place:
        """Where it answers."""
        return LOOPBACK, self.port

    @property
    def staying(self) -> bool:
        """Whether it counts towards the desired number."""
        return self.state in ("starting", "ready", "crashed")

    def seen(self) -> Replica:
        """As others see it."""
        cpu_s, memory = self.process.usage() if self.process and not self.process.gone.is_set() else (0.0, 0)
        return Replica(
            name=self.name,
            pid=self.process.pid if self.process else 0,
            port=self.port,
            state=self.state,
            started_at=self.process.started_at if self.process else 0.0,
            restarts=self.restarts,
            cpu_s=cpu_s,
            memory_bytes=memory,
            note=self.note,
        )


class GroupKeeper:
    """Keeps `desired` replicas of a group. `fork(group, replica)` starts one; `changed` is called on every change."""

    def __init__(
        self,
        name: str,
        services: tuple[str, ...],
        most: int,
        fork: Fork,
        balancing: Balancing,
        logs: ReplicaLogs,
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.services = services
        self.desired = 0
        self._most = most
        self._fork = fork
        self._balancing = balancing
        self._logs = logs
        self._changed = changed
        self._copies: dict[str, Copy] = {}
        self._turn = asyncio.Lock()
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether as many replicas serve as are wanted."""
        return sum(copy.state == "ready" for copy in self._copies.values()) == self.desired == len(self._copies)

    def observe(self) -> Group:
        """The group now, replicas in the order of their numbers."""
        copies = sorted(self._copies.values(), key=_number)
        return Group(
            name=self.name,
            services=list(self.services),
            desired=self.desired,
            replicas=[copy.seen() for copy in copies],
        )

    def processes(self) -> list[Process]:
        """The replicas' processes."""
        return [copy.process for copy in self._copies.values() if copy.process is not None]

    def names(self) -> list[str]:
        """The replicas' names."""
        return [copy.name for copy in sorted(self._copies.values(), key=_number)]

    def check(self, replicas: int) -> None:
        """Raise ActionRefused for a number out of bounds."""
        if not 0 <= replicas <= self._most:
            raise ActionRefused(f"{self.name} runs 0 to {self._most} replicas, not {replicas}; ask for one of those")

    async def scale(self, replicas: int) -> None:
        """Run this many: new ones enter once ready; leaving ones drain first. Raises ActionRefused."""
        self.check(replicas)
        self.desired = replicas
        async with self._turn:
            staying = [copy for copy in self._copies.values() if copy.staying]
            fresh = [self._begin() for _ in range(replicas - len(staying))]
            await self._all_ready([*staying, *fresh][:replicas] if fresh else [])
            leaving = sorted(staying, key=lambda copy: (copy.state == "crashed", _number(copy)), reverse=True)
            await asyncio.gather(*(self._leave(copy) for copy in leaving[: max(0, len(staying) - replicas)]))

    async def restart(self, replica: str | None) -> None:
        """Replace one replica, or each in turn: the new one is ready before the old one leaves."""
        async with self._turn:
            if replica is not None and replica not in self._copies:
                raise ActionRefused(no_replica(self.name, replica, self.names()))
            old = [self._copies[name] for name in ([replica] if replica is not None else self.names())]
            for copy in old:
                await self._all_ready([self._begin()])
                await self._leave(copy)

    async def close(self) -> None:
        """Stop all replicas; nothing is started again."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        running = self.processes()
        for process in running:
            process.signal(signal.SIGTERM)
        await asyncio.gather(*(process.stop(LEAVE_S) for process in running))

    def _begin(self) -> Copy:
        """A new replica under the lowest free number, starting in the background."""
        taken = {_number(copy) for copy in self._copies.values()}
        number = next(n for n in range(1, len(taken) + 2) if n not in taken)
        copy = Copy(f"{self.name}-{number}")
        self._copies[copy.name] = copy
        self._later(self._start(copy))
        return copy

    async def _start(self, copy: Copy) -> None:
        copy.state = "starting"
        copy.settled.clear()
        try:
            process, channel = await self._fork(self.name, copy.name)
        except NotRunning as error:
            self._fall(copy, str(error))
            return
        copy.process, copy.channel = process, channel
        process.on_exit = lambda: self._later(self._ended(copy, process))
        listen(channel, lambda kind, value: self._hear(copy, process, kind, value))

    def _hear(self, copy: Copy, process: Process, kind: str, value: Any) -> None:
        """A message of the replica: its port, or whether it is ready."""
        if copy.process is not process or not copy.staying:
            return
        if kind == "port":
            copy.port = int(value)
        elif kind == "ready" and value:
            copy.state, copy.in_service, copy.note = "ready", True, ""
            self._publish()
            copy.settled.set()
            if copy.ghost_port:
                self._later(self._bury(copy))
        elif kind == "ready":
            copy.state, copy.note = "starting", "says that it is not ready"
        self._changed()

    def _publish(self) -> None:
        copies = sorted(self._copies.values(), key=_number)
        ghosts = [Endpoint((LOOPBACK, copy.ghost_port)) for copy in copies if copy.ghost_port]
        serving = [Endpoint(copy.place, copy.state == "draining") for copy in copies if copy.in_service]
        self._balancing.write(self.services, ghosts + serving)

    async def _bury(self, copy: Copy) -> None:
        """Take a dead predecessor's endpoint out once Envoy sends requests to its successor."""
        await self._balancing.serving(self.services, copy.place)
        copy.ghost_port = 0
        self._publish()

    async def _all_ready(self, copies: list[Copy]) -> None:
        """Wait until these serve. Raises ActionRefused when one does not in time; it goes on being tried."""
        for copy in copies:
            try:
                await asyncio.wait_for(copy.settled.wait(), READY_S)
            except TimeoutError:
                words = copy.note or self._logs.last_words(copy.name) or "it has said nothing"
                raise ActionRefused(
                    f"{copy.name} was not ready within {READY_S:g} s ({words}); see: shopfloor logs {self.name}"
                ) from None
            await self._balancing.serving(self.services, copy.place)

    async def _leave(self, copy: Copy) -> None:
        """Draining, then out of the endpoints, then stopped."""
        copy.state = "draining"
        self._changed()
        if copy.in_service:
            self._publish()
            await self._balancing.draining(self.services, copy.place)
            await self._balancing.quiet(self.services, copy.place)
            copy.in_service = False
            self._publish()
        copy.state = "stopping"
        if copy.process is not None:
            await copy.process.stop(LEAVE_S)
        self._copies.pop(copy.name, None)
        self._changed()

    async def _ended(self, copy: Copy, process: Process) -> None:
        """A replica has died by itself: others take over, and it comes back."""
        await asyncio.sleep(_STATUS_ARRIVES_S)
        if self._closing or not copy.staying or copy.process is not process:
            return
        words = self._logs.last_words(copy.name)
        self._fall(copy, f"{process.ending()}{f' ({words})' if words and process.status not in (0, -9, -15) else ''}")

    def _fall(self, copy: Copy, why: str) -> None:
        """Mark a death. A lone dead endpoint stays until its successor is there: retries then find the successor."""
        delay_s = copy.backoff.died(time.monotonic())
        copy.state = "crashed"
        copy.note = copy.backoff.words(delay_s, why)
        if copy.in_service and not any(other.state == "ready" for other in self._copies.values()):
            copy.ghost_port = copy.port
        copy.in_service = False
        self._publish()
        self._changed()
        self._later(self._revive(copy, delay_s))

    async def _revive(self, copy: Copy, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if not self._closing and copy.staying and self._copies.get(copy.name) is copy:
            copy.restarts += 1
            await self._start(copy)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def no_replica(group: str, replica: str, known: Iterable[str]) -> str:
    """What is said to one who asks for a replica that there is not."""
    return f"{group} has no replica {replica!r}; there are: {', '.join(known)}"


def _number(copy: Copy) -> int:
    return int(copy.name.rpartition("-")[2])
