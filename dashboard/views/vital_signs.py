"""Revenue, orders, average order, conversion and sessions: today so far against the same weekday."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components import show_freshness, stated
from dashboard.moment import Moment
from dashboard.reads import ask, stack
from dashboard.text import escaped
from shop_stack.money import format_minor

_NAMES = {"revenue": "Revenue today", "orders": "Orders today", "average_order": "Average order",
          "conversion": "Conversion", "sessions": "Sessions today"}  # fmt: skip
_LAST_IMPORTED = re.compile(r"(\d{4}-\d\d-\d\d), the last day imported:")
_ORDER = ("revenue", "orders", "average_order", "conversion", "sessions")


def figure(row: Mapping[str, Any], which: str, currency: str) -> str:
    """A vital sign for a person: money, a share in per cent, or a count; a dash when there is none."""
    value = row[which]
    if value is None:
        return "—"
    if row["metric"] in ("revenue", "average_order"):
        whole = abs(value) >= 1_000_000
        return format_minor(round(value), currency).split(".")[0] if whole else format_minor(round(value), currency)
    return f"{value:.2%}" if row["metric"] == "conversion" else f"{value:,.0f}"


def delta(row: Mapping[str, Any]) -> str | None:
    """The change against the same weekday, or None when there is nothing to compare or no change to speak of."""
    change = row["change"]
    return None if change is None or abs(change) < 0.0005 else f"{change:+.1%}"


def last_imported(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The day that is shown when there are only imported orders: the last of them; None when it is today."""
    found = _LAST_IMPORTED.match(str(rows[0].get("origin_note") or "")) if rows else None
    return found[1] if found else None


def headed(day: str | None, when: Moment) -> str:
    """The panel's heading: the last day imported, today so far, or an earlier day until the moment."""
    if day:
        return f"{day}, the last day imported"
    return f"{when.at.astimezone(when.zone):%a %d %b until %H:%M}" if when.at is not None else "Today so far"


def show(when: Moment) -> None:
    """The panel."""
    reading = ask("vital_signs", **when.asked)
    day = last_imported(reading.rows)
    head, badge = st.columns([5, 1], vertical_alignment="center")
    head.subheader(headed(day, when), anchor=False)
    with badge:
        show_freshness(reading, when)
    if not stated(reading, "No order has been placed yet; the first one shows up here within seconds."):
        return
    rows = {row["metric"]: row for row in reading.rows}
    currency = stack().currency
    for column, metric in zip(st.columns(len(_ORDER)), _ORDER, strict=True):
        if metric in rows:
            row = rows[metric]
            name = _NAMES[metric].removesuffix(" today") if day or when.back else _NAMES[metric]
            column.metric(name, figure(row, "today", currency), delta(row), border=True,
                          help=escaped(row["definition"]),
                          delta_description=f"was {figure(row, 'same_weekday', currency)}")  # fmt: skip
    note = rows[_ORDER[0]].get("origin_note") or reading.note
    week = "a week before" if when.back else "last week"
    against = "a week before." if day else f"{week} until the same time of day."
    st.caption(f"Against the same weekday {against} {escaped(note).capitalize()}")
