"""Every fault with three seeds, on the embedded log and on a real Kafka broker: `python -m tests.soak.chaos_table`.

On a small file system of its own (a tmpfs, when this may be mounted) so that the disk can be full. Runs are kept as
JSON lines and not repeated.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from shop_stack.settings import Home
from shop_stack.trials.chaos import Run, table
from shop_stack.trials.chaos_faults import FAULTS
from shop_stack.trials.stand import Stand, prepared
from tests import needs
from tests.brokers import running_broker

SMALL_DISK = "2g"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder on a file system of its own, or just a folder where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def stand_on(log: str, folder: Path) -> Iterator[Stand]:
    """A stack that is up, on the embedded log or on a broker of its own."""
    with small_disk(folder / "disk") as disk:
        if log == "embedded":
            yield from _running(Stand(Home(disk / "home")))
            return
        with running_broker(folder / "kafka", needs.kafka()) as broker:
            yield from _running(Stand(Home(disk / "home"), f"kafka://{broker.address}", broker))


def _running(stand: Stand) -> Iterator[Stand]:
    try:
        yield prepared(stand)
    finally:
        stand.down()


def run_table(log: str, faults: Sequence[str], seeds: range, kept: Path) -> list[Run]:
    """All of these; a stand whose books are broken is given up, its home kept, and the next run gets a new one."""
    found: list[Run] = []
    while len(found) < len(faults) * len(seeds):
        before = len(kept.read_bytes().splitlines()) if kept.exists() else 0
        with tempfile.TemporaryDirectory(prefix="shopfloor-chaos-") as folder, stand_on(log, Path(folder)) as stand:
            found = table(stand, faults, seeds, kept, _say)
            if not _good(found[-1]):
                aside = kept.with_name(f"home-{log}-{found[-1].fault}-{found[-1].seed}-{time.time():.0f}")
                subprocess.run(["cp", "-r", str(stand.home.path), str(aside)], check=False)  # its sockets cannot
        if len(kept.read_bytes().splitlines()) == before and len(found) < len(faults) * len(seeds):
            raise SystemExit("no run came about; see the last one's words")
    return found


def _good(done: Run) -> bool:
    return done.verdict in ("ok", "skipped")


def _say(done: Run) -> None:
    print(
        f"{done.log:<9} {done.fault:<16} {done.seed:>2} {done.verdict:<10} normal {done.back_to_normal_s} s, "
        f"{done.requests} requests, {done.failed_requests} failed, "
        f"{done.orders}, audit {done.audit_s} s, {done.because}",
        flush=True,
    )


def as_table(runs: Sequence[Run]) -> str:
    """The runs as a Markdown table: one line a fault and log, with all seeds in order."""
    lines = ["| log | fault | failed of requests | back to normal, s | audit | audit, s |", "|---|---|---|---|---|---|"]
    for log, fault in dict.fromkeys((one.log, one.fault) for one in runs):
        some = [one for one in runs if (one.log, one.fault) == (log, fault)]
        failed = ", ".join(f"{one.failed_requests}/{one.requests}" for one in some)
        normal = ", ".join("never" if one.back_to_normal_s is None else f"{one.back_to_normal_s:.1f}" for one in some)
        verdicts = ", ".join(one.verdict for one in some)
        audits = ", ".join("-" if one.audit_s is None else f"{one.audit_s:.1f}" for one in some)
        lines.append(f"| {log} | {fault} | {failed} | {normal} | {verdicts} | {audits} |")
    took = sum(one.seconds for one in runs) / 60
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    lines.append(f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {len(runs)} runs, {took:.0f} minutes one after another; "
                 f"load average now {load} on {os.cpu_count()} cores.")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Run what is not kept yet and print the table; exit code 1 when a run did not end well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", action="append", choices=("embedded", "kafka"))
    parser.add_argument("--fault", action="append", choices=tuple(FAULTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, default=Path("soak-chaos.jsonl"))
    chosen = parser.parse_args()
    found: list[Run] = []
    for log in chosen.log or ("embedded", "kafka"):
        faults = [name for name in chosen.fault or FAULTS if log in FAULTS[name].logs]
        found += run_table(log, faults, range(1, chosen.seeds + 1), chosen.keep)
    print(as_table(found))
    sys.exit(0 if all(map(_good, found)) else 1)


if __name__ == "__main__":
    main()
