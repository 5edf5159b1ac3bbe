"""Pieces that several panels share: freshness, states in words, downloads."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from dashboard.moment import Moment
from dashboard.reads import Reading, Row, now
from dashboard.text import clean, escaped

FRESH_S, STALE_S = 10.0, 60.0


def freshness(as_of: datetime | None, failed: str | None, asked_at: datetime) -> tuple[str, str]:
    """A badge's words and colour: how old the newest event in the answers is."""
    if failed is not None:
        return "no data: analytics is not answering", "red"
    if as_of is None:
        return "no events yet", "gray"
    age = max(0.0, (asked_at - as_of).total_seconds())
    if age <= FRESH_S:
        return "live", "green"
    words = (
        f"{age:.0f} s old" if age < 120 else f"{age / 60:.0f} min old" if age < 7200 else f"since {as_of:%d %b %H:%M}"
    )
    return (words, "orange") if age <= STALE_S * 60 else (words, "gray")


def _age(as_of: datetime, age_s: float) -> str:
    if age_s < 120:
        return f"{age_s:.0f} s old"
    return f"{age_s / 60:.0f} min old" if age_s < 7200 else f"since {as_of:%d %b %H:%M} UTC"


def show_freshness(reading: Reading, when: Moment) -> None:
    """The badge itself; of an earlier moment it says that it is none of now."""
    words, colour = freshness(reading.as_of, reading.failed, now())
    told = "The age of the newest event behind these figures."
    if when.back and reading.failed is None:
        words, colour, told = "not now", "orange", "Only events with a time before the chosen moment count."
    st.badge(words, color=colour, help=told)  # type: ignore[arg-type]


def stated(reading: Reading, nothing: str) -> bool:
    """Whether there are rows to draw; otherwise says why not, in the panel's place."""
    if reading.failed is not None:
        st.warning(escaped(reading.failed) + "\n\nLook at: `shopfloor status`", icon=":material/cloud_off:")
        return False
    if reading.empty:
        st.info(nothing, icon=":material/hourglass_empty:")
        return False
    return True


def as_csv(rows: Sequence[Row]) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8). A cell that a spreadsheet would run as a formula gets a leading quote."""
    if not rows:
        return b""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return out.getvalue().encode()


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def download(reading: Reading, name: str, when: Moment) -> None:
    """A button that saves a panel's rows."""
    file_name = f"{when.file_name(name)}.csv"
    st.download_button("CSV", as_csv(reading.rows), file_name=file_name, mime="text/csv", key=f"csv-{name}",
                       icon=":material/download:", type="tertiary", on_click="ignore")  # fmt: skip
