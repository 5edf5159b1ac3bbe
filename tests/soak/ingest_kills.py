"""Ingestion killed with -9 a thousand times under load: `python -m tests.soak.ingest_kills --kills 1000`.

A day of the shop goes into the log at a steady rate meanwhile, with what is sent twice and what comes late. Afterwards
the warehouse must hold every event of the log once (none lost, none doubled), each under a position that is its own
(none torn), the checks must say nothing, and a rebuild must equal it.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

from analytics.checks import all_checks
from analytics.ingest import Ingest
from analytics.rebuilding import rebuild
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from tests.benchmarks.shop_day import ShopDay

WRITER = Path(__file__).parents[1] / "flows" / "ingest_process.py"
_LONGEST_LIFE_S = 0.3
_AT_ONCE = 50
_SPAN_S = 10.0
_A_DAY = 10_000_000
_NOT_OF_THE_DAY = {"stock_adds_up"}
"""A check that a made-up day does not pass: its stock levels are all of a thousand units."""
_START_S = 3.0
"""More than a process takes to begin: the day has events enough for every kill."""


@contextmanager
def growing(log: EmbeddedLog, events: int, rate: float) -> Iterator[None]:
    """About so many events of a day of ten million, appended at `rate` a second on a thread while the block lasts.

    It ends with a whole span of the day: of what happened together no topic has more than another.
    """
    over = threading.Event()

    def grow() -> None:
        for span in ShopDay(events, hours=24 * events / _A_DAY).by_span(_SPAN_S):
            for topic, records in span.items():
                for first in range(0, len(records), _AT_ONCE):
                    some = records[first : first + _AT_ONCE]
                    log.append(topic, some)
                    over.wait(len(some) / rate)
            if over.is_set():
                return

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def killed_once(folder: Path, chance: random.Random) -> None:
    """Start ingestion, let it live for a moment after it says ready, and kill it."""
    process = subprocess.Popen([sys.executable, str(WRITER), str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == b"ready\n", f"ingestion does not start: {line!r}"
    time.sleep(chance.uniform(0, _LONGEST_LIFE_S))  # the moment at which it dies
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def compare(folder: Path, log: EmbeddedLog) -> dict[str, int]:
    """Read the rest and hold the warehouse against the log: records, events among them, lost, doubled, torn."""
    warehouse = Warehouse(folder / "warehouse.duckdb")
    ingest = Ingest(log, warehouse)
    while ingest.step():
        pass
    sql = "select topic, partition, position, id from every_event where not repeat"
    kept = {(topic, partition, position): str(name) for topic, partition, position, name in warehouse.ask(sql, {}).rows}
    warehouse.close()
    sent: set[str] = set()
    records = torn = 0
    for topic in log.topics():
        for partition, end in enumerate(log.ends(topic)):
            position = log.starts(topic)[partition]
            while position < end:
                for one in log.read(topic, partition, position, 2000):
                    records += 1
                    name = json.loads(one.value)["id"]
                    sent.add(name)
                    torn += kept.get((topic, partition, one.position), name) != name
                    position = one.position + 1
    rows = Counter(kept.values())
    return {
        "records": records,
        "events": len(sent),
        "lost": len(sent - rows.keys()),
        "doubled": sum(rows.values()) - len(rows),
        "torn": torn,
    }


def differences(folder: Path, log: EmbeddedLog) -> dict[str, list[str]]:
    """What the checks find once everything is rolled up, as of the newest sample, and in what a rebuild differs."""
    warehouse = Warehouse(folder / "warehouse.duckdb")
    Ingest(log, warehouse).roll_up()
    [(newest,)] = warehouse.ask("select max(event_time) from partition_positions where topic = 'ops.samples'", {}).rows
    now = newest.replace(tzinfo=UTC)
    checks = [check for check in all_checks() if check.name not in _NOT_OF_THE_DAY]
    failed = [check.name for check in checks if warehouse.ask(check.sql, check.bound(now)).rows]
    warehouse.close()
    return {"failed_checks": failed, "rebuild_differs_in": rebuild(folder / "warehouse.duckdb", log).differences}


def main() -> None:
    """Kill, compare, print JSON; exit code 1 when anything was lost, doubled or torn, or is told differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1000, help="records a second")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="shopfloor-ingest-") as name:
        folder = Path(name)
        with EmbeddedLog(folder / "log") as log:
            begun = time.monotonic()
            with growing(log, int(chosen.kills * _START_S * chosen.rate), chosen.rate):
                for _ in range(chosen.kills):
                    killed_once(folder, chance)
            answer = compare(folder, log) | {"kills": chosen.kills, "seconds": round(time.monotonic() - begun)}
            wrong = differences(folder, log)
    print(json.dumps(answer | wrong))
    sys.exit(1 if answer["lost"] or answer["torn"] or answer["doubled"] or any(wrong.values()) else 0)


if __name__ == "__main__":
    main()
