"""An order's journey as a waterfall: each event under its cause, when it came, and how long it took."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from console.rows import Line, Row, Span
from console.rows import figures as f
from console.rows.events import short_type, tone
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.model import Journey, JourneyStep

_NAME = 33


def title(journey: "Journey", currency: str, at: datetime | None = None) -> Line:
    """The order, its state, its total and how long it has taken; first the time as of which, when that is not now."""
    as_of: Line = (Span(f"AS OF {at:%a %d %b, %H:%M %Z}: "),) if at else ()
    total = f.money(journey.total_minor, currency) if journey.total_minor is not None else "no total"
    took = f.milliseconds(max((step.after_ms for step in journey.steps), default=0.0))
    placed = f", placed {f.zoned(journey.placed_at)}" if journey.placed_at else ""
    return (
        *as_of,
        Span(f"order {safe(journey.order_id)} ", "strong"),
        Span(f"{safe(journey.state)} ", "bad" if journey.state in ("rejected", "cancelled") else "ok"),
        Span(f"{total} in {took}, {len(journey.steps)} events{placed}", "dim"),
    )


def heading(width: int) -> Line:
    """The waterfall's first line; its scale is logarithmic, since a delivery takes 1,000 times a payment."""
    left = f"{fit('EVENT (under its cause)', _NAME)} {fit('SERVICE', 12)} {'AFTER':>7} {'TOOK':>7}  "
    scale = "cause ▸ event (logarithmic)" if width >= len(left) + 27 else "cause▸event log"
    return (Span(fit(left + scale, width), "head"),)


def waterfall(journey: "Journey", width: int) -> list[Row]:
    """A row a step: indented under its cause, time since the order was placed and since its cause, and a bar."""
    steps = {step.event_id: step for step in journey.steps}
    longest = max((step.after_ms for step in journey.steps), default=0.0)
    return [_step(step, steps, longest, width) for step in journey.steps]


def _step(step: "JourneyStep", steps: "dict[str, JourneyStep]", longest: float, width: int) -> Row:
    cause = steps.get(step.caused_by or "")
    took = step.after_ms - cause.after_ms if cause else None
    name = " " * min(_depth(step, steps), 10) + short_type(step.type)
    start = cause.after_ms if cause else step.after_ms
    bar = _bar(start, step.after_ms, longest, max(4, width - _NAME - 33))
    line = (
        Span(fit(safe(name), _NAME) + " ", tone(step.type)),
        Span(fit(safe(step.source).strip("/"), 12) + " ", "dim"),
        Span(fit(f.milliseconds(step.after_ms), 7, "right") + " "),
        Span(fit(f.milliseconds(took) if took is not None else "", 7, "right") + "  ", "strong"),
        Span(bar, "accent"),
    )
    return Row(step.event_id, line)


def _depth(step: "JourneyStep", steps: "dict[str, JourneyStep]") -> int:
    depth, seen = 0, {step.event_id}
    while step.caused_by in steps and step.caused_by not in seen and depth < 20:
        step = steps[step.caused_by]
        seen.add(step.event_id)
        depth += 1
    return depth


def _bar(start_ms: float, end_ms: float, longest_ms: float, width: int) -> str:
    first, last = (_place(ms, longest_ms, width) for ms in (start_ms, end_ms))
    return " " * first + "─" * (last - first) + "▸"


def _place(ms: float, longest_ms: float, width: int) -> int:
    if longest_ms <= 0:
        return 0
    return round((width - 1) * math.log1p(max(ms, 0.0)) / math.log1p(longest_ms))


def details(step: "JourneyStep") -> list[Line]:
    """One step's data, a field a line, for the lower half of the screen."""
    lines: list[Line] = [
        (Span(safe(step.type), "strong"), Span(f"  {f.zoned(step.at)}  id {safe(step.event_id)}", "dim"))
    ]
    return lines + _fields(step.data)


def _fields(data: object) -> list[Line]:
    if not isinstance(data, dict):
        return [(Span(safe(data)),)]
    return [(Span(fit(safe(name, 60), 20) + " ", "dim"), Span(_value(value))) for name, value in data.items()]


def _value(value: object) -> str:
    if isinstance(value, dict | list | Sequence) and not isinstance(value, str):
        return safe(msgspec.json.encode(value).decode())
    return safe(value)
