"""The bar of coverage: `python -m tests.coverage_bar REPORT.json` prints a table, and fails below the bar."""

import json
import sys
from fnmatch import fnmatch
from pathlib import Path

BAR = 95.0
"""Percent of each module's statements and branches together, and of its branches alone."""
MODULES = (
    "shop_stack/eventlog/delivery.py",
    "shop_stack/eventlog/relay.py",
    "shop_stack/eventlog/inbox.py",
    "shop_stack/eventlog/outbox.py",
    "shop_stack/eventlog/idempotency.py",
    "shop_stack/eventlog/dead_letters.py",
    "shop_stack/eventlog/arrivals.py",
    "shop_stack/services/orders/rules.py",
    "analytics/ingest.py",
    "analytics/batches.py",
    "analytics/repeats.py",
    "analytics/positions.py",
    "analytics/linger.py",
    "shop_stack/operations/audit*.py",
)


def main(report: Path) -> int:
    """Print module, statements, branches, percent and the lines that were missed; 1 when one is below the bar."""
    files = json.loads(report.read_bytes())["files"]
    below = [module for module in MODULES if not any(fnmatch(name, module) for name in files)]
    print("| Module | Statements | Branches | Branches taken | Covered | Lines missed |\n| --- " + "| --- " * 5 + "|")
    for name, of in sorted(files.items()):
        if any(fnmatch(name, module) for module in MODULES):
            said = of["summary"]
            branches = 100 * said["covered_branches"] / max(1, said["num_branches"])
            below += [name] if (said["num_branches"] and branches < BAR) or said["percent_covered"] < BAR else []
            print(
                f"| {name} | {said['num_statements']} | {said['num_branches']} | {said['covered_branches']} "
                f"| {said['percent_covered']:.1f}% | {', '.join(map(str, of['missing_lines'])) or '-'} |"
            )
    if below:
        print(f"below {BAR:g}%, or not there: {', '.join(below)}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
