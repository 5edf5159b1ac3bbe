"""Asks every question of the screens over millions of events: `python -m tests.benchmarks.panels --keep FOLDER`.

Each is asked over HTTP with the screens' own client, then of DuckDB alone, then of the raw events without any rollup;
in milliseconds the median and p95 of the repetitions, and the CPU of this process, client and server in one. With
`--archived` all raw rows lie in Parquet by then. What is answered from raw events must equal what was answered.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from analytics.archiving import Archive
from analytics.binding import bind
from analytics.client import QuestionsClient
from analytics.desk import Desk
from analytics.ingest import Watermark
from analytics.questions import find
from analytics.questions_api import make_app
from analytics.warehouse import Warehouse
from shop_stack.access import Verifier, prepare_keys, read_token
from shop_stack.settings import Home
from shop_stack.stack import Retention
from tests.analytics_stand import ZONE
from tests.benchmarks.filling import filled
from tests.benchmarks.from_raw import from_raw
from tests.benchmarks.shop_day import UNTIL
from tests.serving import served

_PATIENCE_S = 300.0
Asking = tuple[str, dict[str, str]]  # a question and what it is given


def _since(**ago: float) -> str:
    return (UNTIL - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:00Z")


_DAY = _since(hours=24)

# As the screens ask: the dashboard's panels, the console's band, operations; then the same and others over a whole day.
PANELS: dict[str, tuple[str, dict[str, str]]] = {
    "vital_signs": ("vital_signs", {}),
    "funnel, 24 hours": ("funnel", {"since": _DAY}),
    "events_by_topic_by_minute, 30 minutes": ("events_by_topic_by_minute", {"since": _since(minutes=30)}),
    "events_by_topic_by_minute, 24 hours": ("events_by_topic_by_minute", {"since": _DAY}),
    "top_products, 7 days": ("top_products", {"since": _since(days=7), "limit": "10", "origin": "live"}),
    "top_products, 24 hours": ("top_products", {"since": _DAY, "limit": "10"}),
    "revenue_by_day": ("revenue_by_day", {}),
    "data_range": ("data_range", {}),
    "forecasts": ("forecasts", {"series": "revenue:day"}),
    "forecast_peaks": ("forecast_peaks", {}),
    "service_minutes, one service, 3 hours": ("service_minutes", {"service": "orders", "since": _since(hours=3)}),
    "service_minutes, all, 24 hours": ("service_minutes", {"since": _DAY}),
    "orders_by_minute, 24 hours": ("orders_by_minute", {"since": _DAY}),
    "lag_by_group, 24 hours": ("lag_by_group", {"since": _DAY}),
    "lag_by_partition, 24 hours": ("lag_by_partition", {"since": _DAY}),
    "event_to_query_delay, 24 hours": ("event_to_query_delay", {"since": _DAY}),
    "freshness": ("freshness", {}),
    "records_counted": ("records_counted", {}),
    "order_states, 10 minutes": ("order_states", {"since": _since(minutes=70), "until": _since(minutes=60)}),
}


def measured(runs: list[Callable[[], Any]]) -> dict[str, float]:
    """Median and p95 of the milliseconds that each of the runs takes, and of the CPU of this process."""
    runs[0]()
    taken: list[float] = []
    used: list[float] = []
    for run in runs:
        began, cpu = time.monotonic(), time.process_time()
        run()
        used.append((time.process_time() - cpu) * 1e3)
        taken.append((time.monotonic() - began) * 1e3)
    p95 = statistics.quantiles(taken, n=20, method="inclusive")[18] if len(taken) > 1 else taken[0]
    figures = {"median_ms": statistics.median(taken), "p95_ms": p95, "cpu_ms": statistics.median(used)}
    return {name: round(figure, 1) for name, figure in figures.items()}


@contextlib.contextmanager
def asked_over_http(folder: Path, warehouse: Warehouse) -> Iterator[QuestionsClient]:
    """Analytics' own application behind a real server, and the screens' client."""
    home = Home(folder / "home")
    prepare_keys(home, datetime.now(UTC))
    desk = Desk(warehouse, Watermark, ZONE, now=lambda: UNTIL, timeout_s=_PATIENCE_S)
    try:
        with served(make_app(desk, lambda: Verifier(home, "operators"))) as address:
            with QuestionsClient(address, read_token(home, "viewer"), timeout_s=_PATIENCE_S) as client:
                yield client
    finally:
        desk.queries.close()


def one_panel(
    warehouse: Warehouse, client: QuestionsClient, asked: list[Asking], alone: list[Asking], raw_times: int
) -> dict[str, Any]:
    """The figures of one panel: over HTTP as often as `asked` has entries, of DuckDB alone as often as `alone` has."""
    said: dict[str, Any] = {}
    said["over_http"] = measured([partial(client.ask, name, **given) for name, given in asked])
    bound = [(find(name).sql, bind(find(name), given, UNTIL, ZONE)) for name, given in alone]
    said["duckdb_alone"] = measured([partial(warehouse.ask, sql, values, _PATIENCE_S) for sql, values in bound])
    name, values = alone[0][0], bound[0][1]
    raw = from_raw(name)
    if raw is not None and raw_times:
        said["from_raw"] = measured([partial(warehouse.ask, raw, only(values, raw), _PATIENCE_S)] * raw_times)
        answered = warehouse.ask(bound[0][0], values, _PATIENCE_S).rows
        said["equal"] = alike(answered, warehouse.ask(raw, only(values, raw), _PATIENCE_S).rows)
    return said


def only(values: dict[str, object], sql: str) -> dict[str, object]:
    """Those of the parameters that the statement names."""
    return {name: value for name, value in values.items() if f"${name}" in sql}


def alike(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    """Whether two answers have the same rows; sums of doubles to the ninth digit, for they depend on the order."""
    return [_rounded(row) for row in one] == [_rounded(row) for row in other]


def _rounded(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in row)


def panels(folder: Path, warehouse: Warehouse, times: int, raw_times: int, only_panel: str) -> dict[str, Any]:
    """All panels, then the journeys of so many orders from all of the day.

    Whoever asks first after the file was opened pays for what is not in memory yet: that is measured by itself, and
    HTTP and DuckDB alone are then asked for orders of which neither was asked before.
    """
    orders = json.loads((folder / "orders.json").read_text())
    step = max(1, len(orders) // times)
    said: dict[str, Any] = {}
    with asked_over_http(folder, warehouse) as client:
        for label, (name, given) in PANELS.items():
            if only_panel in label:
                asked = [(name, given)] * times
                said[label] = one_panel(warehouse, client, asked, asked, raw_times)
                print(label, json.dumps(said[label]), flush=True)
        if only_panel in "order_journey":
            first, asked, alone = (
                [("order_journey", {"order_id": order}) for order in orders[begin::step][:times]]
                for begin in (0, step // 3, 2 * step // 3)
            )
            cold = {"over_http_first": measured([partial(client.ask, name, **given) for name, given in first])}
            said["order_journey"] = cold | one_panel(warehouse, client, asked, alone, raw_times)
            print("order_journey", json.dumps(said["order_journey"]), flush=True)
    return said


def archived(folder: Path) -> Path:
    """A copy of the warehouse beside it whose raw rows are all in the archive; made when it is not there."""
    beside = folder / "archived"
    if not (beside / "archive").exists():
        beside.mkdir(exist_ok=True)
        shutil.copy(folder / "warehouse.duckdb", beside / "warehouse.duckdb")
        with contextlib.closing(Warehouse(beside / "warehouse.duckdb")) as warehouse:
            Archive(warehouse, Retention(raw_days=0, database_mb=2048), lambda: UNTIL + timedelta(days=1)).turn()
    return beside


def main() -> None:
    """Fill or find the events, ask, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True, help="where the events are, or are made and kept")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--raw-times", type=int, default=3)
    parser.add_argument("--only", default="", help="panels with this in their name")
    parser.add_argument("--archived", action="store_true", help="with all raw rows in the archive")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    made = filled(given.keep, given.events)
    place = archived(given.keep) if given.archived else given.keep
    with contextlib.closing(Warehouse(place / "warehouse.duckdb")) as warehouse:
        said: dict[str, Any] = {"made": asdict(made), "load_before": os.getloadavg()[0]}
        said["panels"] = panels(given.keep, warehouse, given.times, given.raw_times, given.only)
        said["load_after"] = os.getloadavg()[0]
    if given.json is not None:
        given.json.write_text(json.dumps(said, indent=2))


if __name__ == "__main__":
    main()
