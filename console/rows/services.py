"""The services as a table: columns that fit the width, what is wrong with each, and which is worst."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from console.rows import Line, Row, Span, Tone, behind, plain
from console.rows import figures as f
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.model import ServiceView

_FULL = 0.8
_HEALTH_TONES: dict[str, Tone] = {"ok": "ok", "degraded": "warn", "down": "bad", "starting": "warn", "stopped": "dim"}


class Column(NamedTuple):
    """A column of fixed width; `cell` writes at most `width` cells of it."""

    title: str
    width: int
    align: str
    cell: "Callable[[ServiceView, int], Span]"


def severity(view: "ServiceView") -> float:
    """How much a service needs an operator: 0 none; above 1 it is a problem, the larger the worse.

    One that waits for another that is not well comes after it, whatever its own figures are.
    """
    by_health = {"down": 100.0, "stopped": 90.0, "degraded": 10.0, "starting": 2.0}.get(view.health, 0.0)
    whole = by_health + (min(80.0, sum(_excesses(view))) if view.desired else 0.0)
    return 1.0 + whole / 1000 if view.waits_for and whole > 1 else whole


def _excesses(view: "ServiceView") -> list[float]:
    slow = (view.p95_ms or 0.0) / view.objective_p95_ms if view.objective_p95_ms else 0.0
    failing = view.error_rate / view.objective_error_rate if view.objective_error_rate else 0.0
    full = view.utilisation / _FULL
    stuck = 5.0 if view.stopped_aggregates else 0.0
    return [min(excess, 20.0) for excess in (slow, failing, full) if excess > 1] + [stuck]


def beyond(view: "ServiceView") -> str:
    """`▲` when the last minute's rate is above the 95% band that was forecast for now, `▼` below it, else empty.

    Soon after a start the minute has seconds without shoppers, so that only a rate above the band says something.
    """
    if view.forecast_band is None:
        return ""
    low, high = view.forecast_band
    return "▲" if view.minute_rate > high else ("▼" if view.minute_rate < low and view.minute_settled else "")


def breach(view: "ServiceView") -> str:
    """The last minute's rate against the band, in words; empty within it."""
    mark = beyond(view)
    if not mark or view.forecast_band is None:
        return ""
    low, high = view.forecast_band
    return f"Last min {f.rate(view.minute_rate)}/s {mark} forecast {f.rate(low)}–{f.rate(high)} (95%)"


def worst(views: "Sequence[ServiceView]") -> str | None:
    """The service that needs an operator most; None when none does."""
    graded = [(severity(view), -i, view.name) for i, view in enumerate(views)]
    top = max(graded, default=(0.0, 0, ""))
    return top[2] if top[0] > 1 else None


def symptom(view: "ServiceView") -> str:
    """What is wrong in words: the API's own reason, else what exceeds its objective; empty when all is well."""
    if view.health != "ok" and view.because:
        return safe(view.because)
    return brief(view)


def brief(view: "ServiceView") -> str:
    """What exceeds its objective in few words, else the API's own reason; empty when all is well."""
    if view.health in ("down", "stopped", "starting") and view.because:
        return safe(view.because)
    found = []
    if view.p95_ms is not None and view.p95_ms > view.objective_p95_ms:
        found.append(f"p95 {f.milliseconds(view.p95_ms)}, objective {f.milliseconds(view.objective_p95_ms)}")
    if view.error_rate > view.objective_error_rate:
        found.append(f"errors {f.share(view.error_rate)}, objective {f.share(view.objective_error_rate)}")
    if view.utilisation > _FULL and view.desired:
        found.append(f"{f.share(view.utilisation)} used")
    if view.stopped_aggregates:
        found.append(f"{len(view.stopped_aggregates)} stopped by dead letters (x)")
    if late := behind.brief(view):
        found.append(late)
    return "; ".join(found) or safe(view.because)


def why(view: "ServiceView", width: int) -> tuple[Line, Line]:
    """Two lines on one service: its state and reason, then what is advised and, with room, what is coming."""
    reason = symptom(view)
    tone = _HEALTH_TONES.get(view.health, "plain")
    named = safe(view.name) if reason and view.health == "ok" else f"{safe(view.name)} is {view.health}"
    state = Span(named, tone if tone != "ok" else "strong")
    said = f": {reason}" if reason else f": {_calm(view)}"
    return (state, Span(said)), _advice(view, width)


def _calm(view: "ServiceView") -> str:
    if view.desired == 0:
        return "0 replicas wanted; s starts some"
    if view.p95_ms is None:
        return f"no request in the last 10 s; objective p95 {f.milliseconds(view.objective_p95_ms)}{_work_words(view)}"
    used = f"{f.share(view.utilisation)} of {_replicas(view.ready)} used{_work_words(view)}"
    return f"p95 {f.milliseconds(view.p95_ms)} of {f.milliseconds(view.objective_p95_ms)} allowed, {used}"


def _work_words(view: "ServiceView") -> str:
    return f"; {sum(one.items for one in view.work)} in hand" if view.work else ""


def _advice(view: "ServiceView", width: int) -> Line:
    peak = _peak_words(view)
    because = f": {safe(view.recommended_because)}" if view.recommended_because else ""
    if view.recommended is None:
        advice: Line = Span("no advice yet", "dim"), Span(because, "dim")
    elif view.recommended == view.desired:
        advice = Span(f"advised: stay at {_replicas(view.desired)}", "dim"), Span(because, "dim")
    else:
        advised = Span(f"advised: {view.desired} → {_replicas(view.recommended)}, press s", "accent")
        advice = advised, Span(because)
    if said := breach(view):
        return advice[0], Span(f". {said}", "warn")
    fits = len(plain(advice)) + len(peak) + 2 <= width
    return (*advice, Span(f". {peak}", "dim")) if fits else advice


def _replicas(number: int) -> str:
    return f"{number} replica{'' if number == 1 else 's'}"


def _peak_words(view: "ServiceView") -> str:
    if view.forecast_peak is None:
        return "Forecast: none yet."
    at = f" at {f.hour(view.forecast_peak_at)}" if view.forecast_peak_at else ""
    return f"Peak of the next hour: {f.rate(view.forecast_peak)}/s{at}."


def _mark(view: "ServiceView", _: int) -> Span:
    level = severity(view)
    if level >= 100:
        return Span("✖", "bad")
    return Span("!", "warn") if level > 1 else Span(" ")


def _name(view: "ServiceView", _: int) -> Span:
    return Span(safe(view.name), "strong")


def _health(view: "ServiceView", _: int) -> Span:
    return Span(view.health, _HEALTH_TONES.get(view.health, "plain"))


def _replica_cell(view: "ServiceView", _: int) -> Span:
    text = f"{view.ready}/{view.desired}"
    if view.recommended is not None and view.recommended != view.desired:
        return Span(f"{text}{'↑' if view.recommended > view.desired else '↓'}{view.recommended}", "accent")
    return Span(text, "plain" if view.ready >= view.desired else "warn")


def _rate(view: "ServiceView", _: int) -> Span:
    mark = beyond(view)
    return Span(f"{f.rate(view.request_rate)}{mark}", "warn" if mark else "plain")


def _errors(view: "ServiceView", _: int) -> Span:
    if view.error_rate > view.objective_error_rate:
        return Span(f"{f.share(view.error_rate)}!"[:5], "bad")
    return Span(f.share(view.error_rate), "dim" if view.error_rate == 0 else "plain")


def _p95(view: "ServiceView", _: int) -> Span:
    if view.p95_ms is not None and view.p95_ms > view.objective_p95_ms:
        return Span(f"{f.milliseconds(view.p95_ms)}!", "bad")
    return Span(f.milliseconds(view.p95_ms))


def _lag(view: "ServiceView", _: int) -> Span:
    return behind.cell(view)


def _used(view: "ServiceView", _: int) -> Span:
    text = f.count(round(view.utilisation * 100)) + "%"
    return Span(text, "warn" if view.utilisation > _FULL else "plain")


def _spark(view: "ServiceView", width: int) -> Span:
    return Span(f.sparkline(view.recent_rates, width), "spark")


def _peak(view: "ServiceView", width: int) -> Span:
    """`18@20:40`, or `165@20h` where the minutes have no room."""
    if view.forecast_peak is None:
        return Span(f.NOTHING, "dim")
    over = view.forecast_peak > view.replica_capacity * max(view.desired, 1)
    number = "<1" if 0.05 <= view.forecast_peak < 1 else f.count(view.forecast_peak)
    text = f"{number}@{f.hour(view.forecast_peak_at)}" if view.forecast_peak_at else number
    if len(text) > width and view.forecast_peak_at:
        text = f"{number}@{view.forecast_peak_at:%H}h"
    return Span(text, "warn" if over else "plain")


def _latency(percentile: str) -> "Callable[[ServiceView, int], Span]":
    return lambda view, _: Span(f.milliseconds(getattr(view, percentile)), "dim")


def _work(view: "ServiceView", _: int) -> Span:
    if not view.work:
        return Span(f.NOTHING, "dim")
    oldest_s = max(one.oldest_s for one in view.work)
    late = oldest_s > view.objective_work_age_s > 0
    text = f"{f.count(sum(one.items for one in view.work))} {f.milliseconds(oldest_s * 1000)}"
    return Span(text, "warn" if late else "plain")


def _cpu(view: "ServiceView", _: int) -> Span:
    return Span(f.share(sum(replica.cpu_cores for replica in view.replicas)), "dim")


def _memory(view: "ServiceView", _: int) -> Span:
    return Span(f.memory(sum(replica.memory_bytes for replica in view.replicas)), "dim")


def _purpose(view: "ServiceView", _: int) -> Span:
    return Span(safe(view.purpose), "dim")


_BASE = (
    Column("", 1, "left", _mark),
    Column("SERVICE", 15, "left", _name),
    Column("HEALTH", 8, "left", _health),
    Column("REPL", 5, "left", _replica_cell),
    Column("REQ/S", 5, "right", _rate),
    Column("ERR", 5, "right", _errors),
    Column("P95", 6, "right", _p95),
    Column("LAG", 4, "right", _lag),
    Column("USED", 4, "right", _used),
    Column("LAST MIN", 8, "right", _spark),
    Column("PEAK 1H", 8, "right", _peak),
)
_EXTRA = (
    Column("IN HAND", 10, "right", _work),
    Column("P50", 5, "right", _latency("p50_ms")),
    Column("P99", 5, "right", _latency("p99_ms")),
    Column("CPU", 5, "right", _cpu),
    Column("MEMORY", 6, "right", _memory),
)


def columns(width: int) -> list[Column]:
    """The columns for a table of `width` cells (from 80 on all that must be seen), with a blank between them."""
    chosen = list(_BASE)
    while _used_width(chosen) > width and len(chosen) > 4:
        chosen.pop(-3 if len(chosen) > 8 else -1)
    for extra in _EXTRA:
        if len(chosen) >= len(_BASE) and _used_width(chosen) + extra.width + 1 <= width:
            chosen.append(extra)
    return _spread(chosen, width - _used_width(chosen))


def _spread(chosen: list[Column], room: int) -> list[Column]:
    wider = min(max(room, 0), 22)
    chosen = [c._replace(width=c.width + wider) if c.cell is _spark else c for c in chosen]
    left = room - wider
    return [*chosen, Column("WHAT FOR", left - 1, "left", _purpose)] if left > 14 else chosen


def _used_width(chosen: "Sequence[Column]") -> int:
    return sum(column.width for column in chosen) + len(chosen) - 1


def heading(chosen: "Sequence[Column]") -> Line:
    """The table's first line."""
    return tuple(Span(fit(c.title, c.width, c.align) + " " * (i > 0), "head") for i, c in enumerate(chosen))


def table(views: "Sequence[ServiceView]", width: int, stale: bool = False) -> list[Row]:
    """A row a service in the stack's own order. `stale` dims all: they show the past."""
    chosen = columns(width)
    return [Row(view.name, _row(view, chosen, stale)) for view in views]


def _row(view: "ServiceView", chosen: "Sequence[Column]", stale: bool) -> Line:
    spans = []
    for i, column in enumerate(chosen):
        text, tone, _ = column.cell(view, column.width)
        spans.append(Span(fit(text, column.width, column.align) + " " * (i > 0), "dim" if stale else tone))
    return tuple(spans)
