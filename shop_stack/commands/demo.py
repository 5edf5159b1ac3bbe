"""`shopfloor demo`: play a story on the running demo, or put everything back."""

import argparse

from shop_stack.commands.frame import Subparsers, home_of, parser_of, print_json, running_settings, takes_json

STORIES = ("peak", "outage", "slow-payments", "lost-answers", "reset")
_EXAMPLES = """  shopfloor demo peak            more shoppers than the shop is used to
  shopfloor demo outage          a service has gone
  shopfloor demo slow-payments   the payment provider takes its time
  shopfloor demo lost-answers    the payment provider acts, and half of its answers are lost
  shopfloor demo reset           everything as it was"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "demo", "play a story on the running demo", _EXAMPLES, run)
    parser.add_argument("story", choices=STORIES)
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once the story has begun."""
    from shop_stack.stack import read_stack
    from shop_stack.traffic.stories import play

    home = home_of(arguments)
    said = play(home, read_stack(running_settings(home).stack_file), arguments.story)
    if arguments.json:
        print_json({"story": arguments.story, "said": said})
    else:
        print(said)
    return 0
