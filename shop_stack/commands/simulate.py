"""`shopfloor simulate`: seeded schedules of the real handlers under faults, and whether the books balance."""

import argparse
import sys

from shop_stack.commands.frame import Subparsers, parser_of, print_json, takes_json
from shop_stack.errors import SettingError

_EXAMPLES = """  shopfloor simulate --schedules 300
  shopfloor simulate --schedules 20000 --seed 1 --json
  shopfloor simulate --schedules 1 --seed 4711        one schedule; a failing one tells its shortest story"""

MOST_SCHEDULES = 1_000_000


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "simulate", "simulate the shop under faults and audit its books", _EXAMPLES, run)
    parser.add_argument("--schedules", type=int, default=300, metavar="N", help="how many (default 300)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first schedule's; each takes the next")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when no invariant was violated, else 1."""
    from shop_stack.trials.schedules import simulate, stories

    if not 1 <= arguments.schedules <= MOST_SCHEDULES:
        raise SettingError(f"--schedules {arguments.schedules}: give a number from 1 to {MOST_SCHEDULES}")
    if arguments.seed < 0:
        raise SettingError(f"--seed {arguments.seed}: give a number from 0 on")
    report = simulate(arguments.schedules, arguments.seed, _tell if sys.stderr.isatty() else lambda *_: None)
    for story in stories(report):
        print(story, file=sys.stderr)
    if arguments.json:
        print_json(report)
    else:
        for name in report.__struct_fields__:
            value = getattr(report, name)
            print(f"{name.replace('_', ' '):<12} {_words(value)}")
    return 1 if report.violations else 0


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, list):
        return "; ".join(f"seed {one.seed}: {one.invariant}" for one in value[:20]) or "none"
    return str(value)


def _tell(done: int, failed: int) -> None:
    print(f"\r{done} schedules, {failed} failed ", end="", file=sys.stderr, flush=True)
