"""The frame around the floor's panes: their names, the line of tabs, the line of keys."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from console.actions import ACTIONS, Action, why_not, works_in_the_past
from console.rows import Line, Span
from console.rows.actions import unfinished

if TYPE_CHECKING:
    from console.widgets.event_tail import EventTail
    from shop_stack.operations.model import ActionView, IncidentView

Pane = Literal["events", "actions", "logs", "replicas", "parts"]
PANES: tuple[Pane, ...] = ("events", "actions", "logs", "replicas", "parts")
_KEYS: dict[Pane, str] = {"events": "e", "actions": "a", "logs": "l", "replicas": "d", "parts": "i"}

_NAMES: dict[Pane, str] = {"parts": "incidents"}


def pane_title(
    pane: Pane,
    service: str,
    tail: "EventTail",
    actions: "Sequence[ActionView]",
    incidents: "Sequence[IncidentView]",
) -> str:
    """A pane's title: its name, and what makes it worth opening."""
    if pane == "events":
        return tail.title()
    if pane == "actions":
        busy = sum(map(unfinished, actions))
        return f"actions {len(actions[:10])}" + (f", {busy} under way" if busy else "")
    if pane == "parts":
        opened = sum(incident.resolved_at is None for incident in incidents)
        return f"{opened} incident{'s' if opened != 1 else ''}, parts" if opened else "no incident; parts"
    return f"{pane} of {service}" if service else pane


def tab_line(titles: Mapping[Pane, str], chosen: Pane, width: int) -> Line:
    """The panes as tabs that a click opens; the chosen one with its whole title."""
    spans: list[Span] = []
    for pane in PANES:
        press = f"show_pane('{pane}')"
        if pane == chosen:
            spans.append(Span(f"[{titles[pane]}]", "head", press))
        else:
            spans += [Span(f" {_KEYS[pane]}", "key", press), Span(f" {_NAMES.get(pane, pane)} ", "dim", press)]
    return (*spans, Span(" " * max(0, width - sum(len(span.text) for span in spans))))


def key_line(offered: Sequence[Action], role: str, width: int, hidden: Collection[str] = ("mine",)) -> Line:
    """The keys that matter as far as they fit, the way out always; dangerous ones greyed for who may not.

    `hidden` names those that have nothing to act on now.
    """
    refused = bool(role) and bool(why_not(role))
    left_out = {"help", "quit", *hidden}
    shown = [action for action in offered if action.label and action.name not in left_out]
    ends = [action for action in offered if action.name in ("help", "quit")]
    tail = [span for action in ends for span in _key(action, False)]
    room = width - sum(len(span.text) for span in tail)
    spans: list[Span] = []
    for action in shown:
        pair = _key(action, refused and action.dangerous)
        if sum(len(span.text) for span in (*spans, *pair)) <= room:
            spans.extend(pair)
    return (*spans, *tail)


def _key(action: Action, refused: bool) -> Line:
    press = "app.quit" if action.name == "quit" else action.name
    if refused:
        return (Span(f"({action.shown} {action.label}) ", "off", press),)
    return Span(action.shown, "key", press), Span(f" {action.label} ", "dim", press)


def past_key_line(width: int, read_only: bool) -> Line:
    """The keys of an earlier minute: the way back first, then those that change the stack, greyed, then the rest."""
    spans: list[Span] = [Span("n", "key", "now"), Span(" now ", "dim", "now")]
    spans += [Span("w", "key", "look_back"), Span(" moment ", "dim", "look_back")]
    spans += [Span("←", "key", "earlier"), Span(" ", "dim"), Span("→", "key", "later"), Span(" minute ", "dim")]
    floor = [action for action in ACTIONS if action.scope == "floor" and action.label and action.name != "quit"]
    ends = [span for action in floor if action.name == "help" for span in _key(action, False)]
    refused = [action for action in floor if action.dangerous and not read_only]
    works = [action for action in floor if works_in_the_past(action) and action.name not in ("help", "look_back")]
    for action in (*refused, *works):
        pair = _key(action, action.dangerous)
        if action.dangerous:
            pair = tuple(span._replace(press=f"only_now('{action.name}')") for span in pair)
        if sum(len(span.text) for span in (*spans, *pair, *ends)) <= width:
            spans.extend(pair)
    return (*spans, *ends)
