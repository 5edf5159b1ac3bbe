"""The keeper of a Compose project: observes its containers, writes the gateway's endpoints, scales within bounds."""

import asyncio
import logging
import time
from typing import Any

from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.hosting.topology import read_topology
from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.mesh.endpoints import EndpointFiles
from shop_stack.mesh.envoy import envoy_files
from shop_stack.runtime.balancing import Balancer
from shop_stack.runtime.compose.docker import Container, Docker, Life, Usage
from shop_stack.runtime.compose.replicas import ReplicaSet
from shop_stack.runtime.desired import read_desired, write_desired
from shop_stack.runtime.groups import no_replica
from shop_stack.runtime.interface import Observation, Part, State
from shop_stack.runtime.protocol import Request
from shop_stack.settings import Place, Settings
from shop_stack.stack import read_stack

_LOOK_EVERY_S = 1.0
_USAGE_EVERY_S = 5.0
_PROBE_S = 2.0
_STOP_S = 20
_MOST_LINES = 5000
_log = logging.getLogger(__name__)


class Keeper:
    """Keeps one project. `port` is where each replica answers, on the network called `network`."""

    def __init__(self, settings: Settings, docker: Docker, port: int, network: str) -> None:
        stack = read_stack(settings.stack_file)
        self._home, self._docker, self._port, self._network = settings.home, docker, port, network
        self._topology = read_topology(settings.topology, stack)
        files = envoy_files(settings.home)
        balancing = Balancer(EndpointFiles(files), EnvoyAdmin(files.admin_socket))
        self._groups = {
            group: ReplicaSet(group, services, min(stack.service(one).max_replicas for one in services), docker,
                              balancing, self._is_ready)
            for group, services in self._topology.groups.items()
        }  # fmt: skip
        for group, wanted in read_desired(settings.home, self._topology, stack).items():
            self._groups[group].desired = max(1, wanted)
        self._others: list[Container] = []
        self._done: list[Container] = []
        self._usages: dict[str, Usage] = {}
        self._lives: dict[str, Life] = {}
        self._changed: set[str] = set()
        self._looking = asyncio.Lock()
        self.seen = False

    async def run(self) -> None:
        """Look whenever something changes, and every second; until cancelled."""
        wake = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear(wake))
            tasks.create_task(self._measure())
            for group in self._groups.values():
                tasks.create_task(self._bring_back(group))
                tasks.create_task(self._succeed(group))
            while True:
                try:
                    await self.look()
                except NotRunning as error:
                    _log.warning("%s", error)
                wake.clear()
                try:
                    await asyncio.wait_for(wake.wait(), _LOOK_EVERY_S)
                except TimeoutError:
                    continue

    async def look(self) -> None:
        """Take in what runs now."""
        async with self._looking:
            containers = await self._docker.containers()
            await asyncio.gather(*(one.see(containers, self._port, self._network) for one in self._groups.values()))
            others = [one for one in containers if one.service not in self._groups]
            self._others = [one for one in others if not _is_done(one)]
            self._done = [one for one in others if _is_done(one)]
            await self._learn({one.id for one in containers})
            self.seen = True

    async def _learn(self, there: set[str]) -> None:
        """Ask for the lives of containers that are new or have changed, and forget those that are gone."""
        self._lives = {one: life for one, life in self._lives.items() if one in there}
        asked = [*(there - self._lives.keys() | there & self._changed)]
        self._changed.difference_update(asked)
        await asyncio.gather(*(self._learn_of(one) for one in asked))

    async def _learn_of(self, one: str) -> None:
        try:
            self._lives[one] = await self._docker.life(one)
        except NotRunning:
            self._changed.add(one)  # removed meanwhile, or to be asked again

    async def handle(self, request: Request) -> Any:
        """One request of the socket: observe, scale, restart or logs; everything else is refused."""
        if request.do == "observe":
            return self.observe()
        if request.do == "logs":
            return await self._logs(request)
        if request.do == "restart":
            return await self._restart(request)
        if request.do == "scale":
            return await self._scale(request)
        raise ActionRefused(f"this runtime does not {request.do} a stack; that is done with: docker compose")

    def observe(self) -> Observation:
        """The whole project as it was last seen."""
        for group in self._groups.values():
            for copy in group.copies:
                copy.usage = self._usages.get(copy.container.id, Usage())
                copy.life = self._lives.get(copy.container.id, Life())
        groups = [group.observe() for group in self._groups.values()]
        parts = [self._part(one) for one in sorted(self._others, key=lambda one: one.name)]
        ready = all(group.ready for group in self._groups.values()) and all(part.state == "ready" for part in parts)
        return Observation(at=time.time(), ready=ready, groups=groups, parts=parts)

    async def _scale(self, request: Request) -> None:
        group = self._group(request.group)
        group.check(request.replicas)
        group.desired = request.replicas
        write_desired(self._home, self._topology, {name: one.desired for name, one in self._groups.items()})
        await group.scale(request.replicas, self.look)

    async def _restart(self, request: Request) -> None:
        if request.group in self._groups:
            return await self._groups[request.group].restart(request.replica, self.look)
        for one in self._others:
            if one.service == request.group:
                return await self._docker.restart(one.id, _STOP_S)
        self._group(request.group)
        return None

    async def _logs(self, request: Request) -> list[str]:
        await self.look()
        copies = (copy.container for group in self._groups.values() for copy in group.copies)
        known = [*copies, *self._others, *self._done]
        of_group = [one for one in known if one.service == request.group]
        if not of_group:
            names = ", ".join(sorted({one.service for one in known}))
            raise ActionRefused(f"no process group is called {request.group!r}, nor any part; there are: {names}")
        asked = [one for one in of_group if request.replica in (None, one.name)]
        if request.replica is not None and not asked:
            raise ActionRefused(no_replica(request.group, request.replica, [one.name for one in of_group]))
        lines = max(1, min(request.lines, _MOST_LINES))
        found = await asyncio.gather(*(self._docker.logs(one.id, lines) for one in asked))
        told = [(*line.partition(" "), one.name) for one, of in zip(asked, found, strict=True) for line in of]
        told.sort(key=lambda line: line[0])
        return [f"{name} {words}" for _, _, words, name in told[-lines:]]

    def _group(self, name: str) -> ReplicaSet:
        if name not in self._groups:
            known = ", ".join(self._groups)
            raise ActionRefused(f"no process group is called {name!r} in {self._topology.name}; there are: {known}")
        return self._groups[name]

    def _part(self, one: Container) -> Part:
        used, life = self._usages.get(one.id, Usage()), self._lives.get(one.id, Life())
        state = _state_of(one)
        address = next(iter(one.addresses.values()), None)
        return Part(name=one.service, pid=None, state=state, restarts=life.restarts, cpu_s=used.cpu_s, cpu_at=used.at,
                    memory_bytes=used.memory_bytes, address=address,
                    note="" if state == "ready" else one.status)  # fmt: skip

    async def _hear(self, wake: asyncio.Event) -> None:
        while True:
            async for changed in self._docker.changes():
                self._changed |= {changed} if changed else self._lives.keys()
                wake.set()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _measure(self) -> None:
        """What each container uses, in turn, so that the Engine is never asked for all at once."""
        while True:
            running = [*self._others, *(copy.container for group in self._groups.values() for copy in group.copies)]
            for one in running:
                try:
                    self._usages[one.id] = await self._docker.usage(one.id)
                except NotRunning:
                    self._usages.pop(one.id, None)
                await asyncio.sleep(_USAGE_EVERY_S / max(1, len(running)))
            if not running:
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _bring_back(self, group: ReplicaSet) -> None:
        """After a start: as many replicas as were wanted before, once the first is ready.

        Compose starts one of each; a scaling that ended in its middle may have left too many.
        """
        while not any(copy.ready for copy in group.copies):
            await asyncio.sleep(_LOOK_EVERY_S)
        if len(group.copies) != group.desired:
            try:
                await group.scale(group.desired, self.look)
            except (ActionRefused, NotRunning) as error:
                _log.warning("%s", error)

    async def _succeed(self, group: ReplicaSet) -> None:
        """When Compose has added a replica of a newer edition and it is ready: it and its copies replace the older."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if group.succeeded:
                try:
                    await group.succeed(self.look)
                except (ActionRefused, NotRunning) as error:
                    _log.warning("%s", error)

    async def _is_ready(self, place: Place) -> bool:
        """Whether a replica answers 200 on `/readyz`."""
        try:
            async with asyncio.timeout(_PROBE_S):
                reader, writer = await asyncio.open_connection(*place)
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {place[0]}\r\nConnection: close\r\n\r\n".encode())
                line = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return line.split()[1:2] == [b"200"]


def _is_done(one: Container) -> bool:
    """Whether it has done what it was for: what runs once at a start is no part of the stack."""
    return one.state == "exited" and one.status.startswith("Exited (0)")


def _state_of(one: Container) -> State:
    if one.state != "running":
        return "starting" if one.state == "created" else "crashed"
    return "starting" if "(health: starting)" in one.status or "(unhealthy)" in one.status else "ready"
