"""Ingestion, archiving and rebuilding killed with -9 under load: `python -m tests.soak.rebuild_kills --kills 100`.

While the log grows and events come twice, the ingesting process is killed, and between two of its lives, now and then,
an archiving process at one of its steps and a rebuilding one at any moment. Afterwards the rows must be the log's
(none lost, doubled or torn), every check must return nothing, and a rebuild must equal what it replaces.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from analytics.checks import all_checks
from analytics.rebuilding import rebuild
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.settings import Home, Settings, to_environment
from tests.analytics_stand import days_before, placed, record
from tests.flows.test_archiving import STEPS
from tests.soak.ingest_kills import compare

_APPENDS = 100
_LONGEST_LIFE_S = 0.5
_ARCHIVED_EVERY, _REBUILT_EVERY = 3, 12
ROOT = Path(__file__).parents[2]


def append(log: EmbeddedLog, number: int) -> int:
    """A hundred orders of three days, each tenth event a second time; how many records."""
    records = [
        record(placed(f"o{n}"), days_before(n % 3), f"id-{n}")
        for n in range(number, number + _APPENDS)
        for _ in _times(n)
    ]
    log.append("shop.orders", records)
    return len(records)


def _times(number: int) -> range:
    return range(2 if number % 10 == 0 else 1)


def killed_ingesting(folder: Path, chance: random.Random, log: EmbeddedLog, number: int) -> int:
    """Let ingestion live for a moment after it says ready while the log grows, and kill it; records appended."""
    command = [sys.executable, "-m", "tests.flows.ingest_process", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == b"ready\n", f"ingestion does not start: {line!r}"
        appended = append(log, number)
        time.sleep(chance.uniform(0, _LONGEST_LIFE_S))  # the moment at which it dies
        os.kill(process.pid, signal.SIGKILL)
    return appended


def killed_archiving(folder: Path, chance: random.Random) -> int:
    """Kill archiving at one of its steps; 1 when it came so far."""
    step = chance.choice(STEPS)
    command = [sys.executable, "-m", "tests.flows.archive_process", str(folder), step, str(chance.randint(1, 2))]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    assert code in (0, -signal.SIGKILL), f"archiving ended with {code}"
    return int(code != 0)


def killed_rebuilding(folder: Path, chance: random.Random) -> int:
    """Kill a rebuild at some moment; 1 when it had not ended by then."""
    environment = os.environ | to_environment(Settings(home=Home(folder.parent)))
    command = [sys.executable, "-m", "analytics.rebuilding"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        time.sleep(chance.uniform(0.5, 4.0))  # the moment at which it dies
        process.send_signal(signal.SIGKILL)
    return int(process.returncode == -signal.SIGKILL)


def judged(folder: Path, log: EmbeddedLog) -> dict[str, object]:
    """The rows held against the log, the checks, and a rebuild held against the old warehouse."""
    path = folder / "warehouse.duckdb"
    answer: dict[str, object] = {**compare(folder, log)}
    with closing(Warehouse(path)) as warehouse:
        answer["archived"] = warehouse.write("select coalesce(sum(records), 0)::bigint from archived_files")[0][0]
        answer["repeats"] = warehouse.write("select count(*) from every_event where repeat")[0][0]
        answer["checks"] = [c.name for c in all_checks() if warehouse.write(c.sql, c.bound(datetime.now(UTC)))]
    done = rebuild(path, log)
    return answer | {"rebuild": "equals" if done.swapped else done.differences, "rebuilt_records": done.records}


def main() -> None:
    """Kill, compare, print JSON; exit code 1 when anything was lost, doubled or torn, or a rebuild differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance, appended, begun = random.Random(chosen.seed), 0, time.monotonic()
    kills = dict.fromkeys(("ingesting", "archiving", "rebuilding"), 0)
    with tempfile.TemporaryDirectory(prefix="shopfloor-rebuild-") as name:
        home = Path(name)
        folder = home / "analytics"
        with EmbeddedLog(home / "log") as log:
            folder.mkdir()
            (folder / "log").symlink_to(home / "log")
            while sum(kills.values()) < chosen.kills:
                appended += killed_ingesting(folder, chance, log, kills["ingesting"] * _APPENDS)
                kills["ingesting"] += 1
                if kills["ingesting"] % _ARCHIVED_EVERY == 0:
                    kills["archiving"] += killed_archiving(folder, chance)
                if kills["ingesting"] % _REBUILT_EVERY == 0:
                    kills["rebuilding"] += killed_rebuilding(folder, chance)
            answer = judged(folder, log) | {"appended": appended, "kills": kills}
    answer["seconds"] = round(time.monotonic() - begun)
    print(json.dumps(answer))
    wrong = answer["lost"] or answer["torn"] or answer["doubled"] or answer["checks"] or answer["rebuild"] != "equals"
    sys.exit(1 if wrong or not answer["records"] == answer["rebuilt_records"] == appended else 0)


if __name__ == "__main__":
    main()
