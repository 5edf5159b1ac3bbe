"""Ingestion killed with -9 a thousand times while the log grows: `python -m tests.soak.ingest_kills --kills 1000`.

Afterwards the warehouse must hold every record of the log once (none lost), under its position and with its own
bytes' event id (none torn).
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
from pathlib import Path

from analytics.ingest import Ingest
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from tests.analytics_stand import NOW, placed, record

WRITER = Path(__file__).parents[1] / "flows" / "ingest_process.py"
_APPENDS = 200
_LONGEST_LIFE_S = 0.05


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
    """Read the rest and hold the warehouse against the log: records, lost, doubled, torn."""
    warehouse = Warehouse(folder / "warehouse.duckdb")
    ingest = Ingest(log, warehouse)
    while ingest.step():
        pass
    found: dict[tuple[str, int, int], list[str]] = {}
    for topic, partition, position, event_id in warehouse.ask(
        "select topic, partition, position, id from every_event", {}
    ).rows:
        found.setdefault((topic, partition, position), []).append(str(event_id))
    records = torn = lost = 0
    for topic in log.topics():
        for partition, end in enumerate(log.ends(topic)):
            position = log.starts(topic)[partition]
            while position < end:
                for one in log.read(topic, partition, position, 2000):
                    records += 1
                    ids = found.get((topic, partition, one.position), [])
                    lost += not ids
                    torn += any(known != json.loads(one.value)["id"] for known in ids)
                    position = one.position + 1
    warehouse.close()
    return {"records": records, "lost": lost, "torn": torn, "doubled": sum(len(ids) > 1 for ids in found.values())}


def main() -> None:
    """Kill, compare, print JSON; exit code 1 when anything was lost, doubled or torn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance, number = random.Random(chosen.seed), 0
    with tempfile.TemporaryDirectory(prefix="shopfloor-ingest-") as name:
        folder = Path(name)
        with EmbeddedLog(folder / "log") as log:
            begun = time.monotonic()
            for _ in range(chosen.kills):
                records = [record(placed(f"o{number + n}"), NOW) for n in range(_APPENDS)]
                number += _APPENDS
                log.append("shop.orders", records)
                killed_once(folder, chance)
            answer = compare(folder, log) | {"kills": chosen.kills, "seconds": round(time.monotonic() - begun)}
    print(json.dumps(answer))
    sys.exit(1 if answer["lost"] or answer["torn"] or answer["doubled"] or answer["records"] != number else 0)


if __name__ == "__main__":
    main()
