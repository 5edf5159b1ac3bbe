"""`shopfloor scale`: change how many replicas a service has, with the promise before and the verdict after."""

import argparse
import getpass
import time

from shop_stack.access import read_token
from shop_stack.commands.following import follow
from shop_stack.commands.frame import Subparsers, home_of, parser_of, print_json, takes_json
from shop_stack.errors import ActionRefused
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import ActionView, Expectation
from shop_stack.settings import read_endpoints

APPLY_S = 120.0
VERDICT_S = 150.0
_EXAMPLES = """  shopfloor scale orders 3 --reason "p95 above its objective"
  shopfloor scale orders 3 --verdict     wait a minute more and say whether it helped
  shopfloor scale payments 0 --yes       0 replicas need this second confirmation
  shopfloor scale orders 1 --force       again, although it was scaled only seconds ago"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "scale", "change how many replicas a service has", _EXAMPLES, run)
    parser.add_argument("service")
    parser.add_argument("replicas", type=int)
    parser.add_argument("--reason", help="kept with the action (default: by hand, by your user name)")
    parser.add_argument("--yes", action="store_true", help="confirm 0 replicas")
    parser.add_argument("--force", action="store_true", help="do not wait out the rest after the last scaling")
    parser.add_argument("--verdict", action="store_true", help="wait for the measured effect")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once applied; 1 when it failed, 5 when refused."""
    home = home_of(arguments)
    reason = arguments.reason or f"by hand, by {getpass.getuser()}"
    with OperationsClient(read_endpoints(home).operations, read_token(home)) as operations:
        promise = _rested(operations, arguments)
        if not arguments.json:
            print(promise.words)
        action_id = operations.scale(
            arguments.service, arguments.replicas, reason, confirm_zero=arguments.yes, force=arguments.force
        )
        action = follow(operations, action_id, ("applied", "measured", "failed"), APPLY_S)
        if arguments.verdict and action.state == "applied":
            action = follow(operations, action_id, ("measured", "failed"), VERDICT_S)
    if arguments.json:
        print_json(action)
    return _say(action, quiet=arguments.json)


def _rested(operations: OperationsClient, arguments: argparse.Namespace) -> Expectation:
    """The promise, once the service may be scaled again: a scaling just now is given its time to show an effect."""
    deadline = time.monotonic() + APPLY_S
    promise = operations.expectation(arguments.service, arguments.replicas)
    while promise.rests_s > 0 and not arguments.force and time.monotonic() < deadline:
        if not arguments.json:
            print(f"{arguments.service} was scaled just now; going on in {promise.rests_s:.0f} s (--force: at once)")
        time.sleep(promise.rests_s)
        promise = operations.expectation(arguments.service, arguments.replicas)
    return promise


def _say(action: ActionView, *, quiet: bool) -> int:
    if action.state == "failed":
        raise ActionRefused(action.error or "the action failed; see: shopfloor logs operations")
    if not quiet:
        print(f"{action.group} has {action.replicas} replicas (it had {action.previous}); action {action.action_id}")
        if action.verdict is not None:
            print(f"{action.verdict.replace('_', ' ')}: {action.because}")
    return 0
