"""Actions: a line each with its progress, and the promise held against what was measured."""

from datetime import datetime
from typing import TYPE_CHECKING

from console.rows import Line, Row, Span, Tone
from console.rows import figures as f
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.events import Effect
    from shop_stack.operations.model import ActionView

_ERRORS_CHANGED = 0.01
VERDICTS: dict[str, tuple[str, Tone]] = {
    "helped": ("✔ HELPED", "ok"),
    "no_change": ("= NO CHANGE", "warn"),
    "worse": ("✖ WORSE", "bad"),
    "unclear": ("? UNCLEAR", "warn"),
}


def what(action: "ActionView") -> str:
    """`scale orders 1→3` or `restart orders`."""
    if action.kind == "scale":
        before = "?" if action.previous is None else str(action.previous)
        return f"scale {safe(action.service)} {before}→{action.replicas}"
    return f"{action.kind} {safe(action.service)}"


def verdict(action: "ActionView") -> tuple[str, Tone]:
    """The verdict as a mark and a word."""
    return VERDICTS.get(action.verdict or "", (f"? {safe(action.verdict or 'NO VERDICT').upper()}", "dim"))


def unfinished(action: "ActionView") -> bool:
    """Whether more will be known of it."""
    return action.state == "requested" or (action.state == "applied" and action.measure_until is not None)


def progress(action: "ActionView", now: datetime) -> Span:
    """Where an action is: requested, measuring with the seconds left, failed, or its verdict."""
    if action.state == "failed":
        return Span("✖ FAILED", "bad")
    if action.state == "requested":
        return Span(f"applying {f.span((now - action.requested_at).total_seconds())}", "warn")
    if action.state == "applied" and action.measure_until is not None:
        left = (action.measure_until - now).total_seconds()
        return Span(f"measuring {left:.0f} s" if left > 0 else "judging…", "warn")
    if action.state == "applied":
        return Span("✔ APPLIED", "ok")
    return Span(*verdict(action))


def action_row(action: "ActionView", now: datetime) -> Row:
    """Time, what, progress, and the story in short: promise and measure, or the error."""
    return Row(
        action.action_id,
        (
            Span(f"{f.clock(action.requested_at)} ", "dim"),
            Span(fit(what(action), 25) + " ", "strong"),
            Span(fit(*_first(progress(action, now))) + " ", progress(action, now).tone),
            Span(_story(action)),
        ),
    )


def _first(span: Span) -> tuple[str, int]:
    return span.text, 15


def _story(action: "ActionView") -> str:
    if action.error:
        return safe(action.error)
    if action.before is not None and action.after is not None:
        return _change(action.before, action.after)
    if action.expected is not None and action.kind == "scale":
        return f"promised p95 {f.milliseconds(action.expected.p95_then_ms)}"
    return safe(action.reason)


def _change(before: "Effect", after: "Effect") -> str:
    """Errors first where their share changed by a hundredth or more: a service that refuses all answers fast."""
    p95 = f"p95 {f.milliseconds(before.p95_ms)}→{f.milliseconds(after.p95_ms)}"
    if abs(after.error_rate - before.error_rate) < _ERRORS_CHANGED:
        return p95
    return f"errors {f.share(before.error_rate)}→{f.share(after.error_rate)}, {p95}"


def explain(action: "ActionView", now: datetime) -> tuple[Line, Line]:
    """Two lines on one action: the promise with what was measured, and the verdict's sentence or the state."""
    promise = safe(action.expected.words) if action.expected else f"reason: {safe(action.reason)}"
    first: Line = (Span("promised ", "dim"), Span(promise)) if action.expected else (Span(promise),)
    if action.error:
        return first, (Span(f"failed: {safe(action.error)}", "bad"),)
    if action.verdict is not None:
        word, tone = verdict(action)
        return first, (Span(f"{word}: ", tone), Span(safe(action.because or "")))
    left = progress(action, now)
    applied = _applied(action)
    return first, (
        Span(f"{left.text}{applied}", left.tone),
        Span(f"  by {safe(action.actor)}: {safe(action.reason)}", "dim"),
    )


def _applied(action: "ActionView") -> str:
    if action.applied_at is None:
        return ""
    return f" (applied in {(action.applied_at - action.requested_at).total_seconds():.1f} s)"


def story(action: "ActionView", now: datetime) -> list[Line]:
    """The whole of one action, a fact a line, for its own screen."""
    state = progress(action, now)
    lines: list[Line] = [
        _fact("asked", f"{f.zoned(action.requested_at)} by {safe(action.actor)}"),
        _fact("reason", safe(action.reason)),
        (Span(fit("state", 10), "dim"), Span(state.text + _applied(action), state.tone)),
    ]
    if action.expected is not None:
        lines.append(_fact("promised", safe(action.expected.words)))
    if action.error:
        lines.append((Span(fit("error", 10), "dim"), Span(safe(action.error), "bad")))
    lines.extend(_measures(action))
    if action.verdict is not None:
        word, tone = verdict(action)
        lines += [(), (Span(fit("verdict", 10), "dim"), Span(word, tone)), _fact("because", safe(action.because or ""))]
    return lines


def _fact(title: str, text: str) -> Line:
    return Span(fit(title, 10), "dim"), Span(text)


def _measures(action: "ActionView") -> list[Line]:
    if action.before is None and action.after is None:
        return []
    head = "".join(fit(title, 9, "right") for title in ("req/s", "errors", "p95", "lag", "used"))
    return [
        (),
        (Span(fit("measured", 10) + head, "head"),),
        _effect("before", action.before),
        _effect("after", action.after),
    ]


def _effect(title: str, effect: "Effect | None") -> Line:
    if effect is None:
        return _fact(title, "not yet")
    cells = (f.rate(effect.request_rate), f.share(effect.error_rate), f.milliseconds(effect.p95_ms),
             f.count(effect.lag), f.share(effect.utilisation))  # fmt: skip
    seconds = f"   over {effect.seconds:.0f} s"
    return Span(fit(title, 10), "dim"), Span("".join(fit(c, 9, "right") for c in cells)), Span(seconds, "dim")


def news(old: "ActionView | None", new: "ActionView") -> tuple[str, Tone] | None:
    """The sentence to tell when an action has moved on since `old`; None when there is nothing new."""
    if old is not None and old.state == new.state:
        return None
    if new.state == "failed":
        return f"{what(new)} failed: {safe(new.error or 'no reason given')}", "bad"
    if new.state == "measured":
        word, tone = verdict(new)
        return f"{word} {what(new)}: {safe(new.because or '')}", tone
    if new.state == "applied":
        if new.kind in ("replay", "discard"):
            return f"{what(new)}: {safe(new.because or 'done')}", "ok"
        measuring = "; measuring for 60 s, then the verdict" if new.measure_until else ""
        return f"{what(new)}: applied{_seconds(new)}{measuring}", "ok"
    return None


def _seconds(action: "ActionView") -> str:
    if action.applied_at is None:
        return ""
    return f" in {(action.applied_at - action.requested_at).total_seconds():.1f} s"
