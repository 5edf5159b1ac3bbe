"""The supervisor of the embedded start: it owns the processes of one home, keeps them, and answers for them."""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from shop_stack.access import prepare_keys
from shop_stack.errors import ActionRefused, MeshError, SettingError
from shop_stack.hosting.topology import Topology, read_topology
from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.mesh.endpoints import EndpointFiles
from shop_stack.mesh.envoy import bootstrap, envoy_files, read_key_sets, write_bootstrap
from shop_stack.mesh.policy import policy_of
from shop_stack.runtime.answering import answer_on
from shop_stack.runtime.balancing import Balancer
from shop_stack.runtime.desired import read_desired, write_desired
from shop_stack.runtime.forking import ForkServer
from shop_stack.runtime.groups import GroupKeeper, no_replica
from shop_stack.runtime.home_lock import HomeLock, Left, remember, see_off, write_whole
from shop_stack.runtime.interface import Observation, Part
from shop_stack.runtime.parts import PartKeeper
from shop_stack.runtime.ports import HeldPorts, moved
from shop_stack.runtime.processes import Process
from shop_stack.runtime.protocol import Request
from shop_stack.runtime.repairing import repair_at_start
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.runtime.roster import endpoints_of, part_specs, preferred_ports
from shop_stack.settings import Settings, to_environment
from shop_stack.stack import Stack, read_stack

ACCESS_LOG_CAP_BYTES = 16 << 20
_KEEP_HOUSE_S = 15.0
_REMEMBER_AFTER_S = 0.1
_ADOPT_ORPHANS = 36

Say = Callable[[str, str], None]


class Supervisor:
    """Runs one stack. `say(kind, text)` hears what happens: `note`, `moved`, `change`, `ready`, `stopping`."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._say = say
        self._home = settings.home
        self._stack = read_stack(settings.stack_file)
        self._topology = read_topology(settings.topology, self._stack)
        self._preferred = preferred_ports(settings)
        self._settings = settings
        self._lock = HomeLock(settings.home)
        self._stopping = asyncio.Event()
        self._pending_list: asyncio.TimerHandle | None = None
        self._said_ready = False

    @property
    def settings(self) -> Settings:
        """The settings with the ports that were chosen."""
        return self._settings

    def stop(self) -> None:
        """Begin to stop; `run` returns when everything has."""
        self._stopping.set()

    async def run(self) -> None:
        """Start everything, answer until told to stop, stop everything. Raises HomeInUse, SettingError."""
        self._lock.take()
        try:
            see_off(self._home, lambda text: self._say("note", text))
            self._prepare()
            _adopt_orphans()
            await self._fork_server.start()
            try:
                await self._repair_log()
            except SettingError:
                await self._fork_server.stop()
                self._ports.release()
                raise
            server = await answer_on(self._home, self._handle)
            self._start()
            house = asyncio.get_running_loop().create_task(self._keep_house())
            await self._stopping.wait()
            self._say("stopping", "stopping")
            house.cancel()
            await self._close()
            server.close()
            self._home.supervisor_socket.unlink(missing_ok=True)
        finally:
            self._lock.release()

    def start_part(self, name: str) -> None:
        """Start a part that waits to be told. Raises ActionRefused for an unknown one."""
        self._part(name).begin()

    def observe(self) -> Observation:
        """The whole stack now."""
        groups = [keeper.observe() for keeper in self._groups.values()]
        parts = [keeper.observe() for keeper in self._parts.values()]
        return Observation(at=time.time(), ready=self._ready(), groups=groups, parts=[*parts, *self._own_parts()])

    async def _repair_log(self) -> None:
        """Before anything appends over what the log may have lost; the fork server warms up meanwhile."""
        loop = asyncio.get_running_loop()

        def say(text: str) -> None:
            loop.call_soon_threadsafe(self._say, "note", text)

        await asyncio.to_thread(repair_at_start, self._settings, say)

    def _prepare(self) -> None:
        """Keys, ports, Envoy's files, and a keeper for everything."""
        prepare_keys(self._home, datetime.now(UTC))
        self._ports = HeldPorts(self._preferred, self._settings.bind)
        ports = self._ports.chosen
        for part, (wanted, chosen) in moved(self._preferred, ports).items():
            self._say("moved", f"port {wanted} is taken: {part} answers on {chosen}")
        self._settings = replace(self._settings, ports=ports)
        self._files = envoy_files(self._home)
        policy = policy_of(self._stack)
        document = bootstrap(policy, self._files, read_key_sets(self._home), self._settings)
        write_bootstrap(document, self._files)
        self._endpoint_files = EndpointFiles(self._files)
        self._endpoint_files.write(policy.services, [])
        self._admin = EnvoyAdmin(self._files.admin_socket)
        self._logs = ReplicaLogs(self._home.replica_logs)
        self._fork_server = ForkServer(self._settings, self._logs)
        self._groups = self._group_keepers(self._stack, self._topology)
        specs = part_specs(self._settings, self._fork_server, self._files, self._logs)
        self._parts = {spec.name: PartKeeper(spec, self._logs, self._changed) for spec in specs}
        write_whole(self._home.path / "settings.json", to_environment(self._settings)["SHOPFLOOR_SETTINGS"].encode())
        write_whole(self._home.endpoints, msgspec.json.encode(endpoints_of(self._settings)))

    def _group_keepers(self, stack: Stack, topology: Topology) -> dict[str, GroupKeeper]:
        balancer = Balancer(self._endpoint_files, self._admin)
        return {
            group: GroupKeeper(
                name=group,
                services=services,
                most=min(stack.service(name).max_replicas for name in services),
                fork=self._fork_replica,
                balancing=balancer,
                logs=self._logs,
                changed=self._changed,
            )
            for group, services in topology.groups.items()
        }

    async def _fork_replica(self, group: str, replica: str) -> tuple[Process, Any]:
        return await self._fork_server.fork("shop_stack.hosting.host", "run_group", [group, replica], replica)

    def _start(self) -> None:
        for part in self._parts.values():
            if part.name != "shoppers":
                part.begin()
        desired = read_desired(self._home, self._topology, self._stack)
        self._starting = [
            asyncio.get_running_loop().create_task(self._first_scale(self._groups[group], replicas))
            for group, replicas in desired.items()
        ]

    async def _first_scale(self, group: GroupKeeper, replicas: int) -> None:
        try:
            await group.scale(replicas)
        except ActionRefused as error:
            self._say("note", str(error))

    async def _handle(self, request: Request) -> Any:
        """One request of the socket."""
        if request.do == "observe":
            return self.observe()
        if request.do == "stop":
            self.stop()
            return None
        if request.do == "logs":
            return self._tail(request)
        if request.do == "start":
            return self.start_part(request.group)
        if request.do == "restart" and request.group in self._parts:
            return await self._part(request.group).restart()
        keeper = self._group(request.group)
        if request.do == "restart":
            return await keeper.restart(request.replica)
        keeper.check(request.replicas)
        keeper.desired = request.replicas
        write_desired(self._home, self._topology, {name: one.desired for name, one in self._groups.items()})
        return await keeper.scale(request.replicas)

    def _tail(self, request: Request) -> list[str]:
        names = self._logs.names(request.group) if request.group in self._groups else [request.group]
        if request.group not in (*self._groups, *self._parts, "forkserver", "supervisor"):
            self._group(request.group)
        if request.replica is not None and request.replica not in names:
            raise ActionRefused(no_replica(request.group, request.replica, names))
        return self._logs.tail(names if request.replica is None else [request.replica], request.lines)

    def _group(self, name: str) -> GroupKeeper:
        if name not in self._groups:
            known = ", ".join(self._groups)
            raise ActionRefused(f"no process group is called {name!r} in {self._topology.name}; there are: {known}")
        return self._groups[name]

    def _part(self, name: str) -> PartKeeper:
        if name not in self._parts:
            raise ActionRefused(f"this stack has no part called {name!r}; there are: {', '.join(self._parts)}")
        return self._parts[name]

    def _ready(self) -> bool:
        parts = all(part.ready for part in self._parts.values() if part.state != "stopped")
        return parts and all(group.ready for group in self._groups.values())

    def _own_parts(self) -> list[Part]:
        """This process and the fork server, so that the sum of CPU and memory is the whole stack's."""
        if not hasattr(self, "_self"):
            self._self = Process(os.getpid())
        own = [("supervisor", self._self), ("forkserver", self._fork_server.process)]
        return [_process_part(name, process) for name, process in own if process is not None]

    def _changed(self) -> None:
        """Something changed: say it, and write down what runs (soon, and once for many changes)."""
        self._say("change", self._words())
        if self._pending_list is None:
            loop = asyncio.get_running_loop()
            self._pending_list = loop.call_later(_REMEMBER_AFTER_S, self._write_list)
        if self._ready() and not self._said_ready:
            self._said_ready = True
            self._say("ready", "ready")

    def _words(self) -> str:
        """How far the start has come, in words."""
        waiting = [name for name, group in self._groups.items() if not group.ready]
        waiting += [name for name, part in self._parts.items() if not part.ready and part.state != "stopped"]
        whole = len(self._groups) + sum(part.state != "stopped" for part in self._parts.values())
        return f"{whole - len(waiting)}/{whole} {', '.join(waiting)}"

    def _write_list(self) -> None:
        self._pending_list = None
        running = [process for keeper in self._parts.values() if (process := keeper.process) is not None]
        running += [process for keeper in self._groups.values() for process in keeper.processes()]
        if self._fork_server.process is not None:
            running.append(self._fork_server.process)
        remember(self._home, [Left(one.pid, one.started_at) for one in running if not one.gone.is_set()])

    async def _keep_house(self) -> None:
        """Bound the logs' sizes."""
        while True:
            await asyncio.sleep(_KEEP_HOUSE_S)
            self._logs.trim()
            log = self._files.access_log
            if log.exists() and log.stat().st_size > ACCESS_LOG_CAP_BYTES:
                os.replace(log, log.with_suffix(".log.1"))
                try:
                    await asyncio.to_thread(self._admin.post, "/reopen_logs")
                except MeshError as error:
                    self._say("note", str(error))

    async def _close(self) -> None:
        """Callers first, then the gateway's door, then the services, then what they stand on."""
        await asyncio.gather(*(self._parts[name].close() for name in ("shoppers", "dashboard") if name in self._parts))
        await self._shut_the_door()
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*(group.close() for group in self._groups.values()))
        rest = [part for part in self._parts.values() if part.name != "gateway"]
        await asyncio.gather(*(part.close() for part in rest))
        await self._parts["gateway"].close(patience_s=2)
        await self._fork_server.stop()
        if self._pending_list is not None:
            self._pending_list.cancel()
        remember(self._home, [])
        self._home.endpoints.unlink(missing_ok=True)
        self._ports.release()

    async def _shut_the_door(self) -> None:
        """SIGTERM would drop requests in flight: first no new ones, then wait for those there are."""
        try:
            await asyncio.to_thread(self._admin.post, "/drain_listeners?inboundonly")
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                hosts = await asyncio.to_thread(self._admin.hosts)
                if not any(host.active for host in hosts):
                    return
                await asyncio.sleep(0.05)
        except MeshError:
            return


def _process_part(name: str, process: Process) -> Part:
    cpu_s, memory = process.usage(with_children=False)  # those that have left were counted under their own names
    return Part(name=name, pid=process.pid, state="ready", restarts=0, cpu_s=cpu_s, memory_bytes=memory)


def _adopt_orphans() -> None:
    """Children of a killed fork server become ours, so that they are waited for."""
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1)
