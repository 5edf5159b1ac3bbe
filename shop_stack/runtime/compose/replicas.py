"""One process group in containers: who gets requests, who drains, and how many there shall be."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.mesh.clusters import Endpoint
from shop_stack.runtime.compose.copying import copy_of
from shop_stack.runtime.compose.docker import Container, Docker, Life, Usage
from shop_stack.runtime.compose.editions import leaving_order, newest, pattern
from shop_stack.runtime.groups import Balancing
from shop_stack.runtime.interface import Group, Replica, State
from shop_stack.settings import Place

READY_S = 60.0
LEAVE_S = 20
_LOOK_EVERY_S = 0.1
NOTHING = Usage()
UNKNOWN = Life()
Probe = Callable[[Place], Awaitable[bool]]


@dataclass
class Copy:
    """A replica's container as it was last seen."""

    container: Container
    place: Place | None
    ready: bool = False
    draining: bool = False
    usage: Usage = NOTHING
    life: Life = UNKNOWN

    @property
    def running(self) -> bool:
        """Whether Docker says that it runs."""
        return self.container.state == "running"

    @property
    def state(self) -> State:
        """In the runtime's words."""
        if self.draining:
            return "draining"
        if self.running:
            return "ready" if self.ready else "starting"
        return "starting" if self.container.state == "created" else "crashed"


class ReplicaSet:
    """Keeps the containers of one Compose service that runs a process group. One event loop's."""

    def __init__(
        self, name: str, services: tuple[str, ...], most: int, docker: Docker, balancing: Balancing, probe: Probe
    ) -> None:
        self.name, self.services, self.desired = name, services, 1
        self._most, self._docker, self._balancing, self._probe = most, docker, balancing, probe
        self._copies: dict[str, Copy] = {}
        self._last: Place | None = None
        self._turn = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether as many replicas serve as are wanted."""
        return sum(copy.state == "ready" for copy in self._copies.values()) == self.desired == len(self._copies)

    @property
    def copies(self) -> list[Copy]:
        """In the order of their numbers."""
        return sorted(self._copies.values(), key=lambda copy: copy.container.number)

    def observe(self) -> Group:
        """The group now."""
        return Group(
            name=self.name,
            services=list(self.services),
            desired=self.desired,
            replicas=[_seen(one) for one in self.copies],
        )

    def check(self, replicas: int) -> None:
        """Raise ActionRefused for a number out of bounds."""
        if not 1 <= replicas <= self._most:
            raise ActionRefused(
                f"{self.name} runs 1 to {self._most} replicas here, not {replicas}; ask for one of those"
            )

    async def see(self, containers: list[Container], port: int, network: str) -> None:
        """Take in a list of containers, ask those that run whether they are ready, and tell the gateway."""
        mine = {one.id: one for one in containers if one.service == self.name}
        for gone in self._copies.keys() - mine.keys():
            del self._copies[gone]
        for key, one in mine.items():
            address = one.addresses.get(network)
            place = (address, port) if address else None
            copy = self._copies.setdefault(key, Copy(one, place))
            copy.container, copy.place = one, place
        await asyncio.gather(*(self._ask(copy) for copy in self._copies.values()))
        self._publish()

    async def scale(self, replicas: int, again: Callable[[], Awaitable[None]]) -> None:
        """Run this many: new ones enter once ready; leaving ones drain first. `again` looks at the containers anew.

        Raises ActionRefused when one is not ready in time, NotRunning when the Engine refuses.
        """
        self.check(replicas)
        self.desired = replicas
        async with self._turn:
            await again()
            missing = replicas - len(self._copies)
            if missing > 0:
                await self._add(missing)
            while len(self._copies) > replicas:
                await self._leave(self._next_to_leave())
            await self._until_ready(replicas, again)

    @property
    def succeeded(self) -> bool:
        """Whether a replica of a newer edition is ready beside older ones, which may then leave."""
        staying = {one.id for one in newest([copy.container for copy in self.copies])}
        return len(staying) < len(self._copies) and any(self._copies[one].ready for one in staying)

    async def succeed(self, again: Callable[[], Awaitable[None]]) -> None:
        """Replace the replicas of older editions, one after the other, by copies of the newest that is ready.

        Raises as `scale`; what has not been replaced then serves on.
        """
        async with self._turn:
            await again()
            while self.succeeded:
                fresh = newest([copy.container for copy in self.copies])
                if len(fresh) < self.desired:
                    await self._add(1)
                    await self._until_ready(len(fresh) + 1, again, {one.edition for one in fresh})
                await self._leave(self._next_to_leave())
                await again()

    async def restart(self, replica: str | None, again: Callable[[], Awaitable[None]]) -> None:
        """Restart one container, or each in turn, each drained first; another serves meanwhile."""
        async with self._turn:
            await again()
            known = {copy.container.name: copy for copy in self.copies}
            if replica is not None and replica not in known:
                raise ActionRefused(f"{self.name} has no replica {replica!r}; there are: {', '.join(known)}")
            spare = len(known) == 1
            if spare:
                await self._add(1)
                await self._until_ready(2, again)
            for name in [replica] if replica is not None else list(known):
                copy = self._copies.get(known[name].container.id)
                if copy is not None:
                    await self._drain(copy)
                    await self._docker.restart(copy.container.id, LEAVE_S)
                    copy.draining = copy.ready = False
                    await self._until_ready(len(self._copies), again)
            if spare:
                await self._leave(self.copies[-1])

    async def _add(self, how_many: int) -> None:
        """Create and start replicas like the first of the newest edition that serves, under the lowest free numbers."""
        if not self._copies:
            raise NotRunning(
                f"{self.name} has no container to take after; start it with: docker compose up -d {self.name}"
            )
        like = await self._docker.inspect(pattern([copy.container for copy in self.copies], self._serving()).id)
        taken = {copy.container.number for copy in self.copies}
        free = (number for number in range(1, len(taken) + how_many + 1) if number not in taken)
        for number in [next(free) for _ in range(how_many)]:
            name, body = copy_of(like, number)
            await self._docker.start(await self._docker.create(name, body))

    def _serving(self) -> set[str]:
        return {key for key, copy in self._copies.items() if copy.ready}

    def _next_to_leave(self) -> Copy:
        return self._copies[leaving_order([copy.container for copy in self.copies], self._serving())[0].id]

    async def _until_ready(
        self, replicas: int, again: Callable[[], Awaitable[None]], editions: Collection[tuple[str, str]] = ()
    ) -> None:
        """Wait for so many ready replicas, of these editions when any are named."""
        deadline = time.monotonic() + READY_S
        while True:
            asked = [copy for copy in self.copies if not editions or copy.container.edition in editions]
            if sum(copy.ready for copy in asked) >= replicas:
                break
            if time.monotonic() > deadline:
                late = [copy.container.name for copy in asked if not copy.ready]
                raise ActionRefused(f"{', '.join(late) or self.name} was not ready within {READY_S:g} s; see its log")
            await asyncio.sleep(_LOOK_EVERY_S)
            await again()
        places = [copy.place for copy in self.copies if copy.ready and not copy.draining]
        await asyncio.gather(*(self._balancing.serving(self.services, place) for place in places if place is not None))

    async def _drain(self, copy: Copy) -> None:
        """Out of the endpoints once no request is in flight to it."""
        copy.draining = True
        self._publish()
        if copy.place is not None:
            await self._balancing.draining(self.services, copy.place)
            await self._balancing.quiet(self.services, copy.place)
        copy.ready = False
        self._publish()

    async def _leave(self, copy: Copy) -> None:
        """Draining, then out of the endpoints, then stopped and removed."""
        await self._drain(copy)
        await self._docker.remove(copy.container.id, LEAVE_S)
        self._copies.pop(copy.container.id, None)

    async def _ask(self, copy: Copy) -> None:
        if not copy.draining:
            copy.ready = copy.running and copy.place is not None and await self._probe(copy.place)

    def _publish(self) -> None:
        """Those that are ready. The last of all stays until its successor is there: retries then find the successor."""
        serving = [Endpoint(copy.place, copy.draining) for copy in self.copies if copy.ready and copy.place is not None]
        if serving:
            self._last = serving[-1].place
        elif self._last is not None:
            serving = [Endpoint(self._last)]
        self._balancing.write(self.services, serving)


def _seen(copy: Copy) -> Replica:
    host, port = copy.place or ("", 0)
    return Replica(
        name=copy.container.name,
        pid=0,
        host=host,
        port=port,
        state=copy.state,
        started_at=copy.life.started_at or float(copy.container.created),
        restarts=copy.life.restarts,
        cpu_s=copy.usage.cpu_s,
        cpu_at=copy.usage.at,
        memory_bytes=copy.usage.memory_bytes,
        note="" if copy.running else copy.container.status,
    )
