"""One invariant of the books: what contradicts it, what to do next, and the way to the order it is about."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from console import actions
from console.rows import Line, Span, Tone, audit, folded
from console.text import safe
from console.widgets.line_list import LineList
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from console.screens.view import FloorView
    from shop_stack.operations.audit import Invariant
    from shop_stack.operations.model import Journey


class Finding(Screen[None]):
    """Shows one invariant as an audit found it; it does not change when a later audit finds something else."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        *actions.bindings("finding"),
    ]

    def __init__(self, found: "Invariant", floor: "FloorView") -> None:
        super().__init__()
        self._found = found
        self._floor = floor
        self._sought = ""

    def compose(self) -> ComposeResult:
        """Title, counter-examples, details, what came of asking, keys."""
        yield Lines(id="journey-title")
        yield LineList(id="steps")
        yield Lines(id="details")
        yield Lines(id="letters-said")
        yield Lines(id="journey-keys")

    def on_mount(self) -> None:
        """Show it."""
        self.query_one("#steps", LineList).focus()
        self.query_one("#letters-said").display = False
        self.query_one("#journey-title", Lines).show(audit.finding_title(self._found))
        self.call_after_refresh(self.paint)

    @property
    def _example(self) -> str:
        selected = self.query_one("#steps", LineList).selected
        return self._found.counter_examples[int(selected)] if selected is not None else ""

    @property
    def _order(self) -> str:
        return audit.order_of(self._found, self._example)

    def paint(self) -> None:
        """The list at this width."""
        width = self.size.width - 2
        nothing = audit.nothing_against(self._found, width)
        self.query_one("#steps", LineList).set_rows(audit.example_rows(self._found, width), placeholder=nothing)
        self._paint_details()

    def _paint_details(self) -> None:
        lines = audit.next_step(self._found, self._example, self.size.width - 2)
        self.query_one("#details", Lines).show(*lines)
        order: Line = ()
        if self._order:
            order = Span("Enter o", "key", "journey"), Span(" its order's journey   ", "dim", "journey")
        back: Line = Span("Esc", "key", "leave"), Span(" back", "dim", "leave")
        self.query_one("#journey-keys", Lines).show((*order, *back))

    def on_resize(self) -> None:
        """Another width, other lines."""
        self.paint()

    def on_line_list_moved(self) -> None:
        """Another one: what it says."""
        self._say("")
        self._paint_details()

    def on_line_list_opened(self) -> None:
        """Enter: the order's journey."""
        self.action_journey()

    def _say(self, text: str, tone: Tone = "plain") -> None:
        said = self.query_one("#letters-said", Lines)
        said.show(*(lines := folded(safe(text), max(20, self.size.width - 2), 3, tone)))
        said.styles.height, said.display = max(1, len(lines)), bool(lines)

    def action_journey(self) -> None:
        """The journey of the order that the chosen one is about."""
        order = self._sought = self._order
        if not order:
            self._say("it begins with no order's id" if self._example else "there is no counter-example to follow")
            return
        self._say(f"reading the journey of {order}…", "dim")
        self._floor.feed.ask(lambda client: client.journey(order), lambda answer: self._show_journey(order, answer))

    def _show_journey(self, order: str, answer: "Journey | Exception") -> None:
        if not self.is_attached or order != self._sought:
            return
        self._sought = ""
        if isinstance(answer, Exception):
            self._say(f"no journey: {answer}", "warn")
            return
        from console.screens.journey import JourneyScreen

        self._say("")
        currency = self._floor.reading.view.currency if self._floor.reading.view else ""
        self.app.push_screen(JourneyScreen(currency, self._floor.feed, found=answer))

    def action_leave(self) -> None:
        """Back to the books."""
        self.dismiss()
