"""An order's journey: a waterfall of its events, and the data of the chosen one."""

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from console.feed import Feed
from console.rows import Line, Span, journey, words
from console.rows.events import explain
from console.text import safe
from console.widgets.line_list import LineList
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from shop_stack.operations.model import Journey, TailEvent


class JourneyScreen(Screen[None]):
    """Opened from an event (and says so when that belongs to no order), or with a journey that was found.

    `at`: as of an earlier time, which its title names.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        Binding("r", "again", "read it again", show=False),
    ]

    def __init__(
        self,
        currency: str,
        feed: Feed,
        *,
        event: "TailEvent | None" = None,
        found: "Journey | None" = None,
        at: datetime | None = None,
    ) -> None:
        super().__init__(classes="-back" if at else None)
        self._at = at
        self._event = event
        self._currency = currency
        self._feed = feed
        self._journey = found
        self._order = found.order_id if found else (event.correlation if event else None)

    def compose(self) -> ComposeResult:
        """Title, waterfall, details, keys."""
        yield Lines(id="journey-title")
        yield LineList(id="steps", heading=True)
        yield Lines(id="details")
        yield Lines(id="journey-keys")

    def on_mount(self) -> None:
        """Ask for it."""
        keys: Line = (
            Span("↑ ↓", "key"), Span(" choose   ", "dim"),
            Span("r", "key", "again"), Span(" read again   ", "dim", "again"),
            Span("Esc", "key", "leave"), Span(" back", "dim", "leave"),
        )  # fmt: skip
        self.query_one("#journey-keys", Lines).show(keys)
        self.query_one("#steps", LineList).focus()
        if self._journey is None:
            self.call_after_refresh(self.action_again)
        else:
            self.call_after_refresh(self._show_all)

    def action_again(self) -> None:
        """Read the journey; more may have happened since."""
        order = self._order
        if self._event is not None and self._journey is None:
            self.query_one("#details", Lines).show(*explain(self._event))
        if not order:
            kind = safe(self._event.type) if self._event else "unknown"
            self._say(f"this event belongs to no order ({kind})", "warn")
            return
        if self._journey is None:
            self._say(f"reading the journey of {safe(order)}…", "dim")
        self._feed.ask(lambda client: client.journey(order, self._at), self._take)

    def _say(self, text: str, tone: str) -> None:
        self.query_one("#journey-title", Lines).show(words(text, tone))  # type: ignore[arg-type]
        self.query_one("#steps", LineList).set_rows([], placeholder=(words("its own data is below", "dim"),))

    def _take(self, answer: "Journey | Exception") -> None:
        if not self.is_mounted:
            return
        if isinstance(answer, Exception):
            self._say(f"no journey: {safe(answer)}", "bad")
            return
        first = self._journey is None
        self._journey = answer
        self._paint()
        opened = self._event.event_id if self._event else ""
        if first and any(step.event_id == opened for step in answer.steps):
            self.query_one("#steps", LineList).select(opened)
        self._show_details()

    def _show_all(self) -> None:
        self._paint()
        self._show_details()

    def _paint(self) -> None:
        if self._journey is None:
            return
        width = self.size.width - 1
        self.query_one("#journey-title", Lines).show(journey.title(self._journey, self._currency, self._at))
        self.query_one("#steps", LineList).set_rows(
            journey.waterfall(self._journey, width),
            heading=journey.heading(width),
            placeholder=(words("no event of this order is in the log", "dim"),),
        )

    def on_resize(self) -> None:
        """Another width, another scale."""
        self._paint()

    def on_line_list_moved(self) -> None:
        """Another step: its data."""
        self._show_details()

    def _show_details(self) -> None:
        chosen = self.query_one("#steps", LineList).selected
        step = next((step for step in self._journey.steps if step.event_id == chosen), None) if self._journey else None
        if step is not None:
            self.query_one("#details", Lines).show(*journey.details(step))

    def action_leave(self) -> None:
        """Back to the floor."""
        self.dismiss()
