"""Dead letters: a line each, the whole record's story, and what a replay would try, by reason."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from console.rows import Line, Row, Span, Tone, folded, words
from console.rows import figures as f
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.model import ActionView, DeadLetterView, ReplayPreview

WIDE = 140
REASONS = 4  # of a dry run, the most frequent first


class Letters(NamedTuple):
    """The dead letters as last answered (None: not yet), when that was, and the failure since."""

    found: "Sequence[DeadLetterView] | None" = None
    read_at: datetime | None = None
    trouble: str = ""


def key(letter: "DeadLetterView") -> str:
    """What names a dead letter for as long as it is one."""
    return f"{letter.service}/{letter.topic}/{letter.event_id}"


def title(letters: Letters, now: datetime) -> Line:
    """How many there are and what waits behind them; old answers say so."""
    if letters.found is None:
        said = f"dead letters: {safe(letters.trouble)}" if letters.trouble else "asking the services…"
        return words(said, "bad" if letters.trouble else "dim")
    if letters.trouble and letters.read_at:
        age = f.span((now - letters.read_at).total_seconds())
        return words(f"STALE: {age} old: {safe(letters.trouble)}", "bad")
    if not letters.found:
        return words("no dead letter: every event was handled", "ok")
    behind = sum(letter.events_behind for letter in letters.found)
    held = sum(letter.quarantined for letter in letters.found)
    counted = _counted(len(letters.found), "dead letter")
    quarantined = Span(f", {held} quarantined", "bad") if held else Span("")
    return Span(counted, "strong"), quarantined, Span(f"; {_counted(behind, 'event')} behind, neighbours flow", "dim")


def placeholder(letters: Letters) -> tuple[Line, ...]:
    """What stands in an empty list."""
    if letters.found is not None:
        return (words("what cannot be handled is kept here, and the events behind it wait in order", "dim"),)
    if letters.trouble:
        return (words("asked again every 5 s; Esc goes back", "dim"),)
    return (words("every service that may have some is asked for them", "dim"),)


def heading(width: int) -> Line:
    """The list's first line."""
    cells = [fit(name, size, side) for name, size, side in _columns(width)]
    return (Span("  " + " ".join(cells) + " ERROR", "head"),)


def rows(letters: Letters, width: int, now: datetime) -> list[Row]:
    """A row each, the oldest first; dimmed when the answer is old."""
    stale = bool(letters.trouble)
    return [Row(key(letter), _row(letter, width, now, stale)) for letter in letters.found or ()]


def _columns(width: int) -> list[tuple[str, int, str]]:
    wide = width >= WIDE
    return [("AGE", 6, "left"), ("SERVICE", 15 if wide else 10, "left"), ("TOPIC", 16 if wide else 14, "left"),
            ("AGGREGATE", 36 if wide else 9, "left"), ("TRIES", 5, "right"), ("BEHIND", 6, "right")]  # fmt: skip


def _row(letter: "DeadLetterView", width: int, now: datetime, stale: bool) -> Line:
    aggregate = safe(letter.aggregate)
    sizes = [size for _, size, _ in _columns(width)]
    tones: tuple[Tone, ...] = ("bad", "plain", "strong", "dim", "plain", "plain", "plain", "plain")
    cells = (
        "✖ " if letter.quarantined else "! ",
        fit(_age(letter, now), sizes[0]) + " ",
        fit(safe(letter.service), sizes[1]) + " ",
        fit(safe(letter.topic), sizes[2]) + " ",
        fit(aggregate if len(aggregate) <= sizes[3] else f"…{aggregate[1 - sizes[3] :]}", sizes[3]) + " ",
        fit(_tries(letter), sizes[4], "right") + " ",
        fit(f.count(letter.events_behind), sizes[5], "right") + " ",
        safe(letter.error),
    )
    return tuple(Span(text, "dim" if stale else tone) for text, tone in zip(cells, tones, strict=True))


def explain(letter: "DeadLetterView", width: int, now: datetime) -> list[Line]:
    """The chosen one in a few lines: what it is, whether it is tried again by itself, its whole error."""
    what = Span(f"{safe(letter.service)} cannot handle {safe(letter.topic)} {safe(letter.aggregate)}", "strong")
    since = Span(f"  since {f.zoned(_parked(letter, now))}", "dim")
    return [(what, since), _state(letter), *folded(safe(letter.error) or "no error was kept", width, 4)]


def _state(letter: "DeadLetterView") -> Line:
    behind = f"{_counted(letter.events_behind, 'event')} of it behind"
    if letter.quarantined:
        return Span(f"QUARANTINED: failed in {letter.replays} replays; ", "bad"), Span(behind, "dim")
    replays = f", {_counted(letter.replays, 'replay')} failed" if letter.replays else ""
    return (Span(f"tried {_counted(letter.attempts, 'time')}{replays}; {behind}; r tries it again", "dim"),)


def story(letter: "DeadLetterView", now: datetime) -> list[Line]:
    """The whole of one record, a fact a line."""
    parked = _parked(letter, now)
    return [
        _fact("service", safe(letter.service)),
        _fact("record", f"{safe(letter.topic)}, partition {letter.partition}, position {letter.position}"),
        _fact("aggregate", safe(letter.aggregate)),
        _fact("event", safe(letter.event_id)),
        _fact("parked", f"{parked:%d %b} {f.zoned(parked)}, {_age(letter, now)} ago"),
        _fact("tries", f"{letter.attempts} before it was parked, {letter.replays} in replays since"),
        _fact("behind", f"{_counted(letter.events_behind, 'event')} of the same aggregate, in order"),
        (Span(fit("error", 10), "dim"), Span(safe(letter.error) or "none was kept", "bad")),
        _fact("next", _next(letter)),
    ]


def _next(letter: "DeadLetterView") -> str:
    if letter.quarantined:
        return "it failed in three replays: mend the cause, then r with “this one”, or discard it by command"
    return "mend the cause, then r replays it; its effect comes once, and those behind follow in order"


def dry_run(preview: "ReplayPreview", width: int) -> list[Line]:
    """What a replay would try: how many, and a bar for each reason."""
    total = _counted(preview.dead_letters, "dead letter")
    lines: list[Line] = [words(f"Dry run: {total}, {_counted(preview.events_behind, 'event')} behind", "strong")]
    lines += _bars(preview.by_reason, width)
    if preview.quarantined_left_out:
        left_out = f"{preview.quarantined_left_out} quarantined left out: each is tried with “this one” alone"
        lines.append(words(left_out, "warn"))
    return lines


def _bars(by_reason: Mapping[str, int], width: int) -> list[Line]:
    reasons = sorted(by_reason.items(), key=lambda reason: (-reason[1], reason[0]))
    most = max(by_reason.values(), default=1)
    room = max(4, width - 40)
    shown: list[Line] = [
        (Span(fit(safe(name), 28) + " "), Span(fit(f.count(number), 5, "right") + "  ", "strong"),
         Span("█" * max(1, round(room * number / most)), "accent"))
        for name, number in reasons[:REASONS]
    ]  # fmt: skip
    more = len(reasons) - REASONS
    return [*shown, words(f"and {_counted(more, 'more reason')}", "dim")] if more > 0 else shown


def outcome(action: "ActionView") -> tuple[str, Tone]:
    """What came of a replay, in a sentence."""
    if action.state == "failed":
        return f"the replay broke off: {safe(action.error or 'no reason given')}", "bad"
    if action.state == "requested":
        return "replaying…", "warn"
    said = safe(action.because or "done")
    failed = any(word in said for word in (" failed", " quarantined", " not now"))
    return f"replayed: {said}", "warn" if failed else "ok"


def _fact(name: str, text: str) -> Line:
    return Span(fit(name, 10), "dim"), Span(text)


def _tries(letter: "DeadLetterView") -> str:
    return f"{letter.attempts}+{letter.replays}" if letter.replays else str(letter.attempts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _parked(letter: "DeadLetterView", now: datetime) -> datetime:
    return datetime.fromtimestamp(letter.parked_at, now.tzinfo)


def _age(letter: "DeadLetterView", now: datetime) -> str:
    return f.span(now.timestamp() - letter.parked_at)
