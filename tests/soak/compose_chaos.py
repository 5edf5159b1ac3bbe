"""Each fault that befalls containers, with several seeds, on one project: `python -m tests.soak.compose_chaos`.

Prints a line of JSON a run, as `shopfloor chaos --json` does; exit code 1 unless all ended well.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from shop_stack.trials.chaos import run
from tests.compose.project import UP_S, from_nothing
from tests.compose.stand import COMPOSE_FAULTS, ComposeStand


def main() -> int:
    """Start the project, give it every fault, take it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", default=",".join(COMPOSE_FAULTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=3.0, help="sessions a second, of which a third order")
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    well = True
    with from_nothing() as project, tempfile.TemporaryDirectory() as folder:
        project.compose("up", "-d", "--wait", timeout_s=UP_S)
        project.compose("stop", "shoppers")
        stand = ComposeStand.on(project, Path(folder))
        stand.quiet(300)
        for seed in range(1, chosen.seeds + 1):
            for name in chosen.faults.split(","):
                done = run(stand, COMPOSE_FAULTS[name], seed, chosen.rate, chosen.seconds)
                print(msgspec.json.encode(done).decode(), flush=True)
                well = well and done.verdict == "ok"
        stand.close()
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
