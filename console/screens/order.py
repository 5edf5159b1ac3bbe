"""Asks for an order's id and finds its journey; an unknown id is said where it was typed."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Input

from console.feed import Feed
from console.rows import Line, Span, Tone, folded
from console.text import content, safe
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from shop_stack.operations.model import Journey

_LONGEST = 100


class OrderDialog(ModalScreen["Journey | None"]):
    """Answers the journey, as of `at` if given, or nothing. `ending`: the ids seen that end with what was typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "back", show=False)]

    def __init__(self, feed: Feed, ending: "Callable[[str], set[str]]", at: datetime | None = None) -> None:
        super().__init__()
        self._feed = feed
        self._at = at
        self._ending = ending
        self._asked = ""

    def compose(self) -> ComposeResult:
        """The box."""
        with Container(id="dialog") as box:
            box.border_title = content(" an order's journey ")
            yield Input(id="order", compact=True, max_length=_LONGEST, placeholder="its id, or the end of it")
            yield Lines(id="order-said")
            yield Lines(id="dialog-keys")

    def on_mount(self) -> None:
        """Ready to type."""
        keys: Line = (
            Span("Enter", "key"), Span(" read its journey   ", "dim"),
            Span("Esc", "key", "leave"), Span(" back", "dim", "leave"),
        )  # fmt: skip
        self.query_one("#dialog-keys", Lines).show(keys)
        self.query_one("#order", Input).focus()
        self.call_after_refresh(self._hint)

    def _hint(self) -> None:
        if not self._asked:
            self._say("the 8 characters that an event's line shows will do, while that event is listed", "dim")

    def _say(self, text: str, tone: Tone) -> None:
        said = self.query_one("#order-said", Lines)
        said.show(*folded(safe(text), said.size.width, 2, tone))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Ask for it."""
        message.stop()
        typed = message.value.strip()
        if not typed or self._asked:
            return
        seen = self._ending(typed)
        if len(seen) > 1:
            self._say(f"{len(seen)} ids end with {typed}; type more of it", "warn")
            return
        self._asked = order = next(iter(seen), typed)
        self._say(f"looking for {order}…", "dim")
        self._feed.ask(lambda client: client.journey(order, self._at), self._take)

    def on_input_changed(self, message: Input.Changed) -> None:
        """What the floor's filter would hear is not for it."""
        message.stop()

    def _take(self, answer: "Journey | Exception") -> None:
        if not self.is_attached:
            return
        if isinstance(answer, Exception):
            self._say(f"not found: {answer}", "bad")
            self._asked = ""
        else:
            self.dismiss(answer)

    def action_leave(self) -> None:
        """Back to the floor."""
        self.dismiss(None)
