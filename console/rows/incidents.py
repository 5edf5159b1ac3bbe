"""Incidents: what is open, since when and whose it is, for somebody who was woken by it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from console.rows import Line, Row, Span
from console.rows import figures as f
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.model import IncidentView, StuckOrders

NOBODY = "nobody"
KEPT = 3  # of those that are over
STOPPED = "stopped_aggregate"  # the kind whose cause is a dead letter


def open_ones(incidents: "Sequence[IncidentView]") -> "list[IncidentView]":
    """Those that are not over: nobody's first, then the oldest first."""
    found = [incident for incident in incidents if incident.resolved_at is None]
    return sorted(found, key=lambda incident: (incident.acknowledged_by is not None, incident.opened_at))


def short(incidents: "Sequence[IncidentView]", now: datetime) -> Span | None:
    """How many are open, whose and since when, in few words for the floor; None when none is."""
    found = open_ones(incidents)
    if not found:
        return None
    age = _age(min(incident.opened_at for incident in found), now)
    unowned = sum(incident.acknowledged_by is None for incident in found)
    if len(found) == 1:
        text = f"1 incident {age}, {f'{_owner(found[0])} owns it' if not unowned else 'nobody owns it'} (i)"
    else:
        text = f"{len(found)} incidents, {unowned or 'none'} unowned, oldest {age} (i)"
    return Span(text, "bad" if unowned else "warn", "show_pane('parts')")


def rows(incidents: "Sequence[IncidentView]", now: datetime, keys: str = "m: it is mine, ") -> list[Row]:
    """Every open incident with its age and owner; nothing when none is open. `keys` are named beside Enter."""
    found = open_ones(incidents)
    title = f"  {'SINCE':<8} {'AGE':<7} {'OWNER':<10} INCIDENT ({keys}Enter: all of it)"
    return [Row("head:incidents", (Span(title, "head"),)), *(_row(one, now) for one in found)] if found else []


def past_rows(incidents: "Sequence[IncidentView]") -> list[Row]:
    """The last ones that are over."""
    over = [incident for incident in incidents if incident.resolved_at is not None]
    return [_past(incident) for incident in over[:KEPT]]


def _row(incident: "IncidentView", now: datetime) -> Row:
    unowned = incident.acknowledged_by is None
    return Row(
        incident.incident_id,
        (
            Span("✖ " if unowned else "● ", "bad" if unowned else "warn"),
            Span(f"{f.clock(incident.opened_at)} "),
            Span(fit(_age(incident.opened_at, now), 7) + " ", "strong"),
            Span(fit(_owner(incident), 10) + " ", "bad" if unowned else "ok"),
            Span(f"{safe(incident.service)}: ", "strong"),
            Span(safe(incident.summary)),
        ),
    )


def _past(incident: "IncidentView") -> Row:
    assert incident.resolved_at is not None
    lasted = f.span((incident.resolved_at - incident.opened_at).total_seconds())
    text = f"✔ {f.clock(incident.opened_at)} over after {lasted}: {safe(incident.service)}: {safe(incident.summary)}"
    return Row(incident.incident_id, (Span(text, "dim"),))


def explain(incident: "IncidentView", now: datetime, actor: str | None) -> tuple[Line, Line]:
    """Two lines on one incident: since when and whose, and what it is. No actor: `now` is past, nothing can be done."""
    if incident.resolved_at is not None:
        first: Line = (
            Span(f"{safe(incident.service)}: over since {f.zoned(incident.resolved_at)}", "ok"),
            Span(f", {_owned(incident, actor)}", "dim"),
        )
    else:
        first = (
            Span(f"{safe(incident.service)}: open since {f.zoned(incident.opened_at)}", "strong"),
            Span(f" ({_age(incident.opened_at, now)}), "),
            Span(_owned(incident, actor), "bad" if incident.acknowledged_by is None else "ok"),
        )
    leads = (
        (Span("x: its dead letters. ", "key", "dead_letters"),) if has_letters(incident) and actor is not None else ()
    )
    return first, (*leads, Span(safe(incident.summary)))


def has_letters(incident: "IncidentView") -> bool:
    """Whether dead letters are its cause, which can be looked at and tried again."""
    return incident.kind == STOPPED and incident.resolved_at is None


def story(incident: "IncidentView", now: datetime, actor: str | None) -> list[Line]:
    """The whole of one incident, a fact a line. No actor: `now` is past, nothing can be done."""
    before = f"{_age(incident.opened_at, now)} {'before' if actor is None else 'ago'}"
    opened = f"{incident.opened_at:%d %b} {f.zoned(incident.opened_at)}, {before}"
    lines: list[Line] = [
        (Span(fit("what", 10), "dim"), Span(safe(incident.summary), "strong")),
        (Span(fit("service", 10), "dim"), Span(safe(incident.service))),
        (Span(fit("kind", 10), "dim"), Span(safe(incident.kind).replace("_", " "))),
        (Span(fit("opened", 10), "dim"), Span(opened)),
        (Span(fit("owner", 10), "dim"), Span(_owned(incident, actor))),
    ]
    if incident.stuck:
        lines += _stuck(incident.stuck)
    if has_letters(incident) and actor is not None:
        look = Span("x shows its dead letters; r there tries them again", "key", "dead_letters")
        lines.append((Span(fit("next", 10), "dim"), look))
    if incident.resolved_at is not None:
        over = f"{incident.resolved_at:%d %b} {f.zoned(incident.resolved_at)}"
        lines.append((Span(fit("over", 10), "dim"), Span(over, "ok")))
    return lines


def _stuck(stuck: "StuckOrders") -> list[Line]:
    named = ", ".join(map(safe, stuck.oldest))
    more = f" and {f.count(stuck.orders - len(stuck.oldest))} more" if stuck.orders > len(stuck.oldest) else ""
    return [
        (Span(fit("stuck", 10), "dim"), Span(f"since {f.zoned(stuck.since)}: {named}{more}")),
        (Span(fit("next", 10), "dim"), Span("o and an order's id show its journey")),
    ]


def _owned(incident: "IncidentView", actor: str | None) -> str:
    if incident.acknowledged_by is None:
        return "nobody owned it" if incident.resolved_at or actor is None else "nobody owns it: m takes it"
    return f"{_owner(incident)} owns it" + (" (you)" if incident.acknowledged_by == actor else "")


def _owner(incident: "IncidentView") -> str:
    return safe(incident.acknowledged_by) if incident.acknowledged_by else NOBODY


def _age(since: datetime, now: datetime) -> str:
    return f.span((now - since).total_seconds())
