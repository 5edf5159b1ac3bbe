"""How many replicas each group shall have, kept over restarts of the supervisor."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from shop_stack.hosting.topology import Topology
from shop_stack.runtime.home_lock import write_whole
from shop_stack.settings import Home
from shop_stack.stack import Stack


class _Desired(msgspec.Struct):
    topology: str
    groups: dict[str, int]


def read_desired(home: Home, topology: Topology, stack: Stack) -> dict[str, int]:
    """The kept counts of this topology's groups, within today's bounds; what is not kept starts at its least.

    A group kept at 0 starts at 0: an operator has asked for that.
    """
    kept = _read(_path(home))
    counts = kept.groups if kept is not None and kept.topology == topology.name else {}
    desired = {}
    for group, services in topology.groups.items():
        least = max(1, *(stack.service(name).min_replicas for name in services))
        most = min(stack.service(name).max_replicas for name in services)
        desired[group] = min(most, counts.get(group, least))
    return desired


def write_desired(home: Home, topology: Topology, counts: Mapping[str, int]) -> None:
    """Keep the counts, by rename."""
    write_whole(_path(home), msgspec.json.encode(_Desired(topology.name, dict(counts))))


def _path(home: Home) -> Path:
    return home.path / "desired.json"


def _read(path: Path) -> _Desired | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Desired)
    except (OSError, msgspec.MsgspecError):
        return None
