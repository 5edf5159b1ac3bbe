"""The tail of events: a line an event, the filter's words, and which events are noise until asked for."""

from typing import TYPE_CHECKING

from console.rows import Line, Row, Span, Tone
from console.rows import figures as f
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.model import TailEvent

_BAD = ("rejected", "declined", "failed", "cancelled", "expired", "incident", "dead-letter", "refund", "void")


def short_type(event_type: str) -> str:
    """`order.placed` for `shop.order.placed.v1`; `product-viewed` for one of shoppers' behaviour."""
    parts = event_type.split(".")
    if parts and parts[-1][:1] == "v" and parts[-1][1:].isdigit():
        parts = parts[:-1]
    return ".".join(parts[1:] if parts[:1] == ["shop"] else parts).removeprefix("behaviour.")


def key(event: "TailEvent") -> str:
    """Names an event's place in the log."""
    return f"{event.topic}/{event.partition}/{event.position}"


def matches(event: "TailEvent", wanted: str) -> bool:
    """Whether every word of a filter occurs in the event (`-word`: must not); letter case does not matter.

    The samples that the stack takes of itself every second are left out unless a word asks for them.
    """
    from shop_stack.events.topics import SAMPLES

    asked = wanted.lower().split()
    if event.topic == SAMPLES.name and not any("sample" in word for word in asked):
        return False
    if not asked:
        return True
    return has_words(
        f"{event.topic} {event.type} {event.source} {event.subject} {event.summary} {event.correlation}", wanted
    )


def has_words(text: str, wanted: str) -> bool:
    """Whether every word of a filter occurs in the text (`-word`: must not); letter case does not matter."""
    text = text.lower()
    asked = wanted.lower().split()
    return all((word[1:] not in text) if word[0] == "-" and len(word) > 1 else (word in text) for word in asked)


def tone(event_type: str) -> Tone:
    """The colour of an event's type; its name says the same."""
    if any(word in event_type for word in _BAD):
        return "bad"
    if event_type.endswith(("requested.v1", "requested")):
        return "dim"
    return "accent" if event_type.startswith("ops.") or ".models." in event_type else "plain"


def event_row(event: "TailEvent") -> Row:
    """Time, type, subject and data of one event; wider screens show more of the data."""
    subject = safe(event.subject)
    line: Line = (
        Span(f"{f.clock(event.at)} ", "dim"),
        Span(fit(safe(short_type(event.type)), 24) + " ", tone(event.type)),
        Span(fit(subject[-8:] if len(subject) > 14 else subject, 8) + " ", "strong"),
        Span(safe(_news(event), 300)),
    )
    return Row(key(event), line)


def _news(event: "TailEvent") -> str:
    """The summary without the ids that the row shows already."""
    known = tuple(f"={name}" for name in (event.subject, event.correlation) if name)
    return " ".join(word for word in event.summary.split(" ") if not word.endswith(known)) if known else event.summary


def explain(event: "TailEvent") -> tuple[Line, Line]:
    """Two lines on one event: what and whose it is, and all of its data."""
    belongs = f", for {safe(event.correlation)}" if event.correlation else ""
    return (
        (
            Span(safe(event.type), "strong"),
            Span(
                f" from {safe(event.source)}, {safe(event.topic)}/{event.partition} at {event.position}{belongs}", "dim"
            ),
        ),
        (Span(safe(event.summary)),),
    )
