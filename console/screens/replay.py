"""Trying dead letters again: which, what a dry run says of it, and why; nothing happens before Enter."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from console.feed import Feed
from console.rows import Line, Span, words
from console.rows.dead_letters import dry_run
from console.screens.dialog import ActionDialog
from console.text import safe
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from shop_stack.operations.model import DeadLetterView, ReplayPreview, ReplayRequest


class ReplayDialog(ActionDialog):
    """Up and down choose between this one, all of its service, and all; `begun` hears the action's id."""

    def __init__(self, letter: "DeadLetterView", feed: Feed, begun: Callable[[str], None]) -> None:
        super().__init__("try dead letters again", "", feed)
        self._letter = letter
        self._begun = begun
        self._chosen = 0
        self._preview: ReplayPreview | None = None
        service = safe(letter.service)
        self._choices: list[tuple[str, dict[str, object]]] = [
            ("this one", self._alone()),
            (f"all of {service}", {"service": letter.service}),
            ("all of every service", {}),
        ]

    def _alone(self) -> dict[str, object]:
        letter = self._letter
        return {"service": letter.service, "topic": letter.topic, "aggregate": letter.aggregate,
                "event_id": letter.event_id, "quarantined": letter.quarantined}  # fmt: skip

    def _request(self, **more: object) -> "ReplayRequest":
        import msgspec

        from shop_stack.operations.model import ReplayRequest

        return msgspec.convert({**self._choices[self._chosen][1], **more}, ReplayRequest)

    def step(self, by: int) -> None:
        """The next choice."""
        self._chosen = (self._chosen - by) % len(self._choices)
        self.changed()

    def changed(self) -> None:
        """Show which, and ask what a replay would try."""
        self._preview = None
        self.say("")
        self.query_one("#choice", Lines).show(self._choice(), self._note())
        self.query_one("#effect", Lines).show(words("asking for a dry run…", "dim"))
        asked, request = self._chosen, self._request()

        def take(answer: "ReplayPreview | Exception") -> None:
            if self.is_attached and asked == self._chosen:
                self._show_preview(answer)

        self.feed.ask(lambda client: client.replay(request), take)

    def _choice(self) -> Line:
        return (
            Span("Replay  ", "dim"),
            Span("[−]", "key", "fewer"),
            Span(f"  {self._choices[self._chosen][0]}  ", "strong"),
            Span("[+]", "key", "more"),
        )

    def _note(self) -> Line:
        if self._chosen == 0 and self._letter.quarantined:
            return words(f"It is quarantined: it failed in {self._letter.replays} replays.", "warn")
        return words("Each has its effect at most once; what fails stays, with its error.", "dim")

    def _show_preview(self, answer: "ReplayPreview | Exception") -> None:
        effect = self.query_one("#effect", Lines)
        if isinstance(answer, Exception):
            effect.show(words(f"no dry run: {safe(answer)}", "bad"))
            return
        self._preview = answer
        effect.show(*dry_run(answer, effect.size.width))

    def act(self) -> None:
        """Begin it, once the dry run has said what it would try."""
        if self._preview is None:
            self.say("the dry run has not answered; nothing was begun", "bad")
            return
        if self._preview.dead_letters == 0:
            self.say("nothing would be tried; choose others, or Esc", "bad")
            return
        self.busy = True
        self.say("asking…", "dim")
        request = self._request(dry_run=False, reason=self.reason)
        self.feed.ask(lambda client: client.replay(request), self._answered)

    def _answered(self, answer: "ReplayPreview | Exception") -> None:
        if not isinstance(answer, Exception) and answer.action_id is not None:
            self._begun(answer.action_id)
        self.took(answer)
