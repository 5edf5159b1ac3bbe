"""What the keys of the one screen do: move, look closer, filter, scale, restart."""

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.widgets import Input

from console import actions
from console.rows import Row, Span, incidents, services, words
from console.rows.events import has_words
from console.screens.view import FloorView
from console.text import safe
from console.widgets.line_list import LineList

if TYPE_CHECKING:
    from console.auditor import Auditor
    from shop_stack.operations.model import IncidentView, Journey, ServiceView, TailEvent

LOGS_EVERY = 4  # ticks of half a second
LOG_LINES = 200


class Floor(FloorView):
    """The floor with all its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings("floor")]
    _filters_logs = False
    _taking_over = ""
    _auditor: "Auditor | None" = None

    def tick(self) -> None:
        """What the view does, and every 2 s the logs while they can be seen."""
        super().tick()
        if self.ticks % LOGS_EVERY == 0 and self.in_sight and self.visible_pane("logs"):
            self.ask_logs()

    def on_line_list_moved(self, message: LineList.Moved) -> None:
        """Another row: another explanation; another service: its replicas and logs."""
        if message.source is self.services:
            self.paint_panes()
            self.ask_logs()
        self.paint_why()
        self.paint_titles()

    def on_line_list_opened(self, message: LineList.Opened) -> None:
        """Enter: an event's order, an action's story, a service's replicas."""
        if message.source is self.services:
            self.action_show_pane("replicas")
        elif message.source is self.tail and (event := self.tail.event):
            self._open_journey(event)
        elif message.source.id == "actions" and (action := self.chosen_action):
            from console.screens.story import Story, told_of_action

            self.app.push_screen(Story(lambda: told_of_action(action.action_id, self)))
        elif message.source.id == "parts" and (incident := self.chosen_incident):
            from console.screens.story import IncidentStory

            self.app.push_screen(IncidentStory(incident.incident_id, self))

    def _open_journey(self, event: "TailEvent | None" = None, found: "Journey | None" = None) -> None:
        from console.screens.journey import JourneyScreen

        currency = self.reading.view.currency if self.reading.view else ""
        self.app.push_screen(JourneyScreen(currency, self.feed, event=event, found=found))

    def action_dead_letters(self) -> None:
        """The records that could not be handled: first those of the chosen incident's, or service's."""
        from console.screens.dead_letters import DeadLetters, ReadOnlyDeadLetters

        chosen = self.chosen_incident if self.focused is self.pane_list("parts") else None
        service = chosen.service if chosen else self.services.selected or ""
        self.app.push_screen((ReadOnlyDeadLetters if self.READ_ONLY else DeadLetters)(self, service))

    def action_audit(self) -> None:
        """The books as last audited; the first time they are audited."""
        from console.screens.audit import AuditScreen

        self.app.push_screen(AuditScreen(self, self.auditor()))

    def auditor(self) -> "Auditor":
        """The one of this console."""
        if self._auditor is None:
            from console.auditor import Auditor

            self._auditor = Auditor(self.feed, self.now, self._audited)
        return self._auditor

    def _audited(self) -> None:
        """An audit has ended: the screen of it shows it, or else the floor tells it."""
        from console.rows.audit import news
        from console.screens.audit import AuditScreen

        shown = [screen for screen in self.app.screen_stack if isinstance(screen, AuditScreen)]
        for screen in shown:
            screen.paint()
        if not shown and self._auditor:
            self._tell(news(self._auditor.audited))

    def action_order(self) -> None:
        """Ask for an order's id, and show its journey."""
        from console.screens.order import OrderDialog

        def show(found: "Journey | None") -> None:
            if found is not None:
                self._open_journey(found=found)

        self.app.push_screen(OrderDialog(self.feed, self.tail.orders_ending), show)

    def action_look_back(self) -> None:
        """Ask for an earlier moment, and show the shop as it was."""
        from console.screens.moment import MomentDialog
        from console.screens.past import PastScreen

        def show(at: datetime | None) -> None:
            if at is not None:
                self.app.push_screen(PastScreen(self, at))

        self.app.push_screen(MomentDialog(self.feed, self.now), show)

    def ask_logs(self) -> None:
        """Ask for the logs of the chosen service, when they are on the screen."""
        name = self.services.selected
        if name is None or not self.visible_pane("logs"):
            return

        def take(answer: list[str] | Exception) -> None:
            if self.is_mounted and name == self.services.selected:
                self._show_logs(answer)

        self.feed.ask(lambda client: client.logs(name, LOG_LINES), take)

    def _show_logs(self, answer: list[str] | Exception) -> None:
        logs = self.pane_list("logs")
        if isinstance(answer, Exception):
            logs.set_rows([], placeholder=(words(safe(answer), "bad"),))
            return
        rows = [Row(f"{i}", (Span(safe(line)),)) for i, line in enumerate(answer) if has_words(line, self.logs_wanted)]
        none = f"no line of the last {len(answer)} has “{safe(self.logs_wanted)}”; Esc shows all"
        logs.set_rows(rows, placeholder=(words(none if answer else "no line has been written yet", "dim"),))

    def action_go_worst(self) -> None:
        """To the service that needs an operator most."""
        view = self.reading.view
        name = services.worst(view.services) if view else None
        if name is None:
            self.say("every service is within its objectives" if view else "nothing is known yet")
            return
        if self.zoomed:
            self.action_zoom()
        self.services.focus()
        self.services.select(name)

    def action_show_pane(self, pane: str) -> None:
        """Bring a pane up and go into it."""
        super().action_show_pane(pane)
        found = incidents.open_ones(self.incidents) if pane == "parts" else []
        if found and self.chosen_incident not in found:
            self.pane_list("parts").select(found[0].incident_id)
        if pane == "logs":
            self.pane_list("logs").set_rows([], placeholder=(words("asking for the logs…", "dim"),))
            self.ask_logs()

    def action_back(self) -> None:
        """Out of the filter's line, out of the zoom, out of the filter, to the services; one a press."""
        if isinstance(self.focused, Input):
            self._close_filter()
        elif self.line("notice").display:
            self.close_notice()
        elif self.zoomed:
            self.action_zoom()
        elif (self.focused is self.tail and self.tail.wanted) or (self._in_logs() and self.logs_wanted):
            self.action_clear_filter()
        else:
            self.services.focus()

    def action_filter(self) -> None:
        """Ask for the words of the filter, in the place of the tabs: of the logs when they have the focus."""
        if self.query("#filter"):
            return
        self._filters_logs = self._in_logs()
        if not self._filters_logs:
            self.action_show_pane("events")
        hint = f"{'logs' if self._filters_logs else 'events'}: words that must occur, -word: must not"
        now = self.logs_wanted if self._filters_logs else self.tail.wanted
        self.mount(Input(now, id="filter", compact=True, placeholder=hint), after="#tabs")
        self.line("tabs").display = False
        self.query_one("#filter", Input).focus()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Filter while it is typed."""
        self._filter_for(message.value)

    def _in_logs(self) -> bool:
        return self.focused is self.pane_list("logs")

    def _filter_for(self, wanted: str) -> None:
        if self._filters_logs:
            self.logs_wanted = wanted.strip()
            self.ask_logs()
        else:
            self.tail.filter(wanted)

    def on_input_submitted(self) -> None:
        """Keep the filter."""
        self._close_filter()

    def _close_filter(self) -> None:
        self.query("#filter").remove()
        self.line("tabs").display = True
        (self.pane_list("logs") if self._filters_logs else self.tail).focus()
        self.paint_titles()

    def action_clear_filter(self) -> None:
        """All events or lines again."""
        self._filters_logs = self._in_logs()
        self._filter_for("")
        self.paint_titles()

    def action_pause(self) -> None:
        """Hold the events still, or let them go on."""
        self.tail.pause()
        self.paint_titles()

    def action_scale(self) -> None:
        """Ask how many replicas, showing what to expect."""
        if service := self._actable():
            from console.screens.scale import ScaleDialog

            self.app.push_screen(ScaleDialog(service, self.feed), self._after_action)

    def action_restart(self) -> None:
        """Ask which replicas, and restart them."""
        if service := self._actable():
            from console.screens.restart import RestartDialog

            self.app.push_screen(RestartDialog(service, self.feed), self._after_action)

    def _actable(self) -> "ServiceView | None":
        if self.reading.view is None or self.service is None:
            self.say("no service is known yet; nothing can be changed", "warn")
            return None
        return self.service if self._allowed() else None

    def _allowed(self) -> bool:
        refusal = actions.why_not(self.reading.view.role) if self.reading.view else "nothing is known yet"
        if refusal:
            self.say(refusal, "warn")
        return not refusal

    def action_mine(self) -> None:
        """Take the chosen incident; from elsewhere go to the first open one, so that it is read before it is taken."""
        found = incidents.open_ones(self.incidents)
        chosen = self.chosen_incident if self.focused is self.pane_list("parts") else None
        if chosen is None and not found:
            self.say("no incident is open")
        elif chosen is None:
            self.action_show_pane("parts")
            self.pane_list("parts").select(found[0].incident_id)
            self.say("this is the first open incident; m once more makes it yours")
        elif self._allowed():
            self._take_incident(chosen)

    def _take_incident(self, incident: "IncidentView") -> None:
        me = self.reading.view.actor if self.reading.view else ""
        owner = incident.acknowledged_by
        if owner == me:
            self.say("you look after it already")
            return
        agreed = self._taking_over == incident.incident_id
        if owner is not None and incident.resolved_at is None and not agreed:
            self._taking_over = incident.incident_id
            self.say(f"{owner} looks after it; m once more takes it over", "warn")
            return
        self._taking_over = ""
        take_over = owner is not None
        self.feed.ask(lambda client: client.acknowledge(incident.incident_id, take_over=take_over), self._took_incident)

    def _took_incident(self, answer: "IncidentView | Exception") -> None:
        if isinstance(answer, Exception):
            self.say(f"not taken: {answer}", "bad")
        else:
            self.say(f"the incident of {answer.service} is yours", "ok")
            self.incidents = [answer if one.incident_id == answer.incident_id else one for one in self.incidents]
            self.paint()
        self.feed.hurry()

    def _after_action(self, asked: bool | None) -> None:
        if asked:
            self.action_show_pane("actions")
            self.pane_list("actions").action_first()
            self.services.focus()
            self.feed.hurry()

    def action_help(self) -> None:
        """Every key."""
        from console.screens.help import Help

        zone = self.reading.view.time_zone if self.reading.view else "UTC until it is known"
        self.app.push_screen(Help(self.READ_ONLY, zone))


class ReadOnlyFloor(Floor, inherit_bindings=False):
    """The floor without a key that changes anything."""

    BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings("floor", read_only=True)]
    READ_ONLY = True

    def action_scale(self) -> None:
        """Refused: no key leads here, nor may anything else."""
        self.say("the console was started with --read-only; it changes nothing", "warn")

    action_restart = action_scale
    action_mine = action_scale
