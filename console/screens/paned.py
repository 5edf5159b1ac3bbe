"""The frame of the floor and of its past: lines from top to bottom, the services, and panes of which some are seen."""

from datetime import datetime
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import ModalScreen, Screen

from console.rows import Tone, folded
from console.screens.frame import PANES, Pane
from console.text import content, safe
from console.widgets.line_list import LineList
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDE = (120, 32)
LINES = ("header", "vitals", "trouble", "why", "tabs", "notice", "keys")
NOTICE_TICKS = 20


class PanedScreen(Screen[None]):
    """Lays out lines and panes, and tells things in passing. What they say is of those that show something by it."""

    def __init__(self, events: LineList) -> None:
        super().__init__()
        self.services = LineList(id="services", heading=True)
        self._panes: dict[Pane, LineList] = {"events": events}
        self._panes |= {name: LineList(id=name, follow=name == "logs") for name in PANES if name != "events"}
        self._lines = {name: Lines(id=name) for name in LINES}
        self._left, self._right = Container(id="left"), Container(id="right")
        self.pane: Pane = "events"
        self.zoomed = False
        self.ticks = 0
        self.notices: list[tuple[str, Tone]] = []
        self._notice_ends = 0

    def compose(self) -> ComposeResult:
        """The lines from top to bottom."""
        yield from (self._lines[name] for name in ("header", "vitals", "trouble"))
        yield self.services
        yield self._lines["why"]
        yield self._lines["tabs"]
        with Container(id="panes"):
            with self._left:
                yield self._panes["events"]
                yield self._panes["parts"]
            with self._right:
                yield self._panes["actions"]
                yield self._panes["replicas"]
                yield self._panes["logs"]
        yield self._lines["notice"]
        yield self._lines["keys"]

    def on_mount(self) -> None:
        """Begin at the services, and tick twice a second."""
        self.line("notice").display = False
        self.services.focus()
        self.lay_out()
        self.set_interval(0.5, self.tick)

    def now(self) -> datetime:
        """The console's clock, in the stack's zone once that is known."""
        raise NotImplementedError

    def paint(self) -> None:
        """Bring every line up to date; only what changed is drawn."""
        raise NotImplementedError

    def tick(self) -> None:
        """Twice a second."""
        self.ticks += 1
        self._paint_notice()

    @property
    def wide(self) -> bool:
        """Whether there is room for everything at once."""
        return self.size.width >= WIDE[0] and self.size.height >= WIDE[1]

    @property
    def in_sight(self) -> bool:
        """Whether it can be seen, alone or behind a dialog."""
        if self.app.screen is self:
            return True
        stack = self.app.screen_stack
        return isinstance(self.app.screen, ModalScreen) and len(stack) > 1 and stack[-2] is self

    def line(self, name: str) -> Lines:
        """One of LINES."""
        return self._lines[name]

    def pane_list(self, name: str) -> LineList:
        """A pane."""
        return self._panes[cast(Pane, name)]

    def visible_pane(self, pane: Pane) -> bool:
        """Whether a pane is on the screen now."""
        return self.pane_list(pane).display

    def title_panes(self, titles: "Mapping[Pane, str]") -> None:
        """Write the panes' titles where all are there at once."""
        if not self.has_class("-wide"):
            return
        for pane in PANES:
            widget = self.pane_list(pane)
            if str(widget.border_title) != titles[pane]:
                widget.border_title = content(titles[pane])

    def lay_out(self) -> None:
        """Give each pane its place: all at once when there is room, else the chosen one; zoomed it has all."""
        alone = self.zoomed or not self.wide
        self.set_class(not alone, "-wide")
        self.set_class(self.zoomed, "-zoomed")
        for pane in PANES:
            self.pane_list(pane).display = not alone or pane == self.pane
        left = self.pane in ("events", "parts")
        self._left.display = not alone or left
        self._right.display = not alone or not left
        self.paint()

    def on_resize(self) -> None:
        """Another size: another arrangement."""
        self.lay_out()

    def on_screen_resume(self) -> None:
        """Back in sight."""
        self.paint()

    def action_show_pane(self, pane: str) -> None:
        """Bring a pane up and go into it."""
        self.pane = cast(Pane, pane)
        self.lay_out()
        self.pane_list(pane).focus()

    def action_zoom(self) -> None:
        """The lower pane alone, or everything again."""
        focused = self.focused
        if not self.zoomed and isinstance(focused, LineList) and focused is not self.services and focused.id:
            self.pane = cast(Pane, focused.id)
        self.zoomed = not self.zoomed
        self.lay_out()
        self.pane_list(self.pane).focus()

    def action_swap(self) -> None:
        """Between the services and the lower pane."""
        if self.focused is self.services or self.zoomed:
            self.pane_list(self.pane).focus()
        else:
            self.services.focus()

    def action_look(self) -> None:
        """The next theme."""
        themes = ("shopfloor-dark", "shopfloor-light", "ansi-dark", "ansi-light")
        at = themes.index(self.app.theme) if self.app.theme in themes else -1
        self.app.theme = themes[(at + 1) % len(themes)]

    def say(self, text: str, tone: str = "plain") -> None:
        """Tell the operator something in passing; text is taken literally."""
        self.notices.append((safe(text), cast(Tone, tone)))
        self._notice_ends = min(self._notice_ends, self.ticks + 6)
        self._paint_notice()

    def _paint_notice(self) -> None:
        """Show the first notice for NOTICE_TICKS, then the next."""
        if not self.in_sight:
            return
        widget = self.line("notice")
        if self.notices and self.ticks >= self._notice_ends:
            text, tone = self.notices.pop(0)
            self._notice_ends = self.ticks + NOTICE_TICKS
            widget.show(*folded(text, max(20, self.size.width - 2), 3, tone))
            widget.styles.height = len(widget.lines)
            widget.display = True
        elif widget.display and self.ticks >= self._notice_ends:
            widget.display = False

    def close_notice(self) -> None:
        """Read: away with it."""
        self._notice_ends = 0
        self.line("notice").display = False
