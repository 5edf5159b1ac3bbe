"""ECharts options, pure: rows in, an option dictionary out. Text in them is drawn as text, never as markup."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dashboard.text import clean

Option = dict[str, Any]
ACTUAL, EXPECTED, WARNING = "#2563eb", "#b45309", "#dc2626"
_BAND95, _BAND80 = "rgba(180,83,9,0.14)", "rgba(180,83,9,0.26)"
_FLOW = ("#2563eb", "#0891b2", "#059669", "#65a30d", "#b45309", "#dc2626", "#9333ea", "#475569", "#0d9488", "#c026d3")
_GRID = {"left": 4, "right": 16, "top": 40, "bottom": 4, "containLabel": True}


def _frame() -> Option:
    return {
        "animation": False,
        "grid": _GRID,
        "tooltip": {"trigger": "axis", "confine": True, "valueFormatter": "localized"},
        "legend": {"top": 0, "left": 0, "type": "scroll", "itemWidth": 14, "itemHeight": 8},
        "xAxis": {"type": "time", "axisLabel": {"hideOverlap": True}},
        "yAxis": {"type": "value", "splitNumber": 4},
    }


def forecast_chart(
    actual: Sequence[tuple[str, float, bool]], points: Sequence[Mapping[str, Any]], scale: float = 1.0
) -> Option:
    """Actual values (ISO time, value, complete) and a forecast's mean with its 80% and 95% bands.

    Values are multiplied by `scale`. An incomplete last value is drawn apart, as a hollow point.
    """
    done = [[at, round(value * scale, 2)] for at, value, complete in actual if complete]
    partial = [[at, round(value * scale, 2)] for at, value, complete in actual if not complete]
    option = _frame()
    option["series"] = [
        *_band("95% band", points, "low95", "high95", _BAND95, scale),
        *_band("80% band", points, "low80", "high80", _BAND80, scale),
        {"name": "actual", "type": "line", "data": done, "showSymbol": False, "color": ACTUAL},
        {"name": "forecast", "type": "line", "showSymbol": False, "color": EXPECTED,
         "lineStyle": {"type": "dashed"}, "data": [[p["at"], round(p["mean"] * scale, 2)] for p in points]},
    ]  # fmt: skip
    names = ["actual", "forecast", "80% band", "95% band"]
    if partial:
        hollow = {"color": "rgba(0,0,0,0)", "borderColor": ACTUAL, "borderWidth": 2}
        option["series"].append(
            {"name": "not over yet", "type": "scatter", "data": partial, "symbolSize": 9, "itemStyle": hollow}
        )
        names.insert(1, "not over yet")
    option["legend"]["data"] = names
    return option


def _band(
    name: str, points: Sequence[Mapping[str, Any]], low: str, high: str, colour: str, scale: float
) -> list[Option]:
    lower = [[p["at"], round(p[low] * scale, 2)] for p in points]
    width = [[p["at"], round((p[high] - p[low]) * scale, 2)] for p in points]
    plain: Option = {"type": "line", "stack": name, "stackStrategy": "all", "showSymbol": False, "silent": True,
                     "lineStyle": {"opacity": 0}, "tooltip": {"show": False}}  # fmt: skip
    return [
        {**plain, "name": f"{name} from", "data": lower},
        {**plain, "name": name, "data": width, "areaStyle": {"color": colour, "opacity": 1}, "color": colour},
    ]


def flow_chart(rows: Sequence[Mapping[str, Any]]) -> Option:
    """Events a minute by topic, stacked; rows of `events_by_topic_by_minute` (complete minutes only)."""
    topics = sorted({str(row["topic"]) for row in rows})
    minutes = sorted({str(row["minute"]) for row in rows})
    count = {(str(row["topic"]), str(row["minute"])): row["events"] for row in rows}
    option = _frame()
    option["series"] = [
        {"name": clean(topic), "type": "line", "stack": "all", "areaStyle": {"opacity": 0.55}, "showSymbol": False,
         "lineStyle": {"width": 1}, "color": _FLOW[i % len(_FLOW)],
         "data": [[minute, count.get((topic, minute), 0)] for minute in minutes]}
        for i, topic in enumerate(topics)
    ]  # fmt: skip
    return option


def funnel_chart(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Option:
    """Horizontal bars from all sessions down to orders; rows of `funnel`."""
    ordered = sorted(rows, key=lambda row: row["position"], reverse=True)
    return {
        "animation": False,
        "grid": {**_GRID, "top": 4, "right": 64},
        "tooltip": {"trigger": "axis", "confine": True},
        "xAxis": {"type": "value", "show": False},
        "yAxis": {"type": "category", "data": [clean(names.get(r["step"], r["step"])) for r in ordered],
                  "axisTick": {"show": False}, "axisLine": {"show": False}},
        "series": [{"type": "bar", "color": ACTUAL, "barWidth": "62%", "name": "sessions",
                    "label": {"show": True, "position": "right", "formatter": "{c}"},
                    "data": [row["sessions"] for row in ordered]}],
    }  # fmt: skip


def hour_of(rows: Sequence[Mapping[str, Any]], value: str) -> list[tuple[str, float, bool]]:
    """(minute, value, complete) triples for `forecast_chart`, origins of one minute added up."""
    return _added_up(((str(row["minute"]), row) for row in rows), value)


def days_of(rows: Sequence[Mapping[str, Any]], value: str) -> list[tuple[str, float, bool]]:
    """(day, value, complete) triples for `forecast_chart`, origins of one day added up."""
    return _added_up(((str(row["day"])[:10], row) for row in rows), value)


def _added_up(rows: Iterable[tuple[str, Mapping[str, Any]]], value: str) -> list[tuple[str, float, bool]]:
    totals: dict[str, tuple[float, bool]] = {}
    for at, row in rows:
        before, complete = totals.get(at, (0.0, True))
        totals[at] = (before + float(row[value] or 0), complete and bool(row["complete"]))
    return [(at, total, complete) for at, (total, complete) in sorted(totals.items())]


def moment(text: str | datetime) -> datetime:
    """A row's time as a datetime."""
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)
