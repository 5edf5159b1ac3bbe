"""`shopfloor load`: simulated shoppers against the running stack, open-loop and seeded, and what became of them."""

import argparse
import re

from shop_stack.commands.frame import Subparsers, home_of, parser_of, print_json, takes_json
from shop_stack.errors import SettingError

DRAIN_S = 90.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_EXAMPLES = """  shopfloor load --rate 20 --for 30s --seed 1
  shopfloor load --rate 20 --for 30s --think 0.1 --conversion 0.3 --json
  shopfloor load --rate 10 --for 1m --orders-only --json"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "load", "send simulated shoppers and count what became of them", _EXAMPLES, run)
    parser.add_argument("--rate", type=float, required=True, metavar="N", help="sessions (or orders) a second")
    parser.add_argument(
        "--for", dest="seconds", type=seconds_of, default=30.0, metavar="30s", help="how long they arrive"
    )
    parser.add_argument(
        "--drain", type=seconds_of, default=DRAIN_S, metavar="90s", help="how long orders may take to end after that"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the same seed sends the same shoppers")
    parser.add_argument("--think", type=float, default=1.0, metavar="X", help="scales think times (default 1)")
    parser.add_argument("--conversion", type=float, metavar="C", help="share of sessions that order, 0 to 1")
    parser.add_argument("--orders-only", action="store_true", help="orders alone, without browsing")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when no request failed, else 1."""
    from shop_stack.traffic.load import run_load

    report = run_load(
        home_of(arguments),
        rate=arguments.rate,
        seconds=arguments.seconds,
        seed=arguments.seed,
        think=arguments.think,
        conversion=arguments.conversion,
        orders_only=arguments.orders_only,
        drain_s=arguments.drain,
    )
    if arguments.json:
        print_json(report)
    else:
        for name in report.__struct_fields__:
            value = getattr(report, name)
            print(
                f"{name.replace('_', ' '):<18} {value:,.1f}"
                if isinstance(value, float)
                else f"{name.replace('_', ' '):<18} {value}"
            )
    return 1 if report.failed_requests else 0


def seconds_of(text: str) -> float:
    """`30`, `30s`, `2m` or `1h` as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) <= 0:
        raise SettingError(f"--for {text!r} is not a time such as 30s or 2m")
    return float(match[1]) * _UNITS[match[2]]
