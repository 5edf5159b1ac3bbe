"""`shopfloor console`: the operators' screen in this terminal."""

import argparse
import os
import sys

from shop_stack.commands.frame import Subparsers, home_of, parser_of

_EXAMPLES = """  shopfloor console
  shopfloor console --home /tmp/shop"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser_of(subparsers, "console", "watch and steer the stack from this terminal", _EXAMPLES, run)


def run(arguments: argparse.Namespace) -> int:
    """The console takes this process's place; it works while the stack is down and says so."""
    environment = os.environ | {"SHOPFLOOR_HOME": str(home_of(arguments).path)}
    os.execve(sys.executable, [sys.executable, "-m", "console"], environment)
