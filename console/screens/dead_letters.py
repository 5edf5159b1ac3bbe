"""The records that services could not handle: a list, each one's story, and trying them again."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from console import actions
from console.rows import Line, Span, Tone, dead_letters, folded
from console.rows.dead_letters import Letters
from console.text import safe
from console.widgets.line_list import LineList
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from console.screens.view import FloorView
    from shop_stack.operations.model import ActionView, DeadLetterView, Journey

EVERY = 5  # seconds between two questions; a replay under way is asked for each second
MOST = 1000


class DeadLetters(Screen[None]):
    """Asks the services while it is open. `service` is whose letter has the cursor first."""

    READ_ONLY = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        *actions.bindings("letters"),
    ]

    def __init__(self, floor: "FloorView", service: str = "") -> None:
        super().__init__()
        self._floor = floor
        self._service = service
        self.letters = Letters()
        self._asking = False
        self._seconds = 0
        self._under_way = ""

    def compose(self) -> ComposeResult:
        """Title, list, details, what came of a replay, keys."""
        yield Lines(id="journey-title")
        yield LineList(id="steps", heading=True)
        yield Lines(id="details")
        yield Lines(id="letters-said")
        yield Lines(id="journey-keys")

    def on_mount(self) -> None:
        """Ask for them."""
        self.query_one("#steps", LineList).focus()
        self.query_one("#letters-said").display = False
        self.query_one("#journey-keys", Lines).show(self._keys())
        self.call_after_refresh(self.ask)
        self.call_after_refresh(self.paint)
        self.set_interval(1.0, self._tick)

    def _keys(self) -> Line:
        replay: Line = ()
        if not self.READ_ONLY:
            tone: Tone = "off" if self._refusal() else "key"
            replay = Span("r", tone, "replay"), Span(" try again   ", "dim", "replay")
        return (
            *replay,
            Span("Enter", "key"), Span(" its story   ", "dim"),
            Span("o", "key", "journey"), Span(" its order   ", "dim", "journey"),
            Span("Esc", "key", "leave"), Span(" back", "dim", "leave"),
        )  # fmt: skip

    def _refusal(self) -> str:
        view = self._floor.reading.view
        return actions.why_not(view.role) if view else "operations has not answered yet"

    @property
    def chosen(self) -> "DeadLetterView | None":
        """The dead letter with the cursor."""
        selected = self.query_one("#steps", LineList).selected
        return next((one for one in self.letters.found or () if dead_letters.key(one) == selected), None)

    def _tick(self) -> None:
        self._seconds += 1
        if self._under_way:
            action_id = self._under_way
            self._floor.feed.ask(lambda client: client.action(action_id), self._watched)
        if self._seconds % EVERY == 0:
            self.ask()
        self.paint()

    def ask(self) -> None:
        """Read them anew, unless an answer is awaited."""
        if not self._asking:
            self._asking = True
            self._floor.feed.ask(lambda client: client.dead_letters(limit=MOST), self._take)

    def _take(self, answer: "list[DeadLetterView] | Exception") -> None:
        self._asking = False
        if not self.is_attached:
            return
        first = self.letters.found is None
        if isinstance(answer, Exception):
            self.letters = self.letters._replace(trouble=str(answer))
        else:
            self.letters = Letters(answer, self._floor.now())
        self.paint()
        if first and (mine := next((one for one in self.letters.found or () if one.service == self._service), None)):
            self.query_one("#steps", LineList).select(dead_letters.key(mine))

    def paint(self) -> None:
        """Bring every line up to date; only what changed is drawn."""
        if not self.is_attached:
            return
        now, width = self._floor.now(), self.size.width - 1
        self.query_one("#journey-title", Lines).show(dead_letters.title(self.letters, now))
        self.query_one("#journey-keys", Lines).show(self._keys())
        self.query_one("#steps", LineList).set_rows(
            dead_letters.rows(self.letters, width, now),
            heading=dead_letters.heading(width) if self.letters.found else (),
            placeholder=dead_letters.placeholder(self.letters),
        )
        self._paint_details()

    def _paint_details(self) -> None:
        letter = self.chosen
        lines = dead_letters.explain(letter, self.size.width - 2, self._floor.now()) if letter else []
        self.query_one("#details", Lines).show(*lines)

    def on_resize(self) -> None:
        """Another width, other columns."""
        self.paint()

    def on_line_list_moved(self) -> None:
        """Another one: its details."""
        self._paint_details()

    def on_line_list_opened(self) -> None:
        """Enter: the whole record's story."""
        if letter := self.chosen:
            from console.screens.story import Story

            name, floor = f"dead letter of {safe(letter.service)}", self._floor
            self.app.push_screen(Story(lambda: (name, dead_letters.story(letter, floor.now()))))

    def say(self, text: str, tone: Tone = "plain") -> None:
        """Tell the operator something, above the keys; it stays until something else is said."""
        widget = self.query_one("#letters-said", Lines)
        widget.show(*folded(safe(text), max(20, self.size.width - 2), 3, tone))
        widget.styles.height = max(1, len(widget.lines))
        widget.display = True

    def action_replay(self) -> None:
        """Ask which to try again, showing a dry run first."""
        if refusal := self._refusal():
            self.say(refusal, "warn")
        elif letter := self.chosen:
            from console.screens.replay import ReplayDialog

            self.app.push_screen(ReplayDialog(letter, self._floor.feed, self._begun))
        else:
            self.say("there is nothing to try again" if self.letters.found == [] else "no dead letter is known yet")

    def _begun(self, action_id: str) -> None:
        self._under_way = action_id
        self.say("replaying…", "warn")
        self._floor.feed.hurry()

    def _watched(self, answer: "ActionView | Exception") -> None:
        if not self.is_attached or not self._under_way:
            return
        if isinstance(answer, Exception):
            self.say(f"replaying; how far it is cannot be read: {answer}", "warn")
            return
        self.say(*dead_letters.outcome(answer))
        if answer.state != "requested":
            self._under_way = ""
            self.ask()

    def action_journey(self) -> None:
        """The journey of the order that the chosen one belongs to."""
        if letter := self.chosen:
            aggregate = letter.aggregate
            self._floor.feed.ask(lambda client: client.journey(aggregate), self._show_journey)

    def _show_journey(self, answer: "Journey | Exception") -> None:
        if not self.is_attached:
            return
        if isinstance(answer, Exception):
            self.say(f"no journey: {answer}", "warn")
            return
        from console.screens.journey import JourneyScreen

        currency = self._floor.reading.view.currency if self._floor.reading.view else ""
        self.app.push_screen(JourneyScreen(currency, self._floor.feed, found=answer))

    def action_leave(self) -> None:
        """Back to the floor."""
        self.dismiss()


class ReadOnlyDeadLetters(DeadLetters, inherit_bindings=False):
    """The same without the key that tries them again."""

    READ_ONLY = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        *actions.bindings("letters", read_only=True),
    ]

    def action_replay(self) -> None:
        """Refused: no key leads here, nor may anything else."""
        self.say("the console was started with --read-only; it changes nothing", "warn")
