"""The forecast: orders and revenue a day for 14 days, and requests a minute for the next hour, with bands."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import streamlit as st

from dashboard import charts
from dashboard.components import download, stated
from dashboard.moment import Moment
from dashboard.reads import Reading, Row, ask, now, stack
from dashboard.text import escaped

_DAYS_SHOWN = 42
_SERIES = {"Revenue": "revenue:day", "Orders": "orders:day"}


def points_of(rows: list[Row]) -> list[Row]:
    """The rows of a forecast that are points; a series without enough history has none."""
    return [row for row in rows if row.get("at") is not None]


def words_of(rows: list[Row]) -> str:
    """What stands below a forecast: by which model, how wrong it was in the backtest, from what data."""
    row = (points_of(rows) or rows)[0]
    if row["status"] != "ok":
        return f"No forecast: {escaped(row['note'] or 'not enough history')}"
    mase = (
        "" if row["backtest_mase"] is None else f", backtest MASE {row['backtest_mase']:.2f} (1 = the seasonal guess)"
    )
    made = charts.moment(row["made_at"]).astimezone(stack().zone)
    return f"{escaped(row['model'])} on {escaped(row['origin'])} data{mase}; made {made:%d %b %H:%M}."


def none_yet(when: Moment) -> str:
    """In the place of a forecast's words, where there is none."""
    return "No forecast had been made yet." if when.back else "The first forecast is being made."


def show_days(when: Moment) -> None:
    """Revenue or orders a day, with the next 14 days, of the running shop or of what was imported."""
    head, choice = st.columns([3, 2], vertical_alignment="center")
    head.subheader("The next 14 days", anchor=False)
    with choice:
        what = st.segmented_control("Series", list(_SERIES), default="Revenue", required=True, key="series",
                                    label_visibility="collapsed", bind="query-params")  # fmt: skip
    what = what or "Revenue"
    past = ask("revenue_by_day", **when.asked)
    if not stated(past, "No order has been placed yet."):
        return
    days = by_source(past.rows)
    source = max(days, key=lambda name: len({row["day"] for row in days[name]}))
    if len(days) > 1:
        source = st.segmented_control("Data", list(days), default=source, required=True, key="days-of",
                                      label_visibility="collapsed", bind="query-params") or source  # fmt: skip
    ahead = [row for row in ask("forecasts", series=_SERIES[what], **when.asked).rows if source_of(row) == source]
    _days_chart(replace(past, rows=last_days(days[source])), ahead, what, when)


def source_of(row: Row) -> str:
    """Whether a row tells of the running shop (its simulated past included) or of imported orders."""
    return "imported" if row["origin"] == "imported" else "this shop"


def by_source(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each source, in their order."""
    sources: dict[str, list[Row]] = {}
    for row in rows:
        sources.setdefault(source_of(row), []).append(row)
    return sources


def last_days(rows: list[Row]) -> list[Row]:
    """The rows of the last 42 days, counted from the last of them: an old series is shown at its own time."""
    first = charts.moment(str(max(row["day"] for row in rows))[:10]) - timedelta(days=_DAYS_SHOWN)
    return [row for row in rows if charts.moment(str(row["day"])[:10]) > first]


def _days_chart(past: Reading, ahead: list[Row], what: str, when: Moment) -> None:
    money = what == "Revenue"
    value, scale, unit = ("revenue_minor", 0.01, stack().currency) if money else ("orders", 1.0, "Orders")
    option = charts.forecast_chart(charts.days_of(past.rows, value), points_of(ahead), scale)
    st.echarts_chart(option, height=320, alt=f"{what} by day with the forecast of the next 14 days")
    origins = sorted({str(row["origin"]) for row in past.rows})
    words = words_of(ahead) if ahead else none_yet(when)
    data = escaped(", ".join(origins))
    st.caption(f"{escaped(unit)} a day, days of {escaped(stack().time_zone)}; {data} data. {words}")
    download(past, "revenue_by_day", when)


def show_hour(when: Moment) -> None:
    """Requests a minute of one service, with the next hour."""
    names = [spec.name for spec in stack().services]
    head, choice = st.columns([3, 2], vertical_alignment="center")
    head.subheader("The next hour", anchor=False)
    with choice:
        service = st.selectbox("Service", names, key="service", label_visibility="collapsed", bind="query-params")
    past = ask("service_minutes", service=service, since=when.before(now(), hours=3), **when.asked)
    ahead = ask("forecasts", series=f"requests:{service}", **when.asked)
    if not stated(past, "No request has been measured yet."):
        return
    rows: list[dict[str, Any]] = [row for row in past.rows if row["service"] == service]
    option = charts.forecast_chart(charts.hour_of(rows, "requests_per_minute"), points_of(ahead.rows))
    st.echarts_chart(option, height=320, alt=f"Requests a minute at {service} with the forecast of the next hour")
    words = words_of(ahead.rows) if ahead.rows else none_yet(when)
    st.caption(f"Requests a minute, calls between services included. {words}")
    download(past, "service_minutes", when)
