"""`shopfloor analytics`: makes the warehouse again from what is kept of the log."""

import argparse
import os
import subprocess
import sys
from typing import Any

import msgspec

from shop_stack.commands.frame import Subparsers, home_of, parser_of, plain, print_json, running_settings, takes_json
from shop_stack.errors import NotRunning, ShopfloorError
from shop_stack.runtime.home_lock import HomeLock
from shop_stack.settings import Home, Settings, settings_from, to_environment

_EXAMPLES = """  shopfloor down && shopfloor analytics rebuild && shopfloor up
  shopfloor analytics rebuild --accept-differences    keep the new warehouse although it differs from the old one

`rebuild` works on a stopped stack. It makes a second warehouse beside the first, compares the two (records of every
partition, positions, sums of every mart) and swaps the new one in only when nothing differs; broken off at any moment
it has changed nothing, and begins again the next time."""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "analytics", "tend the warehouse: make it again from the log", _EXAMPLES, run)
    parser.add_argument("what", choices=("rebuild",))
    differs = "swap the new warehouse in even if it differs from the old one"
    parser.add_argument("--accept-differences", action="store_true", help=differs)
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once the new warehouse is in place, 1 when it differs or cannot be made, 4 while the stack runs."""
    home = home_of(arguments)
    settings = _settings(home)
    lock = HomeLock(home)
    lock.take()
    try:
        done = _run("analytics.rebuilding", ["--accept-differences"] * arguments.accept_differences, settings)
    finally:
        lock.release()
    if arguments.json:
        print_json(done)
    else:
        _show(done)
    return 0 if done["swapped"] else 1


def _settings(home: Home) -> Settings:
    try:
        return running_settings(home)
    except NotRunning:
        if not home.log.exists():
            raise
        return settings_from({"home": home.path})


def _run(module: str, words: list[str], settings: Settings) -> dict[str, Any]:
    """What a program of analytics answers, in a process of its own that ends with this one."""
    environment = os.environ | to_environment(settings)
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        said, complained = child.stdout.read(), child.stderr.read()
    if child.returncode != 0:
        lines = complained.decode(errors="replace").strip().splitlines()
        raise ShopfloorError(lines[-1] if lines else f"{module} ended with {child.returncode}")
    answer: dict[str, Any] = msgspec.json.decode(said)
    return answer


def _show(done: dict[str, Any]) -> None:
    for difference in done["differences"]:
        print(plain(difference))
    held = done["compared"] or ("it differs from the old one" if done["differences"] else "it equals the old one")
    kept = "it is in place" if done["swapped"] else "the old one stays (swap it in with --accept-differences)"
    print(f"a warehouse of {done['records']:,} records was made: {plain(held)}; {kept}")
