"""The stack's own lines: what it is and how fresh, the vital signs of the shop, what is dead and what is worst."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from console.rows import Line, Row, Span, Tone, plain
from console.rows import figures as f
from console.rows.incidents import short
from console.rows.services import beyond, breach, brief, worst
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.model import IncidentView, PartView, StackView

STALE_S = 5.0
Freshness = Literal["empty", "loading", "error", "stale", "live"]


@dataclass(frozen=True)
class Reading:
    """What is known of the stack: the last view and when it came (None: none yet), and the last failure since.

    `empty` is true when nothing runs on the home folder; `viewed_at` and `now` are the console's own clock.
    """

    view: "StackView | None" = None
    viewed_at: datetime | None = None
    trouble: str = ""
    empty: bool = False

    def age_s(self, now: datetime) -> float:
        """Seconds since the newest sample that the view shows; 0 when there is none."""
        if self.view is None or self.viewed_at is None:
            return 0.0
        sampled = self.view.sampled_at or self.view.at
        return max(0.0, (self.view.at - sampled).total_seconds() + (now - self.viewed_at).total_seconds())

    def freshness(self, now: datetime) -> Freshness:
        """How far the screen can be believed."""
        if self.view is None:
            return "empty" if self.empty else ("error" if self.trouble else "loading")
        return "stale" if self.age_s(now) > STALE_S else "live"


def header(reading: Reading, now: datetime, width: int, read_only: bool) -> Line:
    """The first line: the stack, its topology and log, who looks, and how fresh the screen is."""
    fresh = _freshness_span(reading, now)
    view = reading.view
    if view is None:
        return _between((Span("Shopfloor", "strong"),), (fresh,), width)
    rights = "read-only" if read_only else safe(view.role)
    left = (
        Span(safe(view.name), "strong"),
        Span(f" {safe(view.topology)}, {_log_name(view.log)}, as {rights}", "dim"),
    )
    return _between(left, (fresh,), width)


def _log_name(log: str) -> str:
    return "embedded log" if log.startswith("embedded") else safe(log)


def _freshness_span(reading: Reading, now: datetime) -> Span:
    state = reading.freshness(now)
    if state == "empty":
        return Span("NOT RUNNING", "bad")
    if state == "error":
        return Span("NO ANSWER", "bad")
    if state == "loading" or reading.view is None:
        return Span("connecting…", "warn")
    if state == "stale":
        return Span(f"STALE: {f.span(reading.age_s(now))} old", "bad")
    return Span(f"live {f.zoned(now)}", "ok")


def _between(left: Line, right: Line, width: int) -> Line:
    room = width - len(plain(left)) - len(plain(right))
    if room < 1:
        return (Span(fit(plain(left), max(0, width - len(plain(right)) - 1)), "strong"), Span(" "), *right)
    return (*left, Span(" " * room), *right)


def trouble(reading: Reading, now: datetime, width: int, incidents: "Sequence[IncidentView]" = ()) -> Line:
    """What needs a person: no stack, old data, dead parts, open incidents, the worst service; else that all is well."""
    state = reading.freshness(now)
    if state == "empty":
        return (Span("this screen comes alive as soon as the stack runs", "dim"),)
    if state == "error":
        return (Span(fit(safe(reading.trouble), width), "bad"),)
    if state == "loading" or reading.view is None:
        return (Span("asking operations…", "dim"),)
    if state == "stale":
        return (Span(fit(_stale_words(reading), width), "bad"),)
    return _needs(reading.view, width, short(incidents, now))


def _stale_words(reading: Reading) -> str:
    return safe(reading.trouble) or "operations answers, but its samples stand still; see the logs of operations"


def _needs(view: "StackView", width: int, incidents: Span | None) -> Line:
    dead = [part for part in view.parts if not part.up]
    name = worst(view.services)
    spans: list[Span] = []
    if dead:
        names = ", ".join(safe(part.name).upper() for part in dead)
        spans.append(Span(f"{names} DOWN", "bad", "show_pane('parts')"))
        spans.append(Span("  " if name or not dead[0].because else f": {safe(dead[0].because)}  ", "plain"))
    if incidents:
        spans.append(incidents._replace(text=f"{incidents.text}  "))
    if name:
        view_of = next(service for service in view.services if service.name == name)
        state = "" if view_of.health == "ok" else f" {view_of.health}"
        spans.append(Span(f"! {safe(name)}{state}: ", "warn", "go_worst"))
        spans.append(Span(brief(view_of), "plain", "go_worst"))
        return _with_hint(spans, "  ! goes there", width)
    if not spans:
        spans.append(Span(f"all {len(view.services)} services and {len(view.parts)} parts ok", "ok"))
    return (*spans, *_unforeseen(view))


def _unforeseen(view: "StackView") -> Line:
    above = [service for service in view.services if beyond(service) == "▲"]
    if len(above) == 1:
        return (Span(f"  {safe(above[0].name)}: {breach(above[0])}", "warn"),)
    return (Span(f"  ▲ above the forecast: {', '.join(safe(s.name) for s in above)}", "warn"),) if above else ()


def _with_hint(spans: list[Span], hint: str, width: int) -> Line:
    """The hint is also on the line of keys: it goes before the reason does."""
    last, room = spans[-1], width - sum(len(span.text) for span in spans[:-1])
    if len(last.text) + len(hint) <= room:
        return (*spans, Span(hint, "key", "go_worst"))
    text = last.text if len(last.text) <= room else fit(last.text, max(room, 0))
    return (*spans[:-1], last._replace(text=text))


_LAST_IMPORTED = re.compile(r"(\d{4}-\d\d-\d\d), the last day imported:")
_SIGNS = (("revenue", "revenue"), ("orders", "orders"), ("conversion", "conv"), ("average_order", "avg"),
          ("sessions", "sessions"))  # fmt: skip


@dataclass(frozen=True)
class Vitals:
    """The vital signs as analytics answered them, and the last failure since; `day` names one that is not today."""

    rows: Sequence[Mapping[str, Any]] | None = None
    read_at: datetime | None = None
    trouble: str = ""
    day: str = ""


def vitals(signs: Vitals, currency: str, now: datetime, width: int) -> Line:
    """The shop today, each figure with its change against the same time of the same weekday last week."""
    if signs.rows is None:
        which = f"shop {signs.day or 'today'}"
        said = f"{which}: {safe(signs.trouble)}" if signs.trouble else f"{which}: asking analytics…"
        return (Span(fit(said, width).rstrip(), "bad" if signs.trouble else "dim"),)
    if not signs.rows and not signs.trouble:
        return (Span(f"shop {signs.day or 'today'}: no session and no order yet", "dim"),)
    by_metric = {str(row.get("metric")): row for row in signs.rows}
    line: list[Span] = [Span(f"{_day(signs)} ", "dim")]
    if signs.trouble and signs.read_at:
        line = [Span(f"OLD {f.span((now - signs.read_at).total_seconds())} ", "bad")]
    for metric, title in _SIGNS:
        sign = _sign(title, by_metric.get(metric), currency)
        if sum(len(span.text) for span in (*line, *sign)) - 2 <= width:
            line.extend(sign)
    note = " vs a week ago"
    if sum(len(span.text) for span in line) + len(note) <= width and any(_has_change(row) for row in signs.rows):
        return (*line, Span(note, "dim"))
    return (*line[:-1], line[-1]._replace(text=line[-1].text.rstrip()))


def _day(signs: Vitals) -> str:
    """Which day is shown: today or another one, or of imported orders alone the last of theirs."""
    found = _LAST_IMPORTED.match(str(signs.rows[0].get("origin_note") or "")) if signs.rows else None
    return f"imported {found[1]}" if found else signs.day or "today"


def _has_change(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("change"), int | float)


def _sign(title: str, row: Mapping[str, Any] | None, currency: str) -> Line:
    if row is None:
        return ()
    ratio = row.get("change")
    change = f" {f.change(float(ratio))}" if isinstance(ratio, int | float) else ""
    tone: Tone = "ok" if "▲" in change else ("warn" if "▼" in change else "dim")
    return Span(f"{title} ", "dim"), Span(_today(title, row, currency), "strong"), Span(f"{change}  ", tone)


def _today(title: str, row: Mapping[str, Any], currency: str) -> str:
    value = row.get("today")
    if not isinstance(value, int | float):
        return f.NOTHING
    if title in ("revenue", "avg"):
        return f.money(value, currency)
    return f.share(value) if title == "conv" else f.count(value)


def part_rows(parts: "Sequence[PartView]", stale: bool = False) -> list[Row]:
    """Every part that is no service with its state; `stale` dims them."""
    return [Row(f"part:{part.name}", _part(part, stale)) for part in parts]


def explain_part(part: "PartView") -> tuple[Line, Line]:
    """Two lines on one part: whether it is up and where, and why not."""
    state = Span(f"{safe(part.name)} is {'up' if part.up else 'DOWN'}", "strong" if part.up else "bad")
    where = f" on {safe(part.address)}" if part.address else ""
    used = f", {f.share(part.cpu_cores)} of a core, {f.memory(part.memory_bytes)}"
    return (state, Span(f"{where}{used}", "dim")), (Span(safe(part.because)),)


def _part(part: "PartView", stale: bool) -> Line:
    tone: Tone = "dim" if stale else ("ok" if part.up else "bad")
    return (
        Span(f"{fit(safe(part.name), 12)} ", "dim" if stale else "strong"),
        Span(f"{'up  ' if part.up else 'DOWN'} ", tone),
        Span(f"{fit(f.share(part.cpu_cores), 6, 'right')} {fit(f.memory(part.memory_bytes), 8, 'right')}  ", "dim"),
        Span(safe(part.because or part.address or "")),
    )
