"""Incidents and actions as they stood at an earlier minute."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from console.rows import Line, Row, Span
from console.rows import figures as f
from console.rows.actions import VERDICTS
from console.rows.past import moment
from console.text import fit, safe
from shop_stack.operations.model import IncidentView, StuckOrders

LISTED = 10


def incident_then(row: Mapping[str, Any], zone: tzinfo, currency: str) -> IncidentView:
    """A row of the question `incidents` as the screens know an incident; orders that were stuck are counted in it."""
    resolved, opened = row["resolved_at"], moment(row["opened_at"]).astimezone(zone)
    stuck = _stuck(row, opened)
    counted = f"{_counted(row, currency)}: " if stuck else ""
    return IncidentView(
        incident_id=str(row["incident_id"]),
        kind=str(row["kind"]),
        service=str(row["service"]),
        summary=f"{counted}{row['summary']}",
        stuck=stuck,
        opened_at=opened,
        resolved_at=moment(resolved).astimezone(zone) if resolved else None,
        acknowledged_by=row["owner"],
    )


def _stuck(row: Mapping[str, Any], since: datetime) -> StuckOrders | None:
    if not row["orders"] or row["subject"] is not None:
        return None
    return StuckOrders(
        orders=row["orders"],
        amount_minor=row["amount_minor"] or 0,
        whole=True,
        since=since,
        oldest=[one for one in str(row["oldest"] or "").split(",") if one],
    )


def _counted(row: Mapping[str, Any], currency: str) -> str:
    plural = "" if row["orders"] == 1 else "s"
    worth = f" worth {f.money(row['amount_minor'], currency)}" if row["amount_minor"] else ""
    still = "" if row["orders_open"] == row["orders"] else f", {f.count(row['orders_open'])} still"
    return f"{f.count(row['orders'])} order{plural}{worth}{still}"


def action_rows_then(rows: Sequence[Mapping[str, Any]], zone: tzinfo) -> list[Row]:
    """The last ten actions before, newest first, each as far as it had come."""
    return [_action(row, zone) for row in reversed(rows[-LISTED:])]


def _action(row: Mapping[str, Any], zone: tzinfo) -> Row:
    at = moment(row["requested_at"]).astimezone(zone)
    outcome = _outcome(row)
    line = (
        Span(f"{at:%d %b} {f.clock(at)} ", "dim"),
        Span(fit(what_then(row), 25) + " ", "strong"),
        outcome._replace(text=fit(outcome.text, 12) + " "),
        Span(safe(row["because"] or row["error"] or row["reason"] or "")),
    )
    return Row(str(row["action_id"]), line)


def what_then(row: Mapping[str, Any]) -> str:
    """`scale orders 1→3` or `restart orders`."""
    if row["kind"] != "scale":
        return f"{safe(row['kind'])} {safe(row['service'])}"
    before = "?" if row["previous"] is None else row["previous"]
    return f"scale {safe(row['service'])} {before}→{row['replicas']}"


def _outcome(row: Mapping[str, Any]) -> Span:
    if row["verdict"]:
        text, tone = VERDICTS.get(str(row["verdict"]), (safe(row["verdict"]), "dim"))
        return Span(text, tone)
    if row["outcome"] == "failed":
        return Span("✖ FAILED", "bad")
    return Span("✔ APPLIED", "ok") if row["outcome"] == "applied" else Span("under way", "warn")


def action_story_then(row: Mapping[str, Any], zone: tzinfo) -> list[Line]:
    """The whole of one action as far as it had come, a fact a line."""
    asked: datetime = moment(row["requested_at"]).astimezone(zone)
    lines: list[Line] = [
        _fact("asked", f"{asked:%d %b} {f.zoned(asked)} by {safe(row['actor'])}"),
        _fact("reason", safe(row["reason"] or "")),
        (Span(fit("state", 10), "dim"), _outcome(row)),
    ]
    if row["error"]:
        lines.append((Span(fit("error", 10), "dim"), Span(safe(row["error"]), "bad")))
    lines += [_measured(title, row, which) for title, which in (("before", "before"), ("after", "after"))]
    if row["because"]:
        lines.append(_fact("because", safe(row["because"])))
    return lines


def _measured(title: str, row: Mapping[str, Any], which: str) -> Line:
    p95, used = row[f"p95_{which}_ms"], row[f"utilisation_{which}"]
    known = p95 is not None or used is not None
    said = f"p95 {f.milliseconds(p95)}, {f.share(used)} used" if known else "not known then"
    return _fact(title, said)


def _fact(title: str, text: str) -> Line:
    return Span(fit(title, 10), "dim"), Span(text)
