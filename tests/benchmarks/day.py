"""A day's events through the warehouse: whether it drifts, then retention and the same answers.

`python -m tests.benchmarks.day --keep FOLDER` reads the log that `filling` keeps in the folder into a new warehouse and
says what each million of events cost and how much memory the process held; then it moves every raw row to the archive
and asks the screens' questions again.
"""

import argparse
import json
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from analytics.archiving import Archive
from analytics.binding import bind
from analytics.ingest import Ingest
from analytics.questions import find
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.stack import Retention
from tests.analytics_stand import ZONE
from tests.benchmarks.filling import filled
from tests.benchmarks.panels import PANELS, alike
from tests.benchmarks.shop_day import UNTIL

_MILLION = 1_000_000
_JOURNEYS = 20
_PATIENCE_S = 300.0
Answers = dict[str, list[tuple[Any, ...]]]


def read(log: EmbeddedLog, warehouse: Warehouse) -> list[dict[str, float]]:
    """Ingest all there is; a line a million of events: CPU microseconds an event, MiB resident, MiB on disk."""
    ingest, process = Ingest(log, warehouse), psutil.Process()
    lines: list[dict[str, float]] = []
    read, used = 0, time.process_time()
    going = True
    while going:
        taken = ingest.step()
        going = taken > 0
        read += taken
        ingest.roll_up_when_due()
        if read >= _MILLION or not going:
            if not going:
                ingest.roll_up()
                warehouse.settle()
            now = time.process_time()
            line = {"events": read, "us_per_event": (now - used) / max(1, read) * 1e6}
            lines.append({**line, "resident_mib": process.memory_info().rss / 2**20})
            read, used = 0, now
    return lines


def answers(warehouse: Warehouse, orders: list[str]) -> Answers:
    """What the screens are answered, and the journeys of some orders."""
    asked = dict(PANELS) | {f"journey of {order}": ("order_journey", {"order_id": order}) for order in orders}
    return {
        label: warehouse.ask(find(name).sql, bind(find(name), given, UNTIL, ZONE), _PATIENCE_S).rows
        for label, (name, given) in asked.items()
    }


def size_mib(*paths: Path) -> float:
    """What these files and folders hold on disk."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def main() -> None:
    """Print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--events", type=int, default=10_000_000)
    given = parser.parse_args()
    if not (given.keep / "log").exists():
        filled(given.keep, given.events)
    orders = json.loads((given.keep / "orders.json").read_text())
    place = given.keep / "day"
    shutil.rmtree(place, ignore_errors=True)
    said: dict[str, Any] = {"log_mib": size_mib(given.keep / "log")}
    with EmbeddedLog(given.keep / "log") as log:
        warehouse = Warehouse(place / "warehouse.duckdb")
        said["by_million"] = read(log, warehouse)
        said["warehouse_mib"] = size_mib(place / "warehouse.duckdb")
        before = answers(warehouse, orders[:: len(orders) // _JOURNEYS])
        used = time.process_time()
        keep = Retention(raw_days=0, database_mb=2048)
        said["archived"] = Archive(warehouse, keep, lambda: UNTIL + timedelta(days=2)).turn()
        said["archiving_cpu_s"] = time.process_time() - used
        after = answers(warehouse, orders[:: len(orders) // _JOURNEYS])
        said["unlike"] = [label for label, rows in before.items() if not alike(rows, after[label])]
        said["asked"] = len(before)
        said["raw_rows_left"] = warehouse.ask("select count(*) from raw_events", {}).rows[0][0]
        warehouse.close()  # writes into the file what is not in it yet
        said["archive_mib"] = size_mib(place / "archive")
        said["warehouse_after_mib"] = size_mib(place / "warehouse.duckdb")
    said["load_average"] = os.getloadavg()[0]
    print(json.dumps(said, indent=2))


if __name__ == "__main__":
    main()
