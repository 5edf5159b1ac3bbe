"""Letting requests reach replicas or keeping them away: files written, and Envoy seen to have applied them."""

import asyncio
import time
from collections.abc import Callable

from shop_stack.errors import MeshError
from shop_stack.mesh.admin import EnvoyAdmin, HostState
from shop_stack.mesh.clusters import Endpoint
from shop_stack.mesh.endpoints import EndpointFiles
from shop_stack.settings import Place

APPLY_S = 3.0
IN_FLIGHT_S = 10.0
_LOOK_EVERY_S = 0.02


class Balancer:
    """Sends a group's requests to its endpoints. Waiting ends early when Envoy is down: then nothing is in flight."""

    def __init__(self, files: EndpointFiles, admin: EnvoyAdmin) -> None:
        self._files = files
        self._admin = admin
        self._written: dict[tuple[str, ...], list[Endpoint]] = {}

    def write(self, services: tuple[str, ...], endpoints: list[Endpoint]) -> None:
        """Replace the endpoints of all services of a group, if they changed."""
        if self._written.get(services) != endpoints:
            self._written[services] = list(endpoints)
            self._files.write(services, endpoints)

    async def serving(self, services: tuple[str, ...], place: Place) -> bool:
        """Wait until Envoy sends requests to this place; False when it does not within APPLY_S."""
        return await self._until(services, place, APPLY_S, lambda states: _all(services, states, lambda s: s.serving))

    async def draining(self, services: tuple[str, ...], place: Place) -> bool:
        """Wait until Envoy sends no new requests to this place."""
        return await self._until(services, place, APPLY_S, lambda states: all(not s.serving for s in states))

    async def quiet(self, services: tuple[str, ...], place: Place) -> bool:
        """Wait until no request is in flight to this place; False when one still is after IN_FLIGHT_S."""
        return await self._until(services, place, IN_FLIGHT_S, lambda states: all(s.active == 0 for s in states))

    async def _until(
        self, services: tuple[str, ...], place: Place, patience_s: float, holds: Callable[[list[HostState]], bool]
    ) -> bool:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                hosts = await asyncio.to_thread(self._admin.hosts)
            except MeshError:
                return False
            if holds([host for host in hosts if host.place == place and host.cluster in services]):
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)


def _all(services: tuple[str, ...], states: list[HostState], holds: Callable[[HostState], bool]) -> bool:
    return len(states) == len(services) and all(holds(state) for state in states)
