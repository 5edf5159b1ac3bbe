"""The live tail of events: a ring of the newest, a filter, and a pause that loses nothing."""

from collections import deque
from typing import TYPE_CHECKING

from console.feed import MAX_EVENTS
from console.rows import Line, Row, Span, words
from console.rows.events import event_row, key, matches
from console.text import safe
from console.widgets.line_list import LineList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shop_stack.operations.model import TailEvent


class EventTail(LineList):
    """Shows the events that pass the filter, newest last, at most MAX_EVENTS of them."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, follow=True)
        self._kept: deque[tuple[TailEvent, Row]] = deque(maxlen=MAX_EVENTS)
        self._held: deque[TailEvent] = deque(maxlen=MAX_EVENTS)
        self.wanted = ""
        self.paused = False
        self.trouble = "connecting…"
        self.missed = 0

    @property
    def event(self) -> "TailEvent | None":
        """The event with the cursor."""
        chosen = self.selected
        return next((event for event, row in reversed(self._kept) if row.key == chosen), None)

    def orders_ending(self, end: str) -> set[str]:
        """The orders (or other ids that events belong to) of the kept events whose id ends so; case ignored."""
        ids = {event.correlation for event, _ in self._kept if event.correlation}
        return {one for one in ids if one.lower().endswith(end.lower())}

    def add(self, events: "Sequence[TailEvent]", trouble: str, missed: int) -> None:
        """Take what came since the last time, and why nothing comes if so."""
        changed = bool(events) or trouble != self.trouble
        self.trouble, self.missed = trouble, missed
        if self.paused:
            self._held.extend(events)
            return
        known = {row.key for _, row in self._kept} if events else set()
        self._kept.extend((event, event_row(event)) for event in events if key(event) not in known)
        if changed:
            self._show()

    def filter(self, wanted: str) -> None:
        """Show only events that match (see rows.events.matches); empty for all."""
        self.wanted = wanted.strip()
        self.follows = True
        self._show()

    def pause(self) -> None:
        """Hold still, or show what came meanwhile and go on."""
        self.paused = not self.paused
        if not self.paused:
            held = list(self._held)
            self._held.clear()
            self.follows = True
            self.add(held, self.trouble, self.missed)

    def title(self) -> str:
        """The pane's title: what is shown of what."""
        shown = (
            f"{len(self.rows)}"
            if not self.wanted
            else f"{len(self.rows)} of {len(self._kept)} with “{safe(self.wanted)}”"
        )
        state = (
            f" PAUSED, {len(self._held)} more"
            if self.paused
            else ("" if self.follows or not self.rows else " (G follows)")
        )
        missed = f", {self.missed} missed" if self.missed else ""
        broken = " STOPPED" if self.trouble and self._kept else ""
        return f"events {shown}{missed}{broken}{state}"

    def _show(self) -> None:
        rows = [row for event, row in self._kept if matches(event, self.wanted)]
        self.set_rows(rows, placeholder=self._nothing())

    def _nothing(self) -> tuple[Line, ...]:
        if self.trouble:
            return (words(f"no events: {safe(self.trouble)}", "bad"),)
        if self.wanted:
            said = f"no event of the last {len(self._kept)} has “{safe(self.wanted)}”"
            return ((Span(said, "dim"), Span("  Esc shows all", "key", "clear_filter")),)
        return (words("no event yet; they appear as shoppers come", "dim"),)
