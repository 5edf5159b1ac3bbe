"""Measures operators' statements over a warehouse of many events: seconds and CPU of each, and of what they read."""

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from analytics.asked import Limits
from analytics.ingest import Ingest
from analytics.queries import Queries
from analytics.warehouse import Warehouse
from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.embedded import EmbeddedLog
from tests.benchmarks.ingest import views

STATEMENTS = {
    "nothing": "select 1 as x",
    "a mart": "select topic, sum(events) as events from topic_minutes group by topic",
    "a column of every event": "select type, count(*) as events from raw_events group by type",
    "three columns of every event": "select topic, partition, max(position) from raw_events group by all",
    "one event of all": "select type from raw_events where position = 77 and partition = 1",
    "everything": "select * from raw_events limit 5",
}


def fill(folder: Path, events: int) -> Warehouse:
    """A warehouse of so many behaviour events, their marts rolled up."""
    with EmbeddedLog(folder / "log") as log:
        for _ in range(events // 10_000):
            log.append("shop.behaviour", views(10_000))
        warehouse = Warehouse(folder / "warehouse.duckdb")
        ingest = Ingest(log, warehouse)
        while ingest.step():
            ingest.roll_up_when_due()
        ingest.roll_up()
    warehouse.settle()
    return warehouse


def used() -> tuple[float, float]:
    """CPU seconds of this process and of the children that have ended."""
    own, ended = os.times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.user + own.system, ended.ru_utime + ended.ru_stime


def measured(run: Callable[[], Any], times: int) -> dict[str, float | str]:
    """Median and p95 of the milliseconds that `run` takes, and its mean CPU here and in its children."""
    taken: list[float] = []
    own, children = used()
    try:
        for _ in range(times):
            began = time.monotonic()
            run()
            taken.append((time.monotonic() - began) * 1e3)
    except ShopfloorError as error:
        return {"refused": str(error), "after_ms": round((time.monotonic() - began) * 1e3, 1)}
    own_after, children_after = used()
    ranked = statistics.quantiles(taken, n=20, method="inclusive")
    return {
        "median_ms": round(statistics.median(taken), 1),
        "p95_ms": round(ranked[18], 1),
        "owner_cpu_ms": round((own_after - own) / times * 1e3, 1),
        "child_cpu_ms": round((children_after - children) / times * 1e3, 1),
    }


def main() -> None:
    """Fill, ask each statement in turn, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shopfloor-queries-"))
    try:
        warehouse = fill(folder, given.events)
        queries = Queries(warehouse, dict, Limits(seconds=30.0))
        said: dict[str, Any] = {"events": given.events, "load": os.getloadavg()[0]}
        for name, sql in STATEMENTS.items():
            said[name] = measured(partial(queries.answer, sql, 1000, False), given.times)
            said[f"{name}, of the owner itself"] = measured(partial(warehouse.ask, sql, {}), given.times)
        queries.close()
        warehouse.close()
        print(json.dumps(said, indent=2))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
