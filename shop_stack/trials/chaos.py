"""Chaos: a fault befalls a stack under load; then it drains, parked records are replayed, and the books are audited."""

import json
import random
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shop_stack.errors import ShopfloorError
from shop_stack.trials.chaos_faults import FAULTS, Fault
from shop_stack.trials.stand import Stand

LOAD_RATE = 5.0
LOAD_S = 20.0
NORMAL_WITHIN_S = 60.0
QUIET_WITHIN_S = 60.0
AUDIT_WITHIN_S = 20.0
_FIRST_S, _LAST_S = 3.0, 7.0
_REPLAYS = 3
_DISCARDS = 5


class Run(msgspec.Struct, kw_only=True):
    """One run: its fault and seed, what the shoppers saw (`failures` by kind), how long until normal (seconds from the
    end of the cause), and what the audit said. `verdict` is `ok`, `violated`, `not normal`, `not quiet`, `failed` or
    `skipped`."""

    fault: str
    seed: int
    log: str
    verdict: str = "ok"
    because: str = ""
    requests: int = 0
    retried_requests: int = 0
    failed_requests: int = 0
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    orders: dict[str, int] = msgspec.field(default_factory=dict)
    back_to_normal_s: float | None = None
    dead_letters: int = 0
    audit: dict[str, str] = msgspec.field(default_factory=dict)
    counter_examples: dict[str, Any] = msgspec.field(default_factory=dict)
    audit_s: float | None = None
    seconds: float = 0.0


def run(stand: Stand, fault: Fault, seed: int, rate: float = LOAD_RATE, seconds: float = LOAD_S) -> Run:
    """One fault on a stand that is up and quiet; never raises for what the stack does wrong: the run says it."""
    begun = time.monotonic()
    done = Run(fault=fault.name, seed=seed, log=stand.log_url.partition(":")[0])
    missing = fault.lacks(stand) or _other_log(fault, done.log)
    if missing:
        done.verdict, done.because = "skipped", missing
        return done
    try:
        _befall(stand, fault, random.Random(f"{fault.name}/{seed}"), done, rate, seconds, seed)
        _settle(stand, done)
    except (ShopfloorError, OSError, sqlite3.Error, subprocess.SubprocessError, ValueError, KeyError) as error:
        done.verdict, done.because = "failed", f"{type(error).__name__}: {error}"
    done.seconds = round(time.monotonic() - begun, 1)
    return done


def _other_log(fault: Fault, log: str) -> str | None:
    return None if log in fault.logs else f"it is a fault of the {fault.logs[0]} log"


def _befall(
    stand: Stand, fault: Fault, chance: random.Random, done: Run, rate: float, seconds: float, seed: int
) -> None:
    with stand.load(rate, seconds, seed) as load:
        _sleep_under_load(load, chance.uniform(_FIRST_S, _LAST_S))
        over_at = fault.inflict(stand, chance)
        done.back_to_normal_s = stand.back_to_normal(NORMAL_WITHIN_S, over_at)
        words, complaints = load.communicate(timeout=seconds + 120)
    try:
        report = json.loads(words)
    except ValueError:
        raise ShopfloorError(f"the load broke off: {complaints.strip()[-300:]}") from None
    done.requests, done.failed_requests = report["requests"], report["failed_requests"]
    done.retried_requests, done.failures = report["retried_requests"], report["failures"]
    done.orders = {state: report[f"orders_{state}"] for state in
                   ("placed", "completed", "rejected", "cancelled", "open")}  # fmt: skip


def _sleep_under_load(load: "subprocess.Popen[str]", seconds: float) -> None:
    """Let the load run for a while; it must not be over by then."""
    try:
        load.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise ShopfloorError("the load was over before anything befell the stack")


def _settle(stand: Stand, done: Run) -> None:
    """Drain, replay what was parked, give up what is beyond repair, and audit."""
    if done.back_to_normal_s is None:
        done.verdict, done.because = "not normal", f"not back to normal within {NORMAL_WITHIN_S:g} s"
    if not stand.quiet(QUIET_WITHIN_S):
        done.verdict, done.because = "not quiet", f"{stand.behind()} records were still unsent or unread"
    done.dead_letters = _replay(stand)
    if not stand.quiet(QUIET_WITHIN_S):
        done.verdict, done.because = (
            "not quiet",
            f"{stand.behind()} records were still unsent or unread after the replay",
        )
    audit = _audited(stand, done)
    done.audit = {found["name"]: found["status"] for found in audit["invariants"]}
    done.counter_examples = {
        found["name"]: found["counter_examples"][:3]
        for found in audit["invariants"]
        if found["status"] != "ok"  # with the faults over and all replayed, nothing is left to explain
    }
    if done.counter_examples:
        done.verdict, done.because = "violated", ", ".join(done.counter_examples)


def _audited(stand: Stand, done: Run) -> dict[str, Any]:
    """A strict audit; operations goes on by itself and may just then close an incident, whose event waits to be sent.

    So what was found is looked at again for 20 s: what is broken stays so. The last audit stands; `audit_s` is its own.
    """
    until = time.monotonic() + AUDIT_WITHIN_S
    while True:
        begun = time.monotonic()
        audit = stand.audit()
        done.audit_s = round(time.monotonic() - begun, 2)
        if audit["ok"] or time.monotonic() > until:
            return audit


def _replay(stand: Stand) -> int:
    """Replay the dead letters until none is left that may still succeed, then discard the rest; how many there were.

    Behind a discarded one may stand another, hence several rounds. Raises ShopfloorError when some are left after all.
    """
    there = left = _dead_letters(stand)
    for _ in range(_REPLAYS if there else 0):
        preview = json.loads(stand.command("dead-letters", "replay", "--json", timeout_s=60.0))["preview"]
        if preview["dead_letters"]:
            _act(stand, "replay")
    for _ in range(_DISCARDS):
        left = _dead_letters(stand) if left else 0
        if not left:
            return there
        _act(stand, "discard", "--quarantined")
    raise ShopfloorError(f"{left} dead letters are left after {_DISCARDS} rounds of discarding")


def _dead_letters(stand: Stand) -> int:
    return len(json.loads(stand.command("dead-letters", "--json", timeout_s=60.0))["dead_letters"])


def _act(stand: Stand, what: str, *more: str) -> None:
    reason = ("--apply", "--reason", "chaos trial", "--rate", "500")
    stand.command("dead-letters", what, *more, *reason, timeout_s=120.0)


def table(
    stand: Stand,
    faults: Sequence[str],
    seeds: Iterable[int],
    kept: Path | None,
    say: Callable[[Run], None],
    rate: float = LOAD_RATE,
    seconds: float = LOAD_S,
) -> list[Run]:
    """Each fault with each seed, on one stand. With `kept`, a file of JSON lines, runs that lie there are not repeated.

    A run that did not end well leaves the stand doubtful: the caller gets what was done so far and the stand stops.
    """
    known = _kept(kept)
    found: list[Run] = []
    for seed in seeds:
        for name in faults:
            again = known.get((name, seed, stand.log_url.partition(":")[0]))
            done = again or run(stand, FAULTS[name], seed, rate, seconds)
            found.append(done)
            say(done)
            if again is None and kept is not None:
                with kept.open("ab") as file:
                    file.write(msgspec.json.encode(done) + b"\n")
            if again is None and done.verdict in ("failed", "violated"):
                return found
    return found


def _kept(path: Path | None) -> dict[tuple[str, int, str], Run]:
    if path is None or not path.exists():
        return {}
    runs = [msgspec.json.decode(line, type=Run) for line in path.read_bytes().splitlines() if line.strip()]
    return {(one.fault, one.seed, one.log): one for one in runs}
