"""`shopfloor status`: every service and part of the running stack, for a person or a program."""

import argparse
from typing import Any

import msgspec
import psutil

from shop_stack.commands.frame import (
    Subparsers,
    asks_operations,
    home_of,
    left_to_compose,
    parser_of,
    plain,
    print_json,
    takes_json,
)
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.interface import Group, Observation
from shop_stack.settings import Home, read_endpoints

_EXAMPLES = """  shopfloor status
  shopfloor status --json | jq .ready
  shopfloor status --memory            with the proportional memory (PSS) of every process"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "status", "show every service and part of the running stack", _EXAMPLES, run)
    parser.add_argument("--memory", action="store_true", help="measure proportional memory (PSS), shared pages divided")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when everything is ready, 1 when something is not, 3 when nothing runs."""
    home = home_of(arguments)
    answer = _by_operations(home, arguments) if asks_operations(home) else _by_runtime(home, arguments)
    if arguments.json:
        print_json(answer)
    else:
        _show(answer)
    return 0 if answer["ready"] else 1


def _by_runtime(home: Home, arguments: argparse.Namespace) -> dict[str, Any]:
    observation = SupervisorRuntime(home).observe()
    memory = {"memory": proportional_memory(observation)} if arguments.memory else {}
    return summary(home, observation) | memory


def _by_operations(home: Home, arguments: argparse.Namespace) -> dict[str, Any]:
    from shop_stack.commands import containers

    if arguments.memory:
        left_to_compose("docker stats")
    with containers.operations_of(home) as operations:
        return containers.summary(home, operations.stack())


def summary(home: Home, observation: Observation) -> dict[str, Any]:
    """The state as programs read it: `ready` counts replicas within a service, and is yes or no for the stack."""
    endpoints = read_endpoints(home)
    services = [_service(name, group) for group in observation.groups for name in group.services]
    return {
        "ready": observation.ready,
        "address": endpoints.gateway,
        "home": str(home.path),
        "addresses": msgspec.to_builtins(endpoints),
        "services": services,
        "parts": [msgspec.to_builtins(part) for part in observation.parts],
    }


def _service(name: str, group: Group) -> dict[str, Any]:
    return {
        "name": name,
        "group": group.name,
        "ready": sum(replica.state == "ready" for replica in group.replicas),
        "desired": group.desired,
        "replicas": [msgspec.to_builtins(replica) for replica in group.replicas],
    }


def proportional_memory(observation: Observation) -> dict[str, Any]:
    """PSS in bytes of every process, children included, and their sum."""
    named = {part.name: part.pid for part in observation.parts if part.pid}
    named |= {replica.name: replica.pid for group in observation.groups for replica in group.replicas if replica.pid}
    own = {name: _pss(pid, [other for other in named.values() if other != pid]) for name, pid in named.items()}
    return {"pss_bytes": own, "total_pss_bytes": sum(own.values())}


def _pss(pid: int, apart: list[int]) -> int:
    """A process with those children that are not listed by themselves."""
    try:
        process = psutil.Process(pid)
        family = [process, *(child for child in process.children() if child.pid not in apart)]
        return sum(int(member.memory_full_info().pss) for member in family)
    except psutil.Error:
        return 0


def _show(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("service", no_wrap=True, min_width=15)
    table.add_column("ready", no_wrap=True, min_width=8)
    table.add_column("replicas")
    for service in answer["services"]:
        replicas = ", ".join(_words(one) for one in service["replicas"])
        count = Text(f"{service['ready']}/{service['desired']}")
        table.add_row(Text(service["name"]), count, Text(replicas or "none"))
    for part in answer["parts"]:
        table.add_row(Text(part["name"], style="dim"), Text(part["state"]), Text(_where(part)))
    console = Console()
    console.print(table)
    for one in [*(replica for service in answer["services"] for replica in service["replicas"]), *answer["parts"]]:
        if one["note"]:
            console.print(Text(f"{one['name']}: {plain(one['note'])}", style="yellow"))
    if "memory" in answer:
        console.print(Text(f"memory {answer['memory']['total_pss_bytes'] / 1e6:,.0f} MB (PSS, shared pages divided)"))
    console.print(Text(f"{'ready' if answer['ready'] else 'not ready'} at {answer['address']}"))


def _words(replica: dict[str, Any]) -> str:
    return f"{replica['name']} {replica['state']}{' ' * bool(replica['pid'])}{replica['pid'] or ''}"


def _where(part: dict[str, Any]) -> str:
    """Its address and process; a process in a container has no pid here."""
    running = part["pid"] or ("" if part["state"] == "ready" else "not running")
    return f"{part['address'] or ''} {running}".strip()
