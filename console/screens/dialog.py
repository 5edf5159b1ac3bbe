"""A dialog for an action: what it will do, the reason for it, and what came of asking."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Input

from console.feed import Feed
from console.rows import Line, Span, Tone, folded, words
from console.text import content, safe
from console.widgets.lines import Lines


class ActionDialog(ModalScreen[bool]):
    """Asks for a choice (up and down, or + and -) and a reason; Enter does it, Esc does not."""

    AUTO_FOCUS = ""  # no field: + and - choose at once
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "do nothing", show=False),
        Binding("enter", "confirm", "do it", show=False, priority=True),
        Binding("up,plus", "more", "more", show=False),
        Binding("down,minus", "fewer", "fewer", show=False),
        Binding("right,k", "more", "more", show=False),
        Binding("left,j", "fewer", "fewer", show=False),
    ]

    def __init__(self, title: str, reason: str, feed: Feed) -> None:
        super().__init__()
        self._title_text = title
        self._reason_text = reason
        self.feed = feed
        self.busy = False

    def compose(self) -> ComposeResult:
        """The box."""
        with Container(id="dialog") as box:
            box.border_title = content(f" {self._title_text} ")
            yield Lines(id="choice")
            yield Lines(id="effect")
            yield Lines(id="reason-label")
            yield Input(self._reason_text, id="reason", compact=True, placeholder="why? kept with the action",
                        select_on_focus=False)  # fmt: skip
            yield Lines(id="said")
            yield Lines(id="dialog-keys")

    def on_mount(self) -> None:
        """The choice first: + and - work at once, Tab goes to the reason."""
        self.query_one("#reason-label", Lines).show(words("Reason (Tab edits it; kept with the action)", "dim"))
        keys: Line = (
            Span("Enter", "key", "confirm"), Span(" do it   ", "dim", "confirm"),
            Span("↑ ↓ + −", "key"), Span(" change   ", "dim"),
            Span("Tab", "key"), Span(" reason   ", "dim"),
            Span("Esc", "key", "cancel"), Span(" do nothing", "dim", "cancel"),
        )  # fmt: skip
        self.query_one("#dialog-keys", Lines).show(keys)
        self.changed()

    @property
    def reason(self) -> str:
        """The reason as typed."""
        return self.query_one("#reason", Input).value.strip()

    def changed(self) -> None:
        """Another choice: show it and what it would do."""
        raise NotImplementedError

    def act(self) -> None:
        """Ask for the action."""
        raise NotImplementedError

    def step(self, by: int) -> None:
        """Choose the next one."""
        raise NotImplementedError

    def say(self, text: str, tone: Tone = "plain") -> None:
        """Show a sentence in the dialog."""
        said = self.query_one("#said", Lines)
        said.show(*folded(safe(text), said.size.width, 2, tone))

    def took(self, answer: object) -> None:
        """Close when the action was accepted; else say why not, and stay."""
        if not self.is_attached:
            return
        self.busy = False
        if isinstance(answer, Exception):
            self.say(str(answer), "bad")
        else:
            self.dismiss(True)

    def action_confirm(self) -> None:
        """Do it, with a reason."""
        if self.busy:
            return
        if not self.reason:
            self.say("a reason is needed; write why in a few words", "bad")
            self.query_one("#reason", Input).focus()
            return
        self.act()

    def action_cancel(self) -> None:
        """Leave without doing anything."""
        self.dismiss(False)

    def action_more(self) -> None:
        """One more."""
        self.step(1)

    def action_fewer(self) -> None:
        """One fewer."""
        self.step(-1)
