"""One action in full: the promise, the minute before and after, and the verdict; follows while it goes on."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from console.rows import Line, folded
from console.rows.actions import story, what
from console.text import content
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from console.screens.view import FloorView


class Story(ModalScreen[None]):
    """Reads the action from the floor, which the feed keeps up to date."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "leave", "back", show=False)]

    def __init__(self, action_id: str, floor: "FloorView") -> None:
        super().__init__()
        self._action_id = action_id
        self._floor = floor

    def compose(self) -> ComposeResult:
        """The box."""
        with Container(id="dialog", classes="story"):
            yield Lines(id="story")

    def on_mount(self) -> None:
        """Show it, and once a second anew."""
        self.call_after_refresh(self._paint)
        self.set_interval(1.0, self._paint)

    def _paint(self) -> None:
        action = next((a for a in self._floor.actions if a.action_id == self._action_id), None)
        if action is None:
            return
        self.query_one("#dialog").border_title = content(f" {what(action)} ")
        widget = self.query_one("#story", Lines)
        lines: list[Line] = []
        for line in story(action, self._floor.now()):
            lines.extend(_fold(line, widget.size.width))
        widget.show(*lines)

    def action_leave(self) -> None:
        """Back to the floor."""
        self.dismiss()


def _fold(line: Line, width: int) -> list[Line]:
    if len(line) != 2 or len(line[0].text) + len(line[1].text) <= width:
        return [line]
    title, said = line
    parts = folded(said.text, width - len(title.text), 4)
    pad = title._replace(text=" " * len(title.text))
    return [(pad if i else title, said._replace(text=part[0].text)) for i, part in enumerate(parts)]
