"""Restarting: all replicas of a service in turn, or one of them, and why."""

from typing import TYPE_CHECKING

from console.feed import Feed
from console.rows import Line, Span, words
from console.rows import figures as f
from console.screens.dialog import ActionDialog
from console.text import safe
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from shop_stack.operations.model import ServiceView


class RestartDialog(ActionDialog):
    """Up and down choose between all and each; a new replica is ready before the old one leaves."""

    def __init__(self, service: "ServiceView", feed: Feed) -> None:
        super().__init__(f"restart {safe(service.name)}", "", feed)
        self._service = service
        self._choices: list[str | None] = [None, *(replica.name for replica in service.replicas)]
        self._chosen = 0

    def step(self, by: int) -> None:
        """The next replica."""
        self._chosen = (self._chosen - by) % len(self._choices)
        self.changed()

    def changed(self) -> None:
        """Show which, and what happens."""
        self.say("")
        self.query_one("#choice", Lines).show(self._choice(), self._place())
        moves = self._service.moves_with
        with_it = f"It restarts {', '.join(map(safe, moves))} too (one process group)." if moves else ""
        self.query_one("#effect", Lines).show(
            words("A new replica is ready before the old leaves: no request should fail."),
            words(with_it, "warn"),
        )

    def _choice(self) -> Line:
        name = self._choices[self._chosen]
        number = len(self._service.replicas)
        every = f"all {number} replicas, one after another" if number != 1 else "its one replica"
        return (
            Span("Restart  ", "dim"),
            Span("[−]", "key", "fewer"),
            Span(f"  {safe(name) if name else every}  ", "strong"),
            Span("[+]", "key", "more"),
        )

    def _place(self) -> Line:
        replica = next((r for r in self._service.replicas if r.name == self._choices[self._chosen]), None)
        if replica is None:
            return ()
        return words(
            f"pid {replica.pid}, {safe(replica.state)}, {f.span(replica.age_s)} old, {f.memory(replica.memory_bytes)}",
            "dim",
        )

    def act(self) -> None:
        """Ask for it."""
        self.busy = True
        self.say("asking…", "dim")
        name, replica, why = self._service.name, self._choices[self._chosen], self.reason
        self.feed.ask(lambda client: client.restart(name, why, replica=replica), self.took)
