"""The services, the incidents and the actions as of an earlier moment, from what analytics keeps of each minute."""

from collections.abc import Iterable

import streamlit as st

from dashboard import charts
from dashboard.components import stated
from dashboard.moment import Moment
from dashboard.reads import Row, ask, now
from dashboard.text import clean


def latest(rows: Iterable[Row], by: str) -> dict[str, Row]:
    """The row of the last minute of each service or group, rows by minute."""
    return {str(row[by]): row for row in rows}


def minute_row(row: Row, group: Row | None, replicas: Row | None) -> dict[str, object]:
    """A service's last minute as a row of the table; latencies in ms, rates a second."""
    wanted = "–" if replicas is None else str(replicas["wanted"])
    return {
        "service": clean(row["service"]),
        "replicas": f"{'–' if row['ready'] is None else row['ready']}/{wanted}",
        "req/s": None if row["requests_per_minute"] is None else round(row["requests_per_minute"] / 60, 1),
        "errors": f"{row['error_rate']:.1%}",
        "p95 ms": "–" if row["p95_ms"] is None else f"{row['p95_ms']:,.0f}",
        "lag": row["lag"],
        "waits": "–" if group is None or not group["seconds"] else f"{group['seconds']:.0f} s",
        "cores": None if row["cpu_cores"] is None else round(row["cpu_cores"], 2),
        "data": clean(row["origin"]),
    }


def show_health(when: Moment) -> None:
    """All services in the last minute that was measured before the moment, within five."""
    st.subheader("Services, in the minute before", anchor=False)
    since = when.before(now(), minutes=5)
    reading = ask("service_minutes", since=since, **when.asked)
    if not stated(reading, "No sample of the services is kept of the five minutes before."):
        return
    groups = latest(ask("lag_by_group", since=since, **when.asked).rows, "group")
    replicas = latest(ask("replicas", since=since, **when.asked).rows, "service")
    rows = latest(reading.rows, "service")
    shown = [minute_row(row, groups.get(name), replicas.get(name)) for name, row in sorted(rows.items())]
    st.dataframe(shown, hide_index=True, alt="Every service in the minute before")
    st.caption("Health in words, work in hand and reasons are known of now alone.")


def show_incidents(when: Moment) -> None:
    """What was open then."""
    st.subheader("Incidents open then", anchor=False)
    reading = ask("incidents", since=when.before(now(), minutes=0), **when.asked)
    if not stated(reading, "No incident was open."):
        return
    shown = [incident_row(row, when) for row in open_then(reading.rows)]
    st.dataframe(shown, hide_index=True, alt="The incidents that were open then")


def open_then(rows: Iterable[Row]) -> list[Row]:
    """Those that were open."""
    return [row for row in rows if row["resolved_at"] is None]


def incident_row(row: Row, when: Moment) -> dict[str, object]:
    """An incident as it stood then."""
    return {
        "since": f"{charts.moment(row['opened_at']).astimezone(when.zone):%d %b %H:%M:%S}",
        "service": clean(row["service"]),
        "kind": clean(row["kind"]).replace("_", " "),
        "what": clean(row["summary"]),
        "orders": "–" if row["orders_open"] is None else f"{row['orders_open']:,}",
        "owner": clean(row["owner"] or "nobody"),
    }


def show_actions(when: Moment) -> None:
    """The last ten actions before, as far as each had come by then."""
    st.subheader("What had been done in the day before", anchor=False)
    reading = ask("operator_actions", **when.asked)
    if not stated(reading, "Nobody scaled or restarted anything in the 24 hours before."):
        return
    shown = [action_row(row, when) for row in reversed(reading.rows[-10:])]
    st.dataframe(shown, hide_index=True, alt="The last ten actions before")


def action_row(row: Row, when: Moment) -> dict[str, object]:
    """An action as far as it had come."""
    change = f"{row['previous']} → {row['replicas']}" if row["kind"] == "scale" else clean(row["kind"])
    return {
        "when": f"{charts.moment(row['requested_at']).astimezone(when.zone):%d %b %H:%M:%S}",
        "service": clean(row["service"]),
        "what": change,
        "verdict": clean(row["verdict"] or row["outcome"]),
        "because": clean(row["because"] or row["error"] or ""),
        "by": clean(row["actor"]),
        "reason": clean(row["reason"]),
    }
