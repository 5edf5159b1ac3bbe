"""Asks for an earlier moment; one that cannot be shown is refused in a sentence where it was typed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Input

from analytics.moments import Refused, earliest, read, told
from console.feed import Feed
from console.rows import Line, Span, Tone, folded
from console.text import content, safe
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from analytics.client import QuestionsClient
    from shop_stack.errors import ShopfloorError

Ranges = Sequence[Mapping[str, Any]]
_LONGEST = 60


def ask_ranges(client: "QuestionsClient") -> Ranges:
    """The minutes of which anything is known, by origin. Raises as QuestionsClient.ask does."""
    return client.ask("data_range").rows


class MomentDialog(ModalScreen["datetime | None"]):
    """Answers a whole minute (UTC), or nothing. `now` is the console's clock in the stack's zone."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "back", show=False)]

    def __init__(self, feed: Feed, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._feed = feed
        self._now = now
        self._ranges: Ranges | None = None
        self._typed = ""

    def compose(self) -> ComposeResult:
        """The box."""
        with Container(id="dialog") as box:
            box.border_title = content(" look back ")
            hint = f"-2h, -1d 30m, 09:30, or a date and time ({self._now():%Z}): {self._now():%Y-%m-%d} 09:30"
            yield Input(id="order", compact=True, max_length=_LONGEST, placeholder=hint)
            yield Lines(id="order-said")
            yield Lines(id="dialog-keys")

    def on_mount(self) -> None:
        """Ready to type; meanwhile analytics is asked how far back it knows anything."""
        keys: Line = (
            Span("Enter", "key"), Span(" show the shop as it was then   ", "dim"),
            Span("Esc", "key", "leave"), Span(" back", "dim", "leave"),
        )  # fmt: skip
        self.query_one("#dialog-keys", Lines).show(keys)
        self.query_one("#order", Input).focus()
        self._feed.ask_questions(ask_ranges, self._take)

    def _say(self, text: str, tone: Tone) -> None:
        said = self.query_one("#order-said", Lines)
        said.show(*folded(safe(text), said.size.width, 2, tone))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Show it, once it is known what can be shown."""
        message.stop()
        self._typed = message.value.strip()
        if not self._typed:
            return
        if self._ranges is None:
            self._say("asking analytics what it knows…", "dim")
            self._feed.ask_questions(ask_ranges, self._take)
        else:
            self._decide(self._ranges)

    def on_input_changed(self, message: Input.Changed) -> None:
        """What the floor's filter would hear is not for it."""
        message.stop()

    def _take(self, answer: "Ranges | ShopfloorError") -> None:
        if not self.is_attached:
            return
        if isinstance(answer, Exception):
            self._say(f"looking back is asked of analytics: {answer}", "bad")
            self._typed = ""
            return
        self._ranges = answer
        if self._typed:
            self._decide(answer)
        elif (first := earliest(answer)) is not None:
            self._say(f"known from {told(first, self._now().tzinfo or UTC)} on", "dim")
        else:
            self._say("nothing is known yet", "warn")

    def _decide(self, ranges: Ranges) -> None:
        now = self._now()
        at = read(self._typed, ranges, now.astimezone(UTC), now.tzinfo or UTC)
        self._typed = ""
        if isinstance(at, Refused):
            self._say(at.why, "bad")
        else:
            self.dismiss(at)

    def action_leave(self) -> None:
        """As it was."""
        self.dismiss(None)
