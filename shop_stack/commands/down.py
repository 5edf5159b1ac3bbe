"""`shopfloor down`: stop the stack that runs on a home."""

import argparse
import time

import psutil

from shop_stack.commands.frame import Subparsers, home_of, left_to_compose, parser_of
from shop_stack.errors import NotRunning, ShopfloorError
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.home_lock import holder

STOP_S = 60.0
_EXAMPLES = """  shopfloor down
  shopfloor down --home /tmp/shop"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser_of(subparsers, "down", "stop the stack; what it has stored stays in its home folder", _EXAMPLES, run)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once every process has left; 3 when nothing runs."""
    left_to_compose("docker compose down")
    home = home_of(arguments)
    pid = holder(home)
    if pid is None:
        raise NotRunning(f"nothing runs on {home.path}; start it with: shopfloor up --home {home.path}")
    SupervisorRuntime(home).stop()
    deadline = time.monotonic() + STOP_S
    while holder(home) == pid or _runs(pid):
        if time.monotonic() > deadline:
            raise ShopfloorError(f"the supervisor (pid {pid}) has not stopped within {STOP_S:g} s; look at: ps {pid}")
        time.sleep(0.05)
    print(f"stopped; everything is kept in {home.path}")
    return 0


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
