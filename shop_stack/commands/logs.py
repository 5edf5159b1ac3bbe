"""`shopfloor logs`: the last lines that a service's replicas, or another part, have written."""

import argparse

from shop_stack.commands.frame import Subparsers, asks_operations, home_of, parser_of, plain, print_json, takes_json
from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.settings import Home

_EXAMPLES = """  shopfloor logs orders
  shopfloor logs orders --replica orders-2 --lines 50
  shopfloor logs gateway               also: analytics, operations, provider, dashboard, shoppers, supervisor;
                                       on Compose prepare, engines and past too"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "logs", "show the last lines of a service's or part's log", _EXAMPLES, run)
    parser.add_argument("name", help="a service, or a part such as gateway")
    parser.add_argument("--replica", metavar="NAME", help="one replica only, such as orders-2")
    parser.add_argument("--lines", type=int, default=200, metavar="N", help="how many lines (default 200)")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; 5 for an unknown name."""
    home = home_of(arguments)
    lines = _lines(home, arguments.name, arguments.replica, max(1, arguments.lines))
    if arguments.json:
        print_json({"lines": lines})
    else:
        for line in lines:
            print(plain(line))
    return 0


def _lines(home: Home, name: str, replica: str | None, lines: int) -> list[str]:
    """From the supervisor, or from the files themselves when it does not run; in a container from operations."""
    if asks_operations(home):
        from shop_stack.commands.containers import operations_of

        with operations_of(home) as operations:
            return operations.logs(name, lines, replica=replica)
    runtime = SupervisorRuntime(home)
    try:
        groups = runtime.observe().groups
    except NotRunning:
        return _from_files(home, name, replica, lines)
    group = next((group.name for group in groups if name in group.services), name)
    return runtime.logs(group, replica, lines)


def _from_files(home: Home, name: str, replica: str | None, lines: int) -> list[str]:
    if not home.replica_logs.exists():
        raise NotRunning(f"nothing has run on {home.path}; start it with: shopfloor up --home {home.path}")
    kept = ReplicaLogs(home.replica_logs)
    names = [replica] if replica else (kept.names(name) or [name])
    found = kept.tail(names, lines)
    if not found:
        raise ActionRefused(f"there is no log of {name!r} in {home.replica_logs}; look there for the names there are")
    return found
