"""Service health, and scaling with the promise before and the verdict after."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import streamlit as st

from dashboard import reads
from dashboard.text import clean, escaped
from shop_stack.errors import ShopfloorError
from shop_stack.operations.model import ActionView, IncidentView, ServiceView, StackView

_MARKS = {
    "ok": "● ok",
    "degraded": "▲ slow, late or failing",
    "down": "■ down",
    "starting": "◌ starting",
    "stopped": "□ stopped",
}


def health_row(view: ServiceView) -> dict[str, object]:
    """A service as one row of the table; latencies in ms, rates per second."""
    return {
        "service": clean(view.name),
        "health": _MARKS.get(view.health, view.health),
        "replicas": f"{view.ready}/{view.desired}",
        "req/s": round(view.request_rate, 1),
        "errors": f"{view.error_rate:.1%}",
        "p95 ms": "–" if view.p95_ms is None else f"{view.p95_ms:,.0f}",
        "goal ms": round(view.objective_p95_ms),
        "used": f"{view.utilisation:.0%}",
        "lag": view.lag,
        "in hand": _in_hand(view),
        "why": clean(view.because),
    }


def _in_hand(view: ServiceView) -> str:
    """Work taken on and not done yet, with the age of its oldest."""
    if not view.work:
        return "–"
    return f"{sum(one.items for one in view.work):,}, oldest {max(one.oldest_s for one in view.work):.0f} s"


def show_health() -> None:
    """All services now."""
    st.subheader("Services", anchor=False)
    view = reads.live_stack()
    if isinstance(view, str):
        st.warning(escaped(view) + "\n\nLook at: `shopfloor status`", icon=":material/cloud_off:")
        return
    dead = [part for part in view.parts if not part.up]
    for part in dead:
        st.error(f"{escaped(part.name)} is down: {escaped(part.because)}", icon=":material/error:")
    rows = [health_row(service) for service in view.services]
    widths: dict[str, Any] = {
        name: st.column_config.Column(width="small") for name in rows[0] if name not in ("why", "service")
    }
    st.dataframe(rows, hide_index=True, column_config=widths | {"why": st.column_config.Column(width="large")},
                 alt="Health of every service")  # fmt: skip


def incident_row(view: IncidentView, zone: tzinfo) -> dict[str, object]:
    """An open incident as one row; orders that are stuck for one cause are one, with their number."""
    return {
        "since": view.opened_at.astimezone(zone).strftime("%d %b %H:%M:%S"),
        "service": clean(view.service),
        "what": clean(view.summary),
        "orders": "–" if view.stuck is None else f"{view.stuck.orders:,}",
        "owner": clean(view.acknowledged_by or "nobody"),
    }


def trouble(found: Sequence[IncidentView], zone: tzinfo) -> str:
    """How many incidents are open (one at least), since when, and what the first of them says; markdown is escaped."""
    since = min(one.opened_at for one in found).astimezone(zone)
    count = f"{len(found)} incident{'' if len(found) == 1 else 's'} open, since {since:%d %b %H:%M:%S}"
    first = found[0]
    owner = f"{first.acknowledged_by} has it" if first.acknowledged_by else "nobody has it yet"
    return f"{count}\n\n**{escaped(first.service)}**: {escaped(first.summary)} ({escaped(owner)})"


def show_trouble() -> None:
    """What a glance at the top of the page must not miss; nothing at all while nothing is wrong."""
    if isinstance(said := reads.live_stack(), str):
        st.warning(f"How the services are is not known: {escaped(said)}", icon=":material/cloud_off:")
    elif found := reads.open_incidents():
        st.error(trouble(found, reads.stack().zone), icon=":material/notification_important:")


def show_incidents() -> None:
    """What is open now; nothing at all when nothing is."""
    found, zone = reads.open_incidents(), reads.stack().zone
    if not found:
        return
    st.subheader("Incidents", anchor=False)
    columns = {"what": st.column_config.Column(width="large")}
    rows = [incident_row(one, zone) for one in found]
    st.dataframe(rows, hide_index=True, column_config=columns, alt="The open incidents")


def show_scaling() -> None:
    """The form; acting needs the operator's token, which is sent once and kept nowhere."""
    view = reads.live_stack()
    if isinstance(view, str):
        st.info("Scaling waits until operations answers.", icon=":material/hourglass_empty:")
        return
    names = [service.name for service in view.services]
    left, right = st.columns(2)
    name = left.selectbox("Service", names, key="scale-service")
    service = next(s for s in view.services if s.name == name)
    replicas = right.number_input("Replicas", 0, service.max_replicas, max(service.desired, 1), key=f"replicas-{name}")
    promised = reads.expectation(service.name, int(replicas))
    words = promised if isinstance(promised, str) else promised.refused or promised.words
    st.caption(escaped(words))
    with st.form("scale", border=False, clear_on_submit=True, enter_to_submit=False):
        reason = st.text_input("Reason", max_chars=200, placeholder="why, for those who read it later")
        token = st.text_input("Operator's token", type="password", autocomplete="off",
                              help="The content of operator.token in the home folder. It is not stored.")  # fmt: skip
        if st.form_submit_button("Scale", type="primary"):
            _scale(view, service, int(replicas), reason, token)


def _scale(view: StackView, service: ServiceView, replicas: int, reason: str, token: str) -> None:
    if not token.strip() or not reason.strip():
        st.error("A reason and the operator's token are needed.")
        return
    try:
        reads.scale(service.name, replicas, reason.strip(), token.strip())
    except ShopfloorError as error:
        st.error(escaped(error))
        return
    moving = ", ".join([service.name, *service.moves_with])
    st.success(f"Scaling {escaped(moving)} to {replicas}. The effect is measured for a minute; see below.")


def action_row(action: ActionView) -> dict[str, object]:
    """An action as one row: what was asked, what was promised, what came of it."""
    change = f"{action.previous} → {action.replicas}" if action.kind == "scale" else action.kind
    return {
        "when": action.requested_at.astimezone(reads.stack().zone).strftime("%d %b %H:%M:%S"),
        "service": clean(action.service),
        "what": change,
        "verdict": clean(action.verdict or action.state),
        "because": clean(action.because or action.error or (action.expected.words if action.expected else "")),
        "by": clean(action.actor),
        "reason": clean(action.reason),
    }


def show_actions() -> None:
    """The last ten actions with their verdicts."""
    st.subheader("What was done, and whether it helped", anchor=False)
    rows = [action_row(action) for action in reads.actions()]
    if not rows:
        st.info("Nobody has scaled or restarted anything yet.", icon=":material/hourglass_empty:")
        return
    st.dataframe(rows, hide_index=True, alt="The last ten actions with their verdicts")
