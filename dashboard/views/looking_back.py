"""Looking back: the choice of an earlier moment, the banner that names it, the way back to now."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from analytics.moments import Refused, ago, earliest, spelled
from dashboard.moment import Moment, chosen
from dashboard.reads import ask, now, stack
from dashboard.text import escaped

PARAMETER = "at"
_SOON = {"15 min ago": timedelta(minutes=15), "1 hour ago": timedelta(hours=1), "1 day ago": timedelta(days=1),
         "1 week ago": timedelta(days=7)}  # fmt: skip


def choose() -> Moment:
    """The page's head with its control; a moment that cannot be shown is said, in place of all figures."""
    ranges, zone = ask("data_range").rows, stack().zone
    when = chosen(st.query_params.get(PARAMETER), ranges, now(), zone)
    head, control = st.columns([4, 1], vertical_alignment="bottom")
    head.title(stack().name, anchor=False)
    with control, st.popover("Look back", icon=":material/history:", width="stretch"):
        _control(when.at if isinstance(when, Moment) else None, earliest(ranges))
    if isinstance(when, Refused):
        st.error(f"This moment cannot be shown: {escaped(when.why)}.", icon=":material/event_busy:")
        st.button("Show now", on_click=_show_now, type="primary")
        st.stop()
    if when.at is not None:
        _banner(when, when.at)
    return when


def not_kept(what: str) -> None:
    """In the place of a panel that cannot look back."""
    said = f"{what} known of now alone; it is not shown as of an earlier moment."
    st.info(said, icon=":material/history_toggle_off:")


def _banner(when: Moment, at: datetime) -> None:
    with st.container(key="looking-back", horizontal=True, vertical_alignment="center"):
        said = f"**Looking back: as of {escaped(when.in_words())}**, {ago(at, now())} ago. Nothing below is of now."
        st.warning(said, icon=":material/history:", width="stretch")
        st.button("Back to now", on_click=_show_now, type="primary")


def _control(at: datetime | None, first: datetime | None) -> None:
    zone, latest = stack().zone, now()
    for words, span in _SOON.items():
        known = first is not None and latest - span >= first
        st.button(words, on_click=_show, args=(latest - span,), disabled=not known, width="stretch")
    local = (at or latest).astimezone(zone)
    begins = (first or latest).astimezone(zone).date()
    with st.form("moment", border=False):
        day = st.date_input("Day", local.date(), min_value=begins, max_value=latest.astimezone(zone).date())
        time = st.time_input(f"Time ({local:%Z})", local.time().replace(second=0, microsecond=0), step=60)
        if st.form_submit_button("Show that moment", width="stretch") and day and time:
            _show(datetime.combine(day, time, zone))
            st.rerun()


def _show(at: datetime) -> None:
    st.query_params[PARAMETER] = spelled(at.astimezone(UTC))


def _show_now() -> None:
    st.query_params.pop(PARAMETER, None)
