"""`shopfloor chaos`: a stack of its own, loaded and wounded by a seed, then drained and audited."""

import argparse
import random
import tempfile
from pathlib import Path

from shop_stack.commands.frame import Subparsers, left_to_compose, parser_of, plain, print_json, takes_json
from shop_stack.commands.load import seconds_of
from shop_stack.errors import SettingError

_EXAMPLES = """  shopfloor chaos --seed 1 --for 60s                three faults drawn by the seed, 20 s of load each
  shopfloor chaos --fault kill-replica --fault torn-log --seeds 3
  shopfloor chaos --list                            the faults by name
  shopfloor chaos --fault all --seeds 3 --keep runs.jsonl      goes on where it was broken off"""
_EACH_S = 20.0


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    purpose = "wound a stack under load, then audit its books"
    parser = parser_of(subparsers, "chaos", purpose, _EXAMPLES, run)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="draws faults, moments and victims")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="so many seeds, from --seed on")
    parser.add_argument("--for", dest="seconds", type=seconds_of, default=60.0, metavar="60s",
                        help="load in all, 20 s for each fault that the seed draws")  # fmt: skip
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="this fault; `all` for each")
    parser.add_argument("--rate", type=float, default=5.0, metavar="N", help="sessions a second (default 5)")
    parser.add_argument("--log", default="embedded:", metavar="URL", help="`embedded:` or `kafka://HOST:PORT`")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="append each run here, and skip those that lie there")
    parser.add_argument("--list", action="store_true", help="show the faults and leave")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when every run ended well and its books balance, else 1."""
    from shop_stack.settings import Home
    from shop_stack.trials.chaos import Run, table
    from shop_stack.trials.chaos_faults import FAULTS
    from shop_stack.trials.stand import Stand, prepared

    if arguments.list:
        for fault in FAULTS.values():
            print(f"{fault.name:<18} {fault.what}")
        return 0
    left_to_compose("shopfloor chaos    (it starts a stack of its own)")
    faults, seeds = _chosen(arguments, list(FAULTS))

    def say(done: Run) -> None:
        if not arguments.json:
            print(_line(done), flush=True)

    with tempfile.TemporaryDirectory(prefix="shopfloor-chaos-") as folder:
        home = Home(Path(arguments.home).expanduser().resolve() if arguments.home else Path(folder) / "home")
        stand = Stand(home, arguments.log)
        try:
            found = table(prepared(stand), faults, seeds, arguments.keep, say, arguments.rate)
        finally:
            stand.down()
    good = all(done.verdict in ("ok", "skipped") for done in found)
    if arguments.json:
        print_json({"ok": good, "runs": found})
    return 0 if good else 1


def _chosen(arguments: argparse.Namespace, known: list[str]) -> tuple[list[str], range]:
    seeds = range(arguments.seed, arguments.seed + max(1, arguments.seeds))
    if arguments.fault == ["all"]:
        return known, seeds
    unknown = [name for name in arguments.fault if name not in known]
    if unknown:
        raise SettingError(f"no fault is called {unknown[0]!r}; see them with: shopfloor chaos --list")
    if arguments.fault:
        return arguments.fault, seeds
    drawn = [name for name in known if not name.startswith(("broker", "disk", "none"))]
    return random.Random(arguments.seed).choices(drawn, k=max(1, round(arguments.seconds / _EACH_S))), seeds


def _line(done: object) -> str:
    from shop_stack.trials.chaos import Run

    assert isinstance(done, Run)
    normal = "never" if done.back_to_normal_s is None else f"{done.back_to_normal_s:.1f} s"
    told = (
        f"{done.fault:<16} seed {done.seed:<3} {done.verdict:<9} normal after {normal:>7}  "
        f"{done.requests} requests, {done.failed_requests} failed; orders {done.orders.get('placed', 0)} placed, "
        f"{done.orders.get('completed', 0)} completed; {done.dead_letters} dead letters; audit {done.audit_s} s"
    )
    return told + (f"\n    {plain(done.because)}" if done.because else "")
