"""Every key with what it does, from the registry of actions."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from console.actions import offered
from console.rows import Line, Row, Span, words
from console.text import fit, safe
from console.widgets.line_list import LineList
from console.widgets.lines import Lines

SIGNS: tuple[tuple[str, str], ...] = (
    ("! ✖", "it needs you: it is beyond an objective (!), or down (✖)"),
    ("REPL 1/1↑3", "1 of 1 wanted replicas is ready, and 3 are advised"),
    ("USED", "requests over what the ready replicas can take; 80% is too much"),
    ("LAG", "events on their way, or how long the oldest waits: 12s"),
    ("14 6.2s", "IN HAND: work not done yet, and the age of its oldest (wide screen)"),
    ("PEAK 1H", "highest requests a second forecast for the next hour, and when"),
    ("REQ/S 55▲", "last minute above the 95% band forecast for now (▼ below)"),
    ("INCIDENT", "✖ nobody owns it, ● somebody does, ✔ it is over; m makes it yours"),
    ("STALE", "the newest sample is older than 5 s: believe nothing below it"),
)


class Help(Screen[None]):
    """Two lists: the keys, and the signs on the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1", "leave", "back", show=False)]

    def __init__(self, read_only: bool, zone: str) -> None:
        super().__init__()
        self._read_only = read_only
        self._zone = zone

    def compose(self) -> ComposeResult:
        """Title, list, keys."""
        yield Lines(id="journey-title")
        yield LineList(id="steps")
        yield Lines(id="journey-keys")

    def on_mount(self) -> None:
        """Fill it."""
        mode = " (read-only: nothing here changes the stack)" if self._read_only else ""
        self.query_one("#journey-title", Lines).show(words(f"Keys, and below them the signs{mode}", "strong"))
        keys: Line = (
            Span("↑ ↓ PgDn", "key"), Span(" more   ", "dim"),
            Span("Esc", "key", "leave"), Span(" back", "dim", "leave"),
        )  # fmt: skip
        self.query_one("#journey-keys", Lines).show(keys)
        rows = [Row(f"{a.scope}/{a.name}", help_line(a.shown, a.help, a.dangerous)) for a in offered(self._read_only)]
        rows.append(Row("head:signs", words("Signs", "strong")))
        rows += [Row(sign, help_line(sign, meaning, False)) for sign, meaning in SIGNS]
        rows.append(
            Row("zone", help_line("12:34:56", f"every time is of the stack's own zone: {safe(self._zone)}", False))
        )
        steps = self.query_one("#steps", LineList)
        steps.set_rows(rows)
        steps.focus()

    def action_leave(self) -> None:
        """Back to the floor."""
        self.dismiss()


def help_line(shown: str, meaning: str, dangerous: bool) -> Line:
    """A key or sign, what it means, and whether it changes the stack."""
    mark = (Span(" (changes the stack)", "warn"),) if dangerous else ()
    return (Span(fit(shown, 11), "key"), Span(meaning), *mark)
