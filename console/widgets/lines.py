"""Draws lines of toned text as plain terminal segments: cheap to repaint, and markup in data stays text."""

from typing import TYPE_CHECKING, get_args

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from console.rows import Line, Span, Tone

if TYPE_CHECKING:
    from console.app import ConsoleApp

LOOKS = (*(f"tone-{tone}" for tone in get_args(Tone)), "cursor", "cursor-blurred")


class Lines(Widget):
    """A few lines of text. `show` repaints only those that changed; a span's `press` is run by a click."""

    app: "ConsoleApp"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []

    @property
    def lines(self) -> list[Line]:
        """What is shown now."""
        return self._lines

    def show(self, *lines: Line) -> None:
        """Show these lines from the top; the rest is blank."""
        old, self._lines = self._lines, list(lines)
        for y in range(max(len(old), len(lines))):
            before = old[y] if y < len(old) else ()
            after = lines[y] if y < len(lines) else ()
            if before != after:
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        line = self._lines[y] if y < len(self._lines) else ()
        return self.strip(line, self.rich_style)

    def strip(self, line: Line, base: Style, prefix: str = "") -> Strip:
        """A line as a strip of the widget's width on the style `base`."""
        segments = [Segment(prefix, base)] if prefix else []
        segments += [Segment(span.text, base + self.tone(span)) for span in line if span.text]
        strip, width = Strip(segments), self.size.width
        if strip.cell_length > width > 0:
            return Strip([*strip.crop(0, width - 1), Segment("…", segments[-1].style)])
        return strip.adjust_cell_length(width, base)

    def tone(self, span: Span) -> Style:
        """The style that the theme gives to a span's tone, without a background."""
        return Style.null() if span.tone == "plain" else self.app.look(f"tone-{span.tone}")

    async def on_click(self, event: events.Click) -> None:
        """Run what the clicked span is for."""
        press = self.pressed(event.x, event.y)
        if press:
            event.stop()
            await self.app.run_action(press, default_namespace=self.screen)

    def pressed(self, x: int, y: int) -> str:
        """The action of the span at a cell; empty when it has none."""
        for span in self._lines[y] if 0 <= y < len(self._lines) else ():
            x -= cell_len(span.text)
            if x < 0:
                return span.press
        return ""
