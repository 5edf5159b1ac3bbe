"""A hundred thousand events through a stack whose every process is killed three times: `python -m tests.soak.bounces`.

Shoppers order until the log holds that many events, while each replica and part in turn is killed with -9, three
times over. Afterwards the audit must be clean: nothing lost, nothing doubled.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from shop_stack.eventlog.opening import open_log
from shop_stack.settings import Home
from shop_stack.trials.chaos_faults import FAULTS
from shop_stack.trials.stand import Stand, prepared

_ORDERS_PER_S = 25


def events_on(stand: Stand) -> int:
    """Records on all topics of the shop."""
    with open_log(stand.settings) as log:
        return sum(sum(log.ends(topic)) for topic in log.topics() if topic.startswith("shop."))


def bounce(stand: Stand, times: int) -> int:
    """Kill every replica and part, one after another, so many times over; how many kills."""
    kills = 0
    for _ in range(times):
        for name in sorted(stand.pids(stand.runtime.observe())):
            now = stand.pids(stand.runtime.observe())
            if name in now:
                _kill(stand, name, now[name])
                kills += 1
                if stand.back_to_normal(60.0) is None:
                    raise SystemExit(f"not back to normal within a minute after the death of {name}")
    return kills


def _kill(stand: Stand, name: str, pid: int) -> None:
    """kill -9; nobody starts a supervisor anew but an operator's `up`."""
    if name == "supervisor":
        FAULTS["kill-supervisor"].inflict(stand, random.Random(0))
    else:
        stand.kill(pid)


def main() -> None:
    """Load, bounce, drain, audit; print JSON; exit code 1 unless every invariant holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--log", default="embedded:")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shopfloor-bounces-") as folder:
        stand = Stand(Home(Path(folder) / "home"), chosen.log)
        begun, kills, seed = time.monotonic(), 0, 1
        try:
            prepared(stand)
            while kills == 0 or events_on(stand) < chosen.events:
                with stand.load(_ORDERS_PER_S, 240.0, seed) as load:
                    if kills == 0:
                        kills = bounce(stand, chosen.times)
                    load.communicate(timeout=900)
                seed += 1
            quiet = stand.quiet(120.0)
            audit = stand.audit()
        finally:
            events = events_on(stand)
            stand.down()
    wrong = {found["name"]: found["status"] for found in audit["invariants"] if found["status"] not in ("ok",)}
    answer = {"events": events, "kills": kills, "quiet": quiet, "not_ok": wrong,
              "seconds": round(time.monotonic() - begun)}  # fmt: skip
    print(json.dumps(answer))
    sys.exit(0 if quiet and not wrong else 1)


if __name__ == "__main__":
    main()
