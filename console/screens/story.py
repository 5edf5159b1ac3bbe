"""One action or incident in full, over the floor; follows while it goes on."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from console.rows import Line, Span, folded, incidents
from console.rows.actions import story, what
from console.text import content, safe
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from console.screens.floor import Floor
    from console.screens.view import FloorView


Told = tuple[str, list[Line]]
_LONGEST = 7  # lines of one fact: an incident's words with what changed before it
_KEYS: Line = (Span("Esc", "key", "leave"), Span(" back", "dim", "leave"))


def told_of_action(action_id: str, floor: "FloorView") -> Told | None:
    """An action's promise, the minute before and after, and the verdict; None when the floor has it no more."""
    action = next((a for a in floor.actions if a.action_id == action_id), None)
    return (what(action), story(action, floor.now())) if action else None


def told_of_incident(incident_id: str, floor: "FloorView") -> Told | None:
    """All that is known of an incident; None when the floor has it no more."""
    incident = next((i for i in floor.incidents if i.incident_id == incident_id), None)
    actor = floor.reading.view.actor if floor.reading.view else ""
    return (
        (f"incident of {safe(incident.service)}", incidents.story(incident, floor.now(), actor)) if incident else None
    )


class Story(ModalScreen[None]):
    """Shows a title and lines; `tell` reads them from the floor, which the feed keeps up to date."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "leave", "back", show=False)]

    def __init__(self, tell: Callable[[], Told | None]) -> None:
        super().__init__()
        self._tell = tell

    def compose(self) -> ComposeResult:
        """The box."""
        with Container(id="dialog", classes="story"):
            yield Lines(id="story")
            yield Lines(id="dialog-keys")

    def on_mount(self) -> None:
        """Show it, and once a second anew."""
        self.query_one("#dialog-keys", Lines).show(_KEYS)
        self.call_after_refresh(self._paint)
        self.set_interval(1.0, self._paint)

    def _paint(self) -> None:
        told = self._tell()
        if told is None:
            return
        self.query_one("#dialog").border_title = content(f" {told[0]} ")
        widget = self.query_one("#story", Lines)
        lines: list[Line] = []
        for line in told[1]:
            lines.extend(_fold(line, widget.size.width))
        widget.styles.height = max(1, len(lines))
        widget.show(*lines)

    def action_leave(self) -> None:
        """Back to the floor."""
        self.dismiss()


class IncidentStory(Story):
    """An incident's story, in which it can be taken too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "mine", "take it", show=False),
        Binding("x", "dead_letters", "its dead letters", show=False),
    ]

    def __init__(self, incident_id: str, floor: "Floor") -> None:
        super().__init__(lambda: told_of_incident(incident_id, floor))
        self._floor = floor

    def action_mine(self) -> None:
        """What the key does on the floor, where this incident has the cursor."""
        self._floor.action_mine()

    def action_dead_letters(self) -> None:
        """The dead letters that are its cause, in place of the story."""
        self.dismiss()
        self._floor.action_dead_letters()


def _fold(line: Line, width: int) -> list[Line]:
    if len(line) != 2 or len(line[0].text) + len(line[1].text) <= width:
        return [line]
    title, said = line
    parts = folded(said.text, width - len(title.text), _LONGEST)
    pad = title._replace(text=" " * len(title.text))
    return [(pad if i else title, said._replace(text=part[0].text)) for i, part in enumerate(parts)]
