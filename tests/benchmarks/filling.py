"""Fills a warehouse with millions of events through the log and the real ingest; kept in a folder, it is used again.

`python -m tests.benchmarks.filling --keep FOLDER --events 10000000` says how long that took and how large it is.
"""

import argparse
import itertools
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from analytics.ingest import Ingest
from analytics.marts import fingerprint
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from tests.benchmarks.shop_day import ShopDay

_APPENDED = 20_000


@dataclass
class Filled:
    """What was made: records and orders, seconds and CPU seconds of each part, bytes on disk."""

    events: int
    hours: float
    seed: int
    marts: str
    records: int = 0
    orders: int = 0
    making_s: float = 0.0
    making_cpu_s: float = 0.0
    ingest_s: float = 0.0
    ingest_cpu_s: float = 0.0
    log_bytes: int = 0
    warehouse_bytes: int = 0
    load_average: float = 0.0


class Clock:
    """Adds up wall and CPU seconds of the parts that take turns."""

    def __init__(self) -> None:
        self.wall, self.cpu = 0.0, 0.0

    def __enter__(self) -> None:
        self._began, self._used = time.monotonic(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.monotonic() - self._began
        self.cpu += time.process_time() - self._used


def filled(folder: Path, events: int, hours: float = 24.0, seed: int = 1) -> Filled:
    """A warehouse in `folder` with so many events, made when there is none of the same size, seed and marts.

    Its first transactions are small ones and its last ones too: all of it is ingested an hour's events at a time.
    """
    note = folder / "made.json"
    wanted = Filled(events, hours, seed, fingerprint())
    if note.exists():
        made = Filled(**json.loads(note.read_text()))
        if (made.events, made.hours, made.seed) == (events, hours, seed):
            return made if made.marts == wanted.marts else _made_anew(folder, note, made)
    folder.mkdir(parents=True, exist_ok=True)
    _fill(folder, wanted)
    note.write_text(json.dumps(asdict(wanted)))
    return wanted


def _fill(folder: Path, made: Filled) -> None:
    making, ingesting = Clock(), Clock()
    with EmbeddedLog(folder / "log") as log:
        warehouse = Warehouse(folder / "warehouse.duckdb")
        ingest = Ingest(log, warehouse)
        day = ShopDay(made.events, made.hours, made.seed)
        spans = day.by_span()
        for number in itertools.count():
            with making:
                span = next(spans, None)
                if span is None:
                    break
                for topic, records in span.items():
                    for at in range(0, len(records), _APPENDED):
                        log.append(topic, records[at : at + _APPENDED])
                made.records += sum(map(len, span.values()))
            if number % 6 == 5:
                with ingesting:
                    _take_in(ingest)
        with ingesting:
            _take_in(ingest)
            ingest.roll_up()
            warehouse.settle()
        warehouse.close()
        made.orders = len(day.orders)
    (folder / "orders.json").write_text(json.dumps(day.orders))
    made.making_s, made.making_cpu_s = making.wall, making.cpu
    made.ingest_s, made.ingest_cpu_s = ingesting.wall, ingesting.cpu
    made.load_average = os.getloadavg()[0]
    made.log_bytes = sum(path.stat().st_size for path in (folder / "log").rglob("*") if path.is_file())
    made.warehouse_bytes = (folder / "warehouse.duckdb").stat().st_size


def _take_in(ingest: Ingest) -> None:
    while ingest.step():
        ingest.roll_up_when_due()


def _made_anew(folder: Path, note: Path, made: Filled) -> Filled:
    """The marts of another version: filled again from the log that is kept here."""
    making = Clock()
    for path in folder.glob("warehouse.duckdb*"):
        path.unlink()
    with making, EmbeddedLog(folder / "log") as log:
        warehouse = Warehouse(folder / "warehouse.duckdb")
        ingest = Ingest(log, warehouse)
        _take_in(ingest)
        ingest.roll_up()
        warehouse.settle()
        warehouse.close()
    made.ingest_s, made.ingest_cpu_s = making.wall, making.cpu
    made.marts, made.load_average = fingerprint(), os.getloadavg()[0]
    made.warehouse_bytes = (folder / "warehouse.duckdb").stat().st_size
    note.write_text(json.dumps(asdict(made)))
    return made


def main() -> None:
    """Fill, and print what was made as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(json.dumps(asdict(filled(given.keep, given.events, given.hours, given.seed)), indent=2))


if __name__ == "__main__":
    main()
