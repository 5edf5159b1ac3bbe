"""Event flow by topic, the funnel from visits to orders, and the best sellers."""

from datetime import timedelta

import streamlit as st

from dashboard import charts
from dashboard.components import download, stated
from dashboard.moment import Moment
from dashboard.reads import ask, now, stack
from dashboard.text import clean

_STEPS = {"sessions": "visited", "viewed": "saw a product", "cart": "filled a cart", "checkout": "began checkout",
          "ordered": "ordered"}  # fmt: skip


def show_events(when: Moment) -> None:
    """Events a minute by topic over the last half hour."""
    st.subheader("Events by topic", anchor=False)
    reading = ask("events_by_topic_by_minute", since=when.before(now(), minutes=30), **when.asked)
    if not stated(reading, "No event in the last half hour."):
        return
    whole = [row for row in reading.rows if row["complete"]]
    running = sum(row["events"] for row in reading.rows if not row["complete"])
    st.echarts_chart(charts.flow_chart(whole), height=280, alt="Events a minute by topic, last 30 minutes")
    so_far = "" if when.back else f" The minute that is not over yet has {running:,} events so far."
    st.caption(f"Whole minutes.{so_far}")
    download(reading, "events_by_topic_by_minute", when)


def show_funnel(when: Moment) -> None:
    """From a visit to an order, in a day."""
    st.subheader("From visit to order, last 24 hours", anchor=False)
    reading = ask("funnel", since=when.before(now(), hours=24), **when.asked)
    if not stated(reading, "Nobody has visited yet."):
        return
    st.echarts_chart(charts.funnel_chart(reading.rows, _STEPS), height=220, alt="Sessions by step of the funnel")
    st.caption("Live sessions; each step counts the sessions that came at least so far.")
    download(reading, "funnel", when)


def show_products(when: Moment) -> None:
    """The ten best sellers of an origin's own last seven days."""
    ranges = {str(row["origin"]): row for row in ask("data_range", **when.asked).rows if row["last"]}
    head, choice = st.columns([3, 2], vertical_alignment="center")
    head.subheader("Best sellers, last 7 days", anchor=False)
    if not ranges:
        st.info("Nothing was sold yet.", icon=":material/hourglass_empty:")
        return
    largest = max(ranges, key=lambda origin: int(ranges[origin]["events"]))
    with choice:
        origin = st.segmented_control("Data", sorted(ranges), default=largest, key="origin", required=True,
                                      label_visibility="collapsed", bind="query-params") or largest  # fmt: skip
    until = charts.moment(ranges[origin]["last"])
    since = (until - timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:00Z")
    reading = ask("top_products", since=since, limit=10, origin=origin, **when.asked)
    if not stated(reading, f"Nothing of the {origin} orders was sold in their last seven days."):
        return
    shown = [
        {"product": clean(row["name"] or row["product_id"]), "units": row["units"], "orders": row["orders"],
         f"revenue, {stack().currency}": row["revenue_minor"] / 100}
        for row in reading.rows
    ]  # fmt: skip
    st.dataframe(shown, hide_index=True, alt="The ten best selling products")
    download(reading, "top_products", when)
