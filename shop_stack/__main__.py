"""The `shopfloor` command: reads which command is meant, runs it, and says errors in one sentence."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

from shop_stack.commands.frame import EXIT_CODES, exit_code, print_json
from shop_stack.errors import ShopfloorError

_COMMANDS = (
    "up",
    "down",
    "status",
    "console",
    "dashboard",
    "demo",
    "scale",
    "logs",
    "journey",
    "trace-event",
    "query",
    "customer",
    "analytics",
    "dead-letters",
    "audit",
    "stores",
    "load",
    "simulate",
    "import",
    "chaos",
)
_EXAMPLES = """examples:
  shopfloor up --demo                 the shop with a past, live shoppers and the dashboard
  shopfloor console                   watch and steer it from another terminal
  shopfloor scale orders 3 --reason "p95 above its objective"
  shopfloor down"""


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The command line of the command that `words` begin with; the whole one when they begin with none.

    A command's module is imported only when it is meant: the others would double the time that it takes to start.
    """
    root = argparse.ArgumentParser(
        prog="shopfloor",
        description="The operations console for an event-driven microservice shop, with the shop in the box.",
        epilog=f"{_EXAMPLES}\n\n{EXIT_CODES}\n\nenvironment: SHOPFLOOR_HOME names the home folder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in words[:1] if words and words[0] in _COMMANDS else _COMMANDS:
        import_module(f"shop_stack.commands.{command.replace('-', '_')}{'_' * iskeyword(command)}").add(subparsers)
    return root


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `shopfloor --help`)."""
    words = sys.argv[1:] if words is None else words
    wants_json = "--json" in words
    try:
        arguments = parser(words).parse_args(words)
        return int(arguments.run(arguments))
    except ShopfloorError as error:
        if wants_json:
            print_json({"error": type(error).__name__, "message": str(error)})
        print(f"shopfloor: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
