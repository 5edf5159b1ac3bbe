"""Fits forecasts in a process of its own that exits: an Arrow stream on stdin, forecasts as JSON on stdout."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa

from analytics.models.demand import DAYS_AHEAD, next_days
from analytics.models.forecast import Forecast, NotEnoughHistory
from analytics.models.traffic import fill_gaps, next_requests
from analytics.task import Task
from shop_stack.events import ForecastMade, Point

_MINUTES_AHEAD = 60


def main() -> None:
    """Read one task and its history, write its forecasts."""
    os.nice(10)
    table = pa.ipc.open_stream(sys.stdin.buffer).read_all()
    task = msgspec.json.decode(table.schema.metadata[b"task"], type=Task)
    sys.stdout.buffer.write(msgspec.json.encode(list(fit(task, table))))


def fit(task: Task, table: pa.Table) -> Iterator[ForecastMade]:
    """The forecasts of one task; `forecast_id` is left empty for the publisher."""
    return _requests(task, table) if task.kind == "requests" else _sales(task, table)


def _requests(task: Task, table: pa.Table) -> Iterator[ForecastMade]:
    """One forecast a service from columns minute, service, requests, origin (in order of service and minute)."""
    services = np.asarray(table["service"].to_pylist(), dtype=object)
    minutes = table["minute"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() // 60_000_000
    requests = table["requests"].to_numpy()
    origins = np.asarray(table["origin"].to_pylist(), dtype=object)
    for service in task.services:
        own = services == service
        if not own.any():
            nothing = NotEnoughHistory("no minute of this service was sampled yet")
            yield _made(task, f"requests:{service}", "requests/min", "live", None, nothing, [])
            continue
        history, missing = fill_gaps(minutes[own], requests[own])
        end = datetime.fromtimestamp(int(minutes[own][-1]) * 60, UTC)
        ahead = [end + timedelta(minutes=n + 1) for n in range(_MINUTES_AHEAD)]
        note = f"{missing} minutes without samples were taken from the day before" if missing else ""
        origin = _named(set(origins[own]))
        result = next_requests(history, _MINUTES_AHEAD)
        yield _made(task, f"requests:{service}", "requests/min", origin, end, result, ahead, note)


def _sales(task: Task, table: pa.Table) -> Iterator[ForecastMade]:
    """Orders and revenue of the shop here and of imported history, each from its own last day."""
    rows = table.to_pylist()
    zone = ZoneInfo(task.zone)
    for imported in (False, True):
        days: dict[date, dict[str, Any]] = {row["day"]: row for row in rows if row["imported"] == imported}
        if not days and imported:
            continue
        yield from _daily(task, days, imported, zone)


def _daily(task: Task, days: dict[date, dict[str, Any]], imported: bool, zone: ZoneInfo) -> Iterator[ForecastMade]:
    yesterday = task.made_at.astimezone(zone).date() - timedelta(days=1)
    first = min(days, default=yesterday) + timedelta(days=0 if imported else 1)  # the first day here may be a part
    last = max(days, default=yesterday) if imported else max([*days, yesterday])
    whole = [first + timedelta(days=n) for n in range((last - first).days + 1)] if days else []
    found = {name for name in ("simulated", "live") if any(row[name] for row in days.values())}
    origin = "imported" if imported else _named(found)
    ahead = [_midnight(last + timedelta(days=n + 1), zone) for n in range(DAYS_AHEAD)]
    note = f"from its own last day, {last}" if imported else ""
    for series, column, unit in (("orders:day", "orders", "orders"), ("revenue:day", "revenue", "minor")):
        history = np.array([days[day][column] if day in days else 0.0 for day in whole], dtype=np.float64)
        end = _midnight(last, zone) if whole else None
        yield _made(task, series, unit, origin, end, next_days(history), ahead, note)


def _named(origins: set[str]) -> str:
    return "+".join(sorted(origins, reverse=True)) or "live"


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _made(
    task: Task,
    series: str,
    unit: str,
    origin: str,
    history_end: datetime | None,
    result: Forecast | NotEnoughHistory,
    ahead: list[datetime],
    note: str = "",
) -> ForecastMade:
    return ForecastMade(
        forecast_id="",
        series=series,
        unit=unit,
        origin=origin,
        made_at=task.made_at,
        history_end=history_end,
        step_s=60 if series.startswith("requests:") else 86400,
        model=result.model if isinstance(result, Forecast) else "",
        status="ok" if isinstance(result, Forecast) else "not_enough_history",
        note=note if isinstance(result, Forecast) else result.note,
        backtest_mase=result.backtest_mase if isinstance(result, Forecast) else None,
        points=_points(result, ahead) if isinstance(result, Forecast) else [],
    )


def _points(forecast: Forecast, ahead: list[datetime]) -> list[Point]:
    columns = (forecast.mean, forecast.low80, forecast.high80, forecast.low95, forecast.high95)
    return [
        Point(at, *(round(float(value), 3) for value in values)) for at, *values in zip(ahead, *columns, strict=True)
    ]


if __name__ == "__main__":
    main()
