"""Measures ingestion: CPU per event in bulk from the embedded log and Kafka, and event to query at a steady rate."""

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from analytics.ingest import Ingest
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.eventlog.kafka import KafkaLog
from shop_stack.events import ProductViewed
from tests.analytics_stand import record
from tests.brokers import running_broker

JARS = Path(__file__).parents[1] / "kafka" / "libs"


def views(number: int) -> list[Record]:
    """Behaviour events of now."""
    now = datetime.now(UTC)
    return [record(ProductViewed(session_id=f"s{n % 50}", product_id=f"p{n % 300}"), now) for n in range(number)]


def bulk(folder: Path, log: EventLog, events: int) -> dict[str, float]:
    """Replay `events` from the log: CPU microseconds an event, for the rows, and with the marts and the checkpoint."""
    for _ in range(events // 10_000):
        log.append("shop.behaviour", views(10_000))
    warehouse = Warehouse(folder / "warehouse.duckdb")
    ingest = Ingest(log, warehouse)
    began, clock = time.process_time(), time.monotonic()
    kept, rolling = 0, 0.0
    while read := ingest.step():
        kept += read
        rolled = time.process_time()
        ingest.roll_up_when_due()
        rolling += time.process_time() - rolled
    rows = time.process_time() - began - rolling
    ingest.roll_up()
    warehouse.settle()
    whole, wall = time.process_time() - began, time.monotonic() - clock
    warehouse.close()
    return {
        "events": kept,
        "rows_us_per_event": rows / kept * 1e6,
        "whole_us_per_event": whole / kept * 1e6,
        "events_per_s": kept / wall,
    }


def bulk_from_kafka(folder: Path, events: int) -> dict[str, float]:
    """The same from a real broker, started for it."""
    with running_broker(folder / "broker", JARS) as broker, KafkaLog(broker.address) as log:
        return bulk(folder, log, events)


def live(folder: Path, rate: float, seconds: float) -> dict[str, float]:
    """Append at `rate` events a second for `seconds`: milliseconds from append to queryable, by asking."""
    log = EmbeddedLog(folder / "log")
    warehouse = Warehouse(folder / "warehouse.duckdb")
    ingest = Ingest(log, warehouse)
    stop = threading.Event()
    used: list[float] = []

    def work() -> None:
        ingest.run(stop)
        used.append(time.thread_time())

    working = threading.Thread(target=work)
    working.start()
    appended: list[tuple[int, float]] = []
    visible: list[tuple[int, float]] = []
    watching = threading.Thread(target=_watch, args=(ingest, stop, visible))
    watching.start()
    began, total = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        due = int((time.monotonic() - began) * rate) - total
        if due > 0:
            log.append("shop.orders", views(due))
            total += due
            appended.append((total, time.monotonic()))
        time.sleep(0.005)
    while not visible or visible[-1][0] < total:
        time.sleep(0.01)
    stop.set()
    working.join()
    watching.join()
    warehouse.close()
    log.close()
    return _delays(appended, visible) | {"ingest_cpu_ms_per_s": used[0] / seconds * 1e3, "events": total}


def _watch(ingest: Ingest, stop: threading.Event, visible: list[tuple[int, float]]) -> None:
    seen = 0
    while not stop.wait(0.002):
        count = sum(ingest.watermark.positions.get("shop.orders", {}).values())
        if count > seen:
            seen = count
            visible.append((count, time.monotonic()))


def _delays(appended: list[tuple[int, float]], visible: list[tuple[int, float]]) -> dict[str, float]:
    delays, at = [], 0
    for total, when in appended[len(appended) // 4 :]:
        while visible[at][0] < total:
            at += 1
        delays.append((visible[at][1] - when) * 1e3)
    ranked = statistics.quantiles(delays, n=100)
    return {"median_ms": ranked[49], "p95_ms": ranked[94], "p99_ms": ranked[98]}


def main() -> None:
    """Run both and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rates", type=float, nargs="*", default=[30.0, 1000.0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--kafka", action="store_true", help="also from a real broker, with the jars of the tests")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shopfloor-ingest-"))
    try:
        with EmbeddedLog(folder / "bulk" / "log") as log:
            said: dict[str, object] = {"bulk": bulk(folder / "bulk", log, given.events)}
        if given.kafka:
            said["bulk_from_kafka"] = bulk_from_kafka(folder / "kafka", given.events)
        for rate in given.rates:
            said[f"live_{rate:g}_per_s"] = live(folder / f"live{rate:g}", rate, given.seconds)
        print(json.dumps(said, indent=2))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
