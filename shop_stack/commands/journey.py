"""`shopfloor journey`: everything that happened to one order, in the order of cause."""

import argparse

from shop_stack.access import read_token
from shop_stack.commands.frame import Subparsers, home_of, parser_of, plain, print_json, takes_json
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import Journey
from shop_stack.settings import read_endpoints

_EXAMPLES = """  shopfloor journey 019ab0d2-7a0e-7c11-9d6d-0d9f5e0f6a11
  shopfloor journey 019ab0d2-7a0e-7c11-9d6d-0d9f5e0f6a11 --json"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "journey", "tell everything that happened to an order", _EXAMPLES, run)
    parser.add_argument("order_id")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; 5 for an order that is not known."""
    home = home_of(arguments)
    with OperationsClient(read_endpoints(home).operations, read_token(home)) as operations:
        journey = operations.journey(arguments.order_id)
    if arguments.json:
        print_json(journey)
    else:
        _tell(journey)
    return 0


def _tell(journey: Journey) -> None:
    print(f"order {plain(journey.order_id)} is {journey.state}")
    for step in journey.steps:
        print(f"  {step.after_ms:>10,.0f} ms  {plain(step.type):<42} {plain(step.source)}")
