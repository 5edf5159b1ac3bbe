"""`shopfloor dead-letters`: the records that services could not handle; try them again, or give them up."""

import argparse

from shop_stack.access import read_token
from shop_stack.commands.following import follow
from shop_stack.commands.frame import Subparsers, home_of, parser_of, plain, print_json, takes_json
from shop_stack.errors import ActionRefused
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import DeadLetterView, ReplayPreview, ReplayRequest
from shop_stack.settings import read_endpoints

PATIENCE_S = 600.0
_EXAMPLES = """  shopfloor dead-letters                                   what waits, and why
  shopfloor dead-letters replay                            a dry run: what would be tried, by reason
  shopfloor dead-letters replay --apply --reason "fixed in 1.4"
  shopfloor dead-letters replay --service orders --error "another version" --rate 10 --apply --reason upgraded
  shopfloor dead-letters discard --event ID --apply --reason unreadable"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    purpose = "show the records that services could not handle; replay or discard them"
    parser = parser_of(subparsers, "dead-letters", purpose, _EXAMPLES, run)
    parser.add_argument("what", nargs="?", choices=("list", "replay", "discard"), default="list")
    parser.add_argument("--service", default="", help="only those of this service")
    parser.add_argument("--topic", default="", help="only those of this topic")
    parser.add_argument("--aggregate", default="", help="only this aggregate, an order's id for example")
    parser.add_argument("--event", default="", metavar="ID", help="only this event")
    parser.add_argument("--error", default="", metavar="WORDS", help="only those whose error contains these words")
    parser.add_argument("--quarantined", action="store_true", help="also those that failed in three replays")
    parser.add_argument("--rate", type=float, default=50.0, metavar="N", help="at most so many a second (default 50)")
    parser.add_argument("--apply", action="store_true", help="do it; without this a dry run")
    parser.add_argument("--reason", default="", help="why; kept with the action")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once done; 1 when the replay broke off, 5 when refused."""
    home = home_of(arguments)
    token = read_token(home, "admin" if arguments.what == "discard" else "operator")
    with OperationsClient(read_endpoints(home).operations, token, timeout_s=30.0) as operations:
        if arguments.what == "list":
            return _list(operations.dead_letters(arguments.service, 1000), as_json=arguments.json)
        preview = operations.replay(_request(arguments))
        if preview.action_id is None:
            return _say_preview(preview, as_json=arguments.json)
        action = follow(operations, preview.action_id, ("applied", "failed"), PATIENCE_S)
    if arguments.json:
        print_json({"preview": preview, "action": action})
    elif action.state != "failed":
        print(f"{action.kind}: {plain(action.because or '')}; action {action.action_id}")
    if action.state == "failed":
        raise ActionRefused(plain(action.error or "it failed; see: shopfloor logs operations"))
    return 0


def _request(arguments: argparse.Namespace) -> ReplayRequest:
    return ReplayRequest(
        service=arguments.service,
        topic=arguments.topic,
        aggregate=arguments.aggregate,
        event_id=arguments.event,
        error=arguments.error,
        quarantined=arguments.quarantined,
        discard=arguments.what == "discard",
        rate_per_s=arguments.rate,
        dry_run=not arguments.apply,
        reason=arguments.reason,
    )


def _list(letters: list[DeadLetterView], *, as_json: bool) -> int:
    if as_json:
        print_json({"dead_letters": letters})
        return 0
    for letter in letters:
        mark = "  QUARANTINED" if letter.quarantined else ""
        print(
            f"{letter.service}  {plain(letter.topic)}  {plain(letter.aggregate)}  event {plain(letter.event_id)}{mark}"
        )
        print(f"    {plain(letter.error.splitlines()[0] if letter.error else 'no error kept')}")
        print(f"    tried {letter.attempts}, replayed {letter.replays}; {letter.events_behind} events wait behind it")
    print(f"{len(letters)} dead letters" if letters else "no dead letters: every event was handled")
    return 0


def _say_preview(preview: ReplayPreview, *, as_json: bool) -> int:
    if as_json:
        print_json({"preview": preview, "action": None})
        return 0
    print(f"{preview.dead_letters} dead letters would be tried, with {preview.events_behind} events behind them")
    width = max(map(len, preview.by_reason), default=0)
    most = max(preview.by_reason.values(), default=1)
    for reason, count in preview.by_reason.items():
        print(f"  {plain(reason):{width}}  {count:>6}  {'█' * max(1, round(30 * count / most))}")
    if preview.quarantined_left_out:
        print(f"  {preview.quarantined_left_out} quarantined ones are left out; add --quarantined to try them too")
    print("this was a dry run; add --apply --reason WHY to do it")
    return 0
