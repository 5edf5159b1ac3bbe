"""What operations said of a group slowed by hand, against what then happened: `python -m tests.benchmarks.lag`.

A trial: orders come at a steady rate; one replica is stopped and let run in turn (SIGSTOP, SIGCONT), first so that it
falls behind, then so that it catches up slowly, until nothing waits any more. Twice a second operations is asked, and
the log itself for the truth. Judged are the seconds behind against the age of the oldest unprocessed record at that
moment, and each estimate of the drain against the time that it took from then on. The turn is the moment of the largest
backlog: what is committed by the poll goes on growing after the replica was let run, and does not drain before.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import msgspec

from shop_stack.access import read_token
from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.interface import EventLog
from shop_stack.eventlog.opening import open_log
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import GroupLag
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.settings import Home, Settings, read_endpoints
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.history import add_products
from tests.benchmarks.orders import SHOPFLOOR, down, shopfloor

_SLOW_CYCLE_S, _EASE_CYCLE_S = 3.0, 0.5
_ASK_S = 0.5
_CAUGHT_UP_S = 1.0
_LEAST_LEFT_S = 3.0  # estimates of less are within a look of the end and are not judged
_GIVE_UP_S = 120.0


@dataclass
class Seen:
    """One moment: what operations said, and the truth. `at` is seconds since 1970."""

    at: float
    said: GroupLag
    behind: int
    oldest_s: float


@dataclass
class Trial:
    """Everything seen, when the replica was let run more, and when nothing waited any more."""

    seen: list[Seen] = field(default_factory=list)
    eased_at: float = 0.0
    done_at: float | None = None


@contextmanager
def orders_at(home: Home, rate: float, seed: int) -> Iterator[None]:
    """Orders at a steady rate while the block lasts."""
    line = [SHOPFLOOR, "load", "--home", str(home.path), "--rate", str(rate), "--for", "600s", "--seed", str(seed),
            "--orders-only", "--json"]  # fmt: skip
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


class Hindrance:
    """Lets a process run for `share` of each cycle, on a thread of its own; 1 lets it run freely."""

    def __init__(self, pid: int) -> None:
        self.share = 1.0
        self.cycle_s = _EASE_CYCLE_S
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Hindrance":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)

    def _run(self) -> None:
        while not self._over.is_set():
            share, cycle_s = self.share, self.cycle_s
            if share < 1:
                os.kill(self._pid, signal.SIGSTOP)
                self._over.wait(cycle_s * (1 - share))
            os.kill(self._pid, signal.SIGCONT)
            self._over.wait(cycle_s * share)


def truth(log: EventLog, group: str) -> tuple[int, float]:
    """Records behind and the age of the oldest in seconds, asked of the log at this moment."""
    backlogs = {where: one for where, one in log.backlogs()[group].items() if one.records}
    oldest = [r.appended_ms for (t, n), one in backlogs.items() for r in log.read(t, n, one.position, 1)]
    age = max(0.0, time.time() - min(oldest) / 1000) if oldest else 0.0
    return sum(one.records for one in backlogs.values()), age


def run(home: Home, log: EventLog, chosen: argparse.Namespace, seed: int, ease: float) -> Trial:
    """One trial; `done_at` stays None when the replica did not catch up in two minutes."""
    group = next(g for g in SupervisorRuntime(home).observe().groups if g.name == chosen.service)
    client = OperationsClient(read_endpoints(home).operations, read_token(home, "viewer"))
    trial, begun = Trial(), time.time()
    with client, orders_at(home, chosen.rate, seed), Hindrance(group.replicas[0].pid) as hindrance:
        time.sleep(chosen.before)  # the load alone
        hindrance.share, hindrance.cycle_s = chosen.slow, _SLOW_CYCLE_S
        while trial.done_at is None and time.time() - begun < chosen.before + chosen.slow_s + _GIVE_UP_S:
            time.sleep(_ASK_S)
            view = next(view for view in client.stack().services if view.name == chosen.service)
            behind, oldest_s = truth(log, chosen.service)
            now = time.time()
            if view.behind is not None:
                trial.seen.append(Seen(now, view.behind, behind, oldest_s))
            if not trial.eased_at and now - begun > chosen.before + chosen.slow_s:
                hindrance.share, hindrance.cycle_s, trial.eased_at = ease, _EASE_CYCLE_S, now
            if trial.eased_at and caught_up(trial.seen):
                trial.done_at = now
    return trial


def caught_up(seen: Sequence[Seen]) -> bool:
    """Whether nothing waits any more: the oldest is younger than a second, or came after the last poll but one.

    A poll takes all that there is, up to its most, and commits at its end: then what came meanwhile is left, as old as
    the poll was long. Its end is a moment with less behind than at the moment before.
    """
    ends = [later.at for sooner, later in pairwise(seen) if later.behind < sooner.behind]
    poll_s = ends[-1] - ends[-2] if len(ends) > 1 and ends[-1] == seen[-1].at else 0.0
    return bool(seen) and seen[-1].oldest_s < max(_CAUGHT_UP_S, poll_s)


def judged(trial: Trial) -> dict[str, Any]:
    """A trial in figures: errors in seconds and as shares of what came."""
    late = [one for one in trial.seen if one.oldest_s >= _CAUGHT_UP_S]
    off = [abs(one.said.seconds - one.oldest_s) for one in late]
    slowed = [one for one in late if one.at <= trial.eased_at and one.said.drain.state != "unknown"]
    found: dict[str, Any] = {
        "most_behind": max((one.behind for one in trial.seen), default=0),
        "most_seconds": round(max((one.oldest_s for one in trial.seen), default=0.0), 1),
        "most_orders_waiting": max((one.said.orders_waiting for one in trial.seen), default=0),
        "seconds_off_median": round(statistics.median(off), 2) if off else None,
        "seconds_off_max": round(max(off), 2) if off else None,
        "said_does_not_drain_while_slowed": round(
            sum(one.said.drain.state == "does_not_drain" for one in slowed) / len(slowed), 2) if slowed else None,
    }  # fmt: skip
    if trial.done_at is None:
        return found | {"drained_s": None}
    return found | {"drained_s": round(trial.done_at - trial.eased_at, 1)} | _drains(trial, trial.done_at)


def _drains(trial: Trial, done_at: float) -> dict[str, Any]:
    easing = [one for one in trial.seen if one.at > trial.eased_at and done_at - one.at >= _LEAST_LEFT_S]
    known = [one for one in easing if one.said.drain.seconds is not None]
    errors, within = [], 0
    for one in known:
        drain, left = one.said.drain, done_at - one.at
        assert drain.seconds is not None
        assert drain.low_s is not None
        errors.append((drain.seconds - left) / left)
        within += drain.low_s - _ASK_S <= left and (drain.high_s is None or left <= drain.high_s + _ASK_S)
    turned_at = max(trial.seen, key=lambda one: one.behind).at
    after = [one for one in easing if one.at > turned_at]
    return {
        "turned_after_s": round(turned_at - trial.eased_at, 1),
        "moments_after_turn": len(after),
        "estimates_after_turn": sum(one.said.drain.seconds is not None for one in after),
        "first_estimate_after_turn_s": round(known[0].at - turned_at, 1) if known else None,
        "error_median": round(statistics.median(errors), 2) if errors else None,
        "error_abs_median": round(statistics.median(map(abs, errors)), 2) if errors else None,
        "within_80_percent_interval": round(within / len(known), 2) if known else None,
        "without_upper_end": sum(one.said.drain.high_s is None for one in known),
    }  # fmt: skip


def keep(trial: Trial, path: Path) -> None:
    """Append what was seen to a file, seconds counted from the moment of easing."""
    with path.open("ab") as file:
        for one in trial.seen:
            said = msgspec.structs.replace(one.said, partitions=[])
            row = {
                "at": round(one.at - trial.eased_at, 2),
                "behind": one.behind,
                "oldest_s": one.oldest_s,
                "said": said,
            }
            file.write(msgspec.json.encode(row) + b"\n")


def quiet(log: EventLog, group: str) -> None:
    """Wait until the group has worked everything off."""
    ends = time.monotonic() + 120
    while truth(log, group)[0] and time.monotonic() < ends:
        time.sleep(0.5)


def main() -> None:
    """Start a stack on a temporary home, run the trials, print a line of JSON for each, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--log", default="embedded:")
    parser.add_argument("--service", default="payments")
    parser.add_argument("--rate", type=float, default=20, help="orders a second")
    parser.add_argument("--before", type=float, default=10, help="seconds of the load alone")
    parser.add_argument("--slow", type=float, default=0.002, help="share of its time while it falls behind")
    parser.add_argument("--slow-s", type=float, default=40, dest="slow_s")
    parser.add_argument("--eases", default="0.05,0.07,0.06", help="its shares while it catches up, in turn")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="append every moment of each trial to this file, a line of JSON each")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        shopfloor("up", "--detach", "--home", str(home.path), "--log", chosen.log, "--delivery-seconds", "1",
                  "--port", "0")  # fmt: skip
        try:
            add_products(home, made_up_products())
            with open_log(Settings(home=home, log_url=chosen.log)) as log:
                for seed, ease in enumerate(islice(cycle(map(float, chosen.eases.split(","))), chosen.trials), 1):
                    with suppress(ShopfloorError):
                        trial = run(home, log, chosen, seed, ease)
                        if chosen.keep is not None:
                            keep(trial, chosen.keep)
                        found = judged(trial)
                        print(json.dumps({"trial": seed, "ease": ease, **found}), flush=True)
                    quiet(log, chosen.service)
        finally:
            down(home)


if __name__ == "__main__":
    sys.exit(main())
