"""The `shopfloor` command: reads which command is meant, runs it, and says errors in one sentence."""

import argparse
import os
import sys
from collections.abc import Sequence

from shop_stack.commands import (
    console,
    dashboard,
    demo,
    down,
    import_,
    journey,
    load,
    logs,
    scale,
    status,
    up,
)
from shop_stack.commands.frame import EXIT_CODES, exit_code, print_json
from shop_stack.errors import ShopfloorError

_COMMANDS = (up, down, status, console, dashboard, demo, scale, logs, journey, load, import_)
_EXAMPLES = """examples:
  shopfloor up --demo                 the shop with a past, live shoppers and the dashboard
  shopfloor console                   watch and steer it from another terminal
  shopfloor scale orders 3 --reason "p95 above its objective"
  shopfloor down"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = argparse.ArgumentParser(
        prog="shopfloor",
        description="The operations console for an event-driven microservice shop, with the shop in the box.",
        epilog=f"{_EXAMPLES}\n\n{EXIT_CODES}\n\nenvironment: SHOPFLOOR_HOME names the home folder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(subparsers)
    return root


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `shopfloor --help`)."""
    wants_json = "--json" in (sys.argv if words is None else words)
    try:
        arguments = parser().parse_args(words)
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
