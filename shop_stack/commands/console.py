"""`shopfloor console`: the operators' screen in this terminal."""

import argparse
import os
import sys

from shop_stack.commands.frame import Subparsers, home_of, parser_of

_EXAMPLES = """  shopfloor console
  shopfloor console --home /tmp/shop --read-only"""


def add(subparsers: Subparsers) -> None:
    """Its arguments; the console itself explains those that it takes (`python -m console --help`)."""
    parser = parser_of(subparsers, "console", "watch and steer the stack from this terminal", _EXAMPLES, run)
    parser.add_argument("--read-only", action="store_true", help="bind no key that changes the stack")
    parser.add_argument("--role", choices=("operator", "viewer"), help="whose token to use (default: operator)")
    parser.add_argument("--theme", choices=("dark", "light", "terminal"), help="colours (default: dark)")
    parser.add_argument("--screenshot", metavar="FILE.svg", help="write a picture once there is data, and leave")
    parser.add_argument("--size", metavar="COLUMNSxLINES", help="of the picture (default: 120x36)")


def run(arguments: argparse.Namespace) -> int:
    """The console takes this process's place; it works while the stack is down and says so."""
    words = ["--home", str(home_of(arguments).path), *(["--read-only"] if arguments.read_only else [])]
    for name in ("role", "theme", "screenshot", "size"):
        given = getattr(arguments, name)
        words += [f"--{name}", given] if given else []
    os.execv(sys.executable, [sys.executable, "-m", "console", *words])
