"""What the one screen shows: the stack, its services, why one of them is as it is, and the panes below."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from console import actions, feed
from console.rows import Line, Tone, folded, incidents, services, stack, words
from console.rows import actions as action_rows
from console.rows.events import explain as explain_event
from console.rows.replicas import replica_rows
from console.screens.frame import PANES, key_line, pane_title, tab_line
from console.screens.paned import PanedScreen
from console.text import safe
from console.widgets.event_tail import EventTail
from console.widgets.line_list import LineList

if TYPE_CHECKING:
    from shop_stack.operations.model import ActionView, IncidentView, ServiceView


class FloorView(PanedScreen):
    """Shows what the feed posts. Keeps the last of each, so that it can be painted anew at any time."""

    READ_ONLY = False

    def __init__(self, make_feed: Callable[["FloorView"], feed.Feed]) -> None:
        self.tail = EventTail(id="events")
        super().__init__(self.tail)
        self.feed = make_feed(self)
        self.reading = stack.Reading()
        self.signs = stack.Vitals()
        self.actions: list[ActionView] = []
        self.incidents: list[IncidentView] = []
        self.actions_known = False
        self.logs_wanted = ""
        self._zone: tzinfo = UTC

    def on_mount(self) -> None:
        """Ask only after the first frame is drawn."""
        self.call_after_refresh(self.feed.start)

    def on_unmount(self) -> None:
        """Let the feed's threads go."""
        self.feed.stop()

    @property
    def service(self) -> "ServiceView | None":
        """The service with the cursor."""
        name = self.services.selected
        view = self.reading.view
        return next((s for s in view.services if s.name == name), None) if view else None

    def now(self) -> datetime:
        """The console's clock, in the stack's zone once that is known."""
        return datetime.now(self._zone)

    # What the feed says

    def on_stack_read(self, message: feed.StackRead) -> None:
        """A new view of the stack."""
        first = self.reading.view is None
        self.reading, self._zone = stack.Reading(message.view, message.at), message.at.tzinfo or UTC
        self.paint()
        if first and (name := services.worst(message.view.services)):
            self.services.select(name)

    def on_stack_failed(self, message: feed.StackFailed) -> None:
        """No answer: what is shown gets old, and says so."""
        self.reading = stack.Reading(self.reading.view, self.reading.viewed_at, message.reason, message.empty)
        self.paint()

    def on_actions_read(self, message: feed.ActionsRead) -> None:
        """The last actions; what has moved on is told once."""
        old = {action.action_id: action for action in self.actions}
        if self.actions_known:
            for action in reversed(message.actions):
                self._tell(action_rows.news(old.get(action.action_id), action))
        self.actions, self.incidents, self.actions_known = message.actions, message.incidents, True
        self.paint()

    def on_vitals_read(self, message: feed.VitalsRead) -> None:
        """The shop's vital signs."""
        self.signs = stack.Vitals(message.rows, message.at)

    def on_vitals_failed(self, message: feed.VitalsFailed) -> None:
        """Analytics is silent; the last figures stay, with their age."""
        self.signs = stack.Vitals(self.signs.rows, self.signs.read_at, message.reason)

    def on_answered(self, message: feed.Answered) -> None:
        """Something that was asked for."""
        message.take(message.answer)

    def _tell(self, news: tuple[str, str] | None) -> None:
        if news:
            self.say(*news)

    # What is painted

    def tick(self) -> None:
        """Twice a second: new events; once a second the clock and the rest."""
        super().tick()
        self.tail.add(self.feed.tail.take(), self.feed.tail.trouble, self.feed.tail.missed)
        if self.ticks % 2 == 0:
            self.paint()
        else:
            self.paint_titles()

    def paint(self) -> None:
        """Bring every line up to date; only what changed is drawn."""
        if not self.is_mounted or not self.in_sight:
            return
        now, width, reading = self.now(), self.size.width, self.reading
        currency = reading.view.currency if reading.view else ""
        self.line("header").show(stack.header(reading, now, width - 2, self.READ_ONLY))
        self.line("vitals").show(stack.vitals(self.signs, currency, now, width - 2) if reading.view else ())
        self.line("trouble").show(stack.trouble(reading, now, width - 2, self.incidents))
        self._paint_services(reading, now)
        self.paint_panes()
        self.paint_why()
        self.paint_titles()
        role = reading.view.role if reading.view else ""
        self.line("keys").show(key_line(actions.offered(self.READ_ONLY), role, width - 2, self._idle_keys()))

    def _idle_keys(self) -> set[str]:
        """The keys that have nothing to act on: no incident is open, nothing is stopped."""
        view = self.reading.view
        stopped = view is not None and any(service.stopped_aggregates for service in view.services)
        opened = bool(incidents.open_ones(self.incidents))
        return {name for name, needed in (("mine", opened), ("dead_letters", stopped)) if not needed}

    def _paint_services(self, reading: stack.Reading, now: datetime) -> None:
        width = self.size.width - 1
        heading = services.heading(services.columns(width))
        if reading.view is None:
            tone: Tone = "bad" if reading.trouble else "dim"
            clauses = (safe(reading.trouble) or "connecting to operations…").split("; ")
            said = [line for clause in clauses for line in folded(clause, width - 1, 3, tone)]
            again = words("asking again every second; q leaves", "dim")
            self.services.set_rows([], heading=heading, placeholder=(*said, again))
            return
        stale = reading.freshness(now) == "stale"
        rows = services.table(reading.view.services, width, stale)
        self.services.set_rows(rows, heading=heading, placeholder=(words("the stack file names no service", "dim"),))

    def paint_panes(self) -> None:
        """Bring the panes on the screen up to date."""
        reading, now = self.reading, self.now()
        if self.visible_pane("actions"):
            nothing = "no action yet; s scales the selected service" if self.actions_known else "asking operations…"
            rows = [action_rows.action_row(action, now) for action in self.actions[:10]]
            self.pane_list("actions").set_rows(rows, placeholder=(words(nothing, "dim"),))
        if reading.view is None:
            return
        stale = reading.freshness(now) == "stale"
        if self.visible_pane("replicas") and (service := self.service):
            self.pane_list("replicas").set_rows(replica_rows(service, reading.view.currency))
        if self.visible_pane("parts"):
            rows = [*incidents.rows(self.incidents, now), *stack.part_rows(reading.view.parts, stale)]
            rows += incidents.past_rows(self.incidents)
            self.pane_list("parts").set_rows(rows, placeholder=(words("operations names no part", "dim"),))

    def paint_why(self) -> None:
        self.line("why").show(*self._explained())

    def _explained(self) -> tuple[Line, ...]:
        focused = self.focused
        if focused is self.tail and (event := self.tail.event):
            return explain_event(event)
        if isinstance(focused, LineList) and focused.id == "actions" and (action := self.chosen_action):
            return action_rows.explain(action, self.now())
        if isinstance(focused, LineList) and focused.id == "parts" and (lines := self._explained_part()):
            return lines
        return services.why(self.service, self.size.width - 2) if self.service else ()

    def _explained_part(self) -> tuple[Line, ...]:
        view = self.reading.view
        if incident := self.chosen_incident:
            return incidents.explain(incident, self.now(), view.actor if view else "")
        chosen = self.pane_list("parts").selected
        part = next((part for part in view.parts if f"part:{part.name}" == chosen), None) if view else None
        return stack.explain_part(part) if part else ()

    @property
    def chosen_incident(self) -> "IncidentView | None":
        """The incident with the cursor."""
        chosen = self.pane_list("parts").selected
        return next((incident for incident in self.incidents if incident.incident_id == chosen), None)

    @property
    def chosen_action(self) -> "ActionView | None":
        """The action with the cursor."""
        chosen = self.pane_list("actions").selected
        return next((action for action in self.actions if action.action_id == chosen), None)

    def paint_titles(self) -> None:
        if not self.in_sight:
            return
        service = self.services.selected or ""
        titles = {pane: pane_title(pane, service, self.tail, self.actions, self.incidents) for pane in PANES}
        if self.logs_wanted:
            titles["logs"] += f" with “{safe(self.logs_wanted)}”"
        self.line("tabs").show(tab_line(titles, self.pane, self.size.width - 2))
        self.title_panes(titles)

    def on_descendant_focus(self) -> None:
        """The line of explanation follows the focus."""
        if self.reading.view is not None:
            self.paint_why()
