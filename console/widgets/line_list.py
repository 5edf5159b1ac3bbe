"""A list of lines with a cursor: the services, the events, the actions, the logs."""

from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from console.actions import bindings
from console.rows import Line, Row
from console.widgets.lines import Lines

_CURSOR = "▸"
HEADING = "head:"  # how the key of a row begins that is a heading: the cursor passes it by


class LineList(Lines, can_focus=True):
    """Rows with a cursor that follows its row's key. With `follow` it stays on the newest until moved up.

    `heading` is a fixed first line; `placeholder` says why there is no row.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]

    class Moved(Message):
        """The cursor came to another row (or its row changed its place)."""

        def __init__(self, source: "LineList") -> None:
            super().__init__()
            self.source = source

        @property
        def control(self) -> "LineList":
            """The list."""
            return self.source

    class Opened(Moved):
        """Enter, or a click on the row with the cursor."""

    def __init__(self, *, id: str, follow: bool = False, heading: bool = False) -> None:
        super().__init__(id=id)
        self._rows: list[Row] = []
        self._top = 0
        self._cursor = 0
        self._has_heading = heading
        self.heading: Line = ()
        self.placeholder: tuple[Line, ...] = ()
        self.follows = follow
        self._may_follow = follow

    @property
    def selected(self) -> str | None:
        """The key of the row with the cursor."""
        return self._rows[self._cursor].key if self._rows else None

    @property
    def place(self) -> tuple[int, int]:
        """The cursor's row counted from 1, and how many rows there are."""
        return (self._cursor + 1 if self._rows else 0, len(self._rows))

    @property
    def rows(self) -> list[Row]:
        """The rows shown."""
        return self._rows

    def set_rows(self, rows: list[Row], *, heading: Line = (), placeholder: tuple[Line, ...] = ()) -> None:
        """Show these rows; the cursor stays with its row, or at the newest while following."""
        before, was = self._painted(), self.selected
        self._rows, self.heading, self.placeholder = rows, heading, placeholder
        if self.follows:
            self._cursor = max(0, len(rows) - 1)
        elif was is not None and not (self._cursor < len(rows) and rows[self._cursor].key == was):
            self._cursor = self._find(was)
        self._cursor = self._beside_heading(min(self._cursor, max(0, len(rows) - 1)))
        self._scroll_into_view()
        self._repaint(before)
        if self.selected != was:
            self.post_message(self.Moved(self))

    def select(self, key: str) -> None:
        """Put the cursor on a row."""
        self._go(self._find(key))

    def _find(self, key: str) -> int:
        return next((i for i, row in enumerate(self._rows) if row.key == key), self._cursor)

    def _beside_heading(self, index: int) -> int:
        """The index of a row that is no heading: the next one, upwards when the cursor comes from below."""
        if not (index < len(self._rows) and self._rows[index].key.startswith(HEADING)):
            return index
        down = index >= self._cursor or index == 0
        return min(max(index + (1 if down else -1), 0), len(self._rows) - 1)

    @property
    def _height(self) -> int:
        return max(1, self.size.height - self._has_heading)

    def _painted(self) -> list[object]:
        """What each line of the widget shows, to find those that change."""
        shown = self._rows[self._top : self._top + self._height]
        lines: list[object] = [(row, self._top + i == self._cursor) for i, row in enumerate(shown)]
        lines = lines or list(self.placeholder)
        return [self.heading, *lines] if self._has_heading else lines

    def _repaint(self, before: list[object]) -> None:
        after = self._painted()
        for y in range(max(len(before), len(after))):
            if (before[y] if y < len(before) else None) != (after[y] if y < len(after) else None):
                self.refresh(Region(0, y, self.size.width, 1))

    def _scroll_into_view(self) -> None:
        lowest = max(0, len(self._rows) - self._height)
        self._top = min(max(self._top, self._cursor - self._height + 1), self._cursor, lowest)
        if self._top == 1 and self._height > 1 and self._rows[0].key.startswith(HEADING):
            self._top = 0

    def _go(self, index: int) -> None:
        before, was = self._painted(), self._cursor
        self._cursor = self._beside_heading(max(0, min(index, len(self._rows) - 1)))
        self.follows = self._may_follow and self._cursor >= len(self._rows) - 1
        self._scroll_into_view()
        self._repaint(before)
        if was != self._cursor:
            self.post_message(self.Moved(self))

    def render_line(self, y: int) -> Strip:
        """One line: the heading, a row, or the placeholder."""
        base = self.rich_style
        if self._has_heading:
            if y == 0:
                return self.strip(self.heading, base, " ")
            y -= 1
        if not self._rows:
            return self.strip(self.placeholder[y] if y < len(self.placeholder) else (), base, " ")
        index = self._top + y
        if index >= len(self._rows):
            return Strip.blank(self.size.width, base)
        if index != self._cursor:
            return self.strip(self._rows[index].line, base, " ")
        return self.strip(self._rows[index].line, base + self._cursor_style(), _CURSOR)

    def _cursor_style(self) -> Style:
        return self.app.look("cursor" if self.has_focus else "cursor-blurred")

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self._scroll_into_view()
        self.refresh()

    async def on_click(self, event: events.Click) -> None:
        """A click selects; on the selected row, or twice, it opens."""
        event.stop()
        index = self._top + event.y - self._has_heading
        if not (event.y >= self._has_heading and index < len(self._rows)):
            return
        again = index == self._cursor and self.has_focus
        self._go(index)
        if again or event.chain > 1:
            self.action_open()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows up."""
        event.stop()
        self._go(self._cursor - 3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows down."""
        event.stop()
        self._go(self._cursor + 3)

    def action_open(self) -> None:
        """Open the row with the cursor."""
        if self._rows:
            self.post_message(self.Opened(self))

    def action_up(self) -> None:
        """One row up."""
        self._go(self._cursor - 1)

    def action_down(self) -> None:
        """One row down."""
        self._go(self._cursor + 1)

    def action_page_up(self) -> None:
        """One page up."""
        self._go(self._cursor - self._height)

    def action_page_down(self) -> None:
        """One page down."""
        self._go(self._cursor + self._height)

    def action_first(self) -> None:
        """To the first row."""
        self._go(0)

    def action_last(self) -> None:
        """To the last row; a tail follows the newest from here."""
        self._go(len(self._rows) - 1)
