"""How many schedules it takes to catch each seeded bug, and what it breaks: `python -m tests.mutations.table`.

Prints the table, or JSON lines; exit code 1 when a bug is not caught.
"""

import argparse
import sys
from collections.abc import Iterable

import msgspec
import pytest

from shop_stack.trials.plan import draw
from shop_stack.trials.shop import shelf
from shop_stack.trials.simulation import run
from tests.mutations import bugs_of_delivery, bugs_of_services
from tests.mutations.bugs import BUGS

FIRST_SEED = 1
MOST_SCHEDULES = 150
ENTERED_BY = (bugs_of_delivery, bugs_of_services)
_MOST_NAMED = 3


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """One bug: the schedules until it was caught (0: it was not), and the invariants that it broke in the last one."""

    bug: str
    schedules: int
    broken: list[str]


def hunt(name: str, most: int = MOST_SCHEDULES) -> Hunt:
    """Seed the bug and run schedules until the books do not balance."""
    shelf()
    try:
        with pytest.MonkeyPatch.context() as patch:
            BUGS[name](patch)
            schedules, broken = until_caught(most)
    finally:
        shelf().stores["inventory"].kept().driver.execute("PRAGMA ignore_check_constraints=OFF")
    return Hunt(bug=name, schedules=schedules, broken=broken)


def until_caught(most: int) -> tuple[int, list[str]]:
    """How many schedules it takes until the books do not balance, and what is broken then; the auditor's first."""
    for schedules in range(1, most + 1):
        outcome = run(draw(FIRST_SEED + schedules - 1))
        if outcome.violations:
            return schedules, list(dict.fromkeys(violation.invariant for violation in outcome.violations))
    return 0, []


def written(hunts: Iterable[Hunt]) -> str:
    """The table in Markdown."""
    lines = ["| Bug | Schedules until caught | By |", "|---|---:|---|"]
    lines += [f"| {one.bug} | {one.schedules or 'not caught'} | {_named(one.broken)} |" for one in hunts]
    return "\n".join(lines)


def _named(broken: list[str]) -> str:
    more = f" and {len(broken) - _MOST_NAMED} more" if len(broken) > _MOST_NAMED else ""
    return ", ".join(broken[:_MOST_NAMED]) + more


def main() -> int:
    """Hunt all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations.table", description=__doc__)
    parser.add_argument("--most", type=int, default=MOST_SCHEDULES, help="schedules a bug at most (default 150)")
    parser.add_argument("--json", action="store_true", help="a line of JSON a bug instead of the table")
    arguments = parser.parse_args()
    hunts = [hunt(name, arguments.most) for name in BUGS]
    if arguments.json:
        print(msgspec.json.Encoder().encode_lines(hunts).decode(), end="")
    else:
        print(written(hunts))
        print(f"\n{sum(one.schedules > 0 for one in hunts)} of {len(hunts)} bugs are caught.")
    return 0 if all(one.schedules for one in hunts) else 1


if __name__ == "__main__":
    sys.exit(main())
