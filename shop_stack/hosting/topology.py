"""Which services share a process: a topology's groups, read from topology.toml and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import msgspec

from shop_stack.errors import SettingError
from shop_stack.stack import Stack


@dataclass(frozen=True)
class Topology:
    """Process groups by name, each with the services it runs, in the order of the file."""

    name: str
    groups: Mapping[str, tuple[str, ...]]

    def group_of(self, service: str) -> str:
        """The group in whose processes a service runs. Raises SettingError for an unknown service."""
        for group, services in self.groups.items():
            if service in services:
                return group
        raise SettingError(f"no group of topology {self.name!r} runs a service called {service!r}")


def read_topology(name: str, stack: Stack) -> Topology:
    """Read a topology and hold it against the stack: every service in exactly one group, no unknown one."""
    text = (files("shop_stack.hosting") / "topology.toml").read_bytes()
    known = msgspec.toml.decode(text, type=dict[str, dict[str, list[str]]])
    if name not in known:
        raise SettingError(f"no topology is called {name!r}; there are: {', '.join(known)}")
    groups = {group: tuple(services) for group, services in known[name].items()}
    placed = [service for services in groups.values() for service in services]
    expected = [spec.name for spec in stack.services]
    if sorted(placed) != sorted(expected):
        odd = sorted(set(placed) ^ set(expected)) or sorted({s for s in placed if placed.count(s) > 1})
        raise SettingError(f"topology {name!r} must place each service of the stack once; look at: {', '.join(odd)}")
    return Topology(name=name, groups=groups)
