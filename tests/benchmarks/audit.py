"""Measures the audit: seconds, CPU and memory over the books of a home with many orders, and that they are whole."""

import argparse
import contextlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.audit_stand import Books
from tests.benchmarks.process_tree import pss_mib

LOOK_S = 0.2


def measure(folder: Path) -> dict[str, float]:
    """One audit by the command: wall and CPU seconds of the whole process tree, and what the report says.

    `memory_mib`: the most that the tree was seen to hold, without the pages of the stores' files.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "shop_stack", "audit", "--json", "--strict", "--home", str(folder)]
    memory, wall = 0.0, 0.0
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(command, stdout=out) as audit:
        while audit.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = max(memory, sum(pss_mib(audit.pid, "Pss_Anon").values()))
            with contextlib.suppress(subprocess.TimeoutExpired):
                audit.wait(LOOK_S)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        out.seek(0)
        said = json.load(out)
    broken = [one["name"] for one in said["invariants"] if one["status"] not in ("ok", "skipped")]
    assert audit.returncode == 0, broken
    assert not broken, broken
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    rows = sum(one["rows_checked"] for one in said["invariants"])
    return {"seconds": said["seconds"], "command_s": wall, "cpu_s": cpu, "memory_mib": memory,
            "orders": said["orders"], "records": said["records"], "rows_checked": rows}  # fmt: skip


def main() -> None:
    """Make the books, audit them several times and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--home", type=Path, help="keep the books in this folder, and use them again")
    given = parser.parse_args()
    folder = given.home or Path(tempfile.mkdtemp(prefix="shopfloor-audit-"))
    try:
        if not (folder / "stores").exists():
            Books(folder).fill(given.orders)
        runs = [measure(folder) for _ in range(given.runs)]
    finally:
        if given.home is None:
            shutil.rmtree(folder)
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(json.dumps({"median": median, "seconds": [run["seconds"] for run in runs]}, indent=2))


if __name__ == "__main__":
    main()
