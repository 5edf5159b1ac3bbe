"""What a runtime can do with the processes of a stack, whatever runs them."""

from typing import Literal, Protocol

import msgspec

from shop_stack.settings import LOOPBACK, Place

State = Literal["starting", "ready", "draining", "stopping", "crashed", "stopped"]


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One running copy of a process group. It answers on `host` and `port`; `cpu_s` is CPU used since it started.

    `pid` is 0 where the runtime does not know it, `cpu_at` when `cpu_s` was read (Unix seconds), None: as observed.
    """

    name: str
    pid: int
    host: str = LOOPBACK
    port: int
    state: State
    started_at: float
    restarts: int
    cpu_s: float
    memory_bytes: int
    note: str = ""
    cpu_at: float | None = None

    @property
    def process(self) -> str:
        """Which process it is: another one after a restart."""
        return f"{self.name} {self.pid} {self.started_at:g}"

    @property
    def place(self) -> Place:
        """Where it answers."""
        return self.host, self.port


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A process group: the services that move together, how many replicas are wanted, and those there are."""

    name: str
    services: list[str]
    desired: int
    replicas: list[Replica]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the stack that is no service: gateway, operations, analytics, provider, dashboard, shoppers."""

    name: str
    pid: int | None
    state: State
    restarts: int
    cpu_s: float
    memory_bytes: int
    address: str | None = None
    note: str = ""
    cpu_at: float | None = None

    @property
    def process(self) -> str:
        """Which process it is: another one after a restart."""
        return f"{self.name} {self.pid} {self.restarts}"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole stack at one moment; `ready` when every group has its desired replicas ready and every part is up."""

    at: float
    ready: bool
    groups: list[Group]
    parts: list[Part]


class Runtime(Protocol):
    """Scaling addresses the process group; all services of a group move with it."""

    def observe(self) -> Observation:
        """The state now. Raises NotRunning when no supervisor answers."""

    def scale(self, group: str, replicas: int) -> None:
        """Want this many replicas and return when all are ready and the rest are gone.

        New ones enter Envoy's endpoints once ready; leaving ones are marked DRAINING, taken out, then stopped:
        neither fails a request. Raises ActionRefused for an unknown group or a number out of bounds.
        """

    def restart(self, group: str, replica: str | None = None) -> None:
        """Replace one replica, or each in turn, a new one ready before the old one leaves."""

    def logs(self, group: str, replica: str | None = None, lines: int = 200) -> list[str]:
        """The last lines of a group's (or part's) log, oldest first, each with its replica's name."""
