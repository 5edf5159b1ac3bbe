"""The floor as of an earlier minute: the same lines and panes with what analytics keeps, and nothing that acts."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import BindingType

from analytics.moments import Refused, read, spelled
from console import actions
from console.past import Past, ask_past
from console.rows import Line, Row, incidents, past, past_records, stack, words
from console.screens.frame import Pane, past_key_line, tab_line
from console.screens.paned import PanedScreen
from console.text import safe
from console.widgets.line_list import LineList

if TYPE_CHECKING:
    from console.screens.floor import Floor
    from shop_stack.errors import ShopfloorError
    from shop_stack.operations.model import IncidentView, Journey

_AGAIN_S = 3.0
_MINUTE = timedelta(minutes=1)


class PastScreen(PanedScreen):
    """Shows `at`, a whole minute (UTC); what is of now alone it takes from `floor`, which goes on underneath."""

    BINDINGS: ClassVar[list[BindingType]] = [*actions.past_bindings()]

    def __init__(self, floor: "Floor", at: datetime) -> None:
        super().__init__(LineList(id="events"))
        self.add_class("-back")
        self._floor = floor
        self.at = at
        self.past: Past | None = None
        self.incidents: list[IncidentView] = []
        self._services: list[past.ServiceThen] = []
        self._trouble = ""
        self._asking = False
        self._open_now = {incident.incident_id for incident in incidents.open_ones(floor.incidents)}

    def on_mount(self) -> None:
        """Ask for it."""
        self._ask()

    def now(self) -> datetime:
        """The console's clock."""
        return self._floor.now()

    @property
    def _zone(self) -> tzinfo:
        return self.now().tzinfo or UTC

    @property
    def _then(self) -> datetime:
        """The minute that is shown, in the stack's zone."""
        return (self.past.at if self.past else self.at).astimezone(self._zone)

    @property
    def _currency(self) -> str:
        return self._floor.reading.view.currency if self._floor.reading.view else ""

    # What analytics says

    def _ask(self) -> None:
        if self._asking:
            return
        self._asking = True
        at = self.at
        self._floor.feed.ask_questions(lambda client: ask_past(client, at), partial(self._take, at))

    def _take(self, at: datetime, answer: "Past | ShopfloorError") -> None:
        self._asking = False
        if not self.is_attached:
            return
        if isinstance(answer, Exception):
            self._trouble = str(answer)
            self.set_timer(_AGAIN_S, self._ask)
        else:
            self._trouble = ""
            self._show(answer)
            if at != self.at:
                self._ask()
        self.paint()

    def _show(self, answer: Past) -> None:
        view = self._floor.reading.view
        first = self.past is None
        self.past = answer
        self._services = past.services_then(answer, view.services if view else [])
        self.incidents = [
            past_records.incident_then(row, self._zone, self._currency) for row in reversed(answer.incidents)
        ]
        self.paint()
        wanted = past.worst_then(self._services)
        if first and (name := wanted.name if wanted else self._floor.services.selected):
            self.services.select(name)

    def tick(self) -> None:
        """Once a second the clock; an incident that opens now is told in passing."""
        super().tick()
        if self.ticks % 2:
            return
        for incident in incidents.open_ones(self._floor.incidents):
            if incident.incident_id not in self._open_now:
                self._open_now.add(incident.incident_id)
                self.say(f"NOW an incident opened, {incident.service}: {incident.summary} (n goes there)", "bad")
        self.paint()

    # What is painted

    def paint(self) -> None:
        """Bring every line up to date; only what changed is drawn."""
        if not self.is_mounted or not self.in_sight:
            return
        width = self.size.width
        reading = self.past is None or self.past.at != self.at
        self.line("header").show(past.banner(self._then, reading, self.now(), self._zone, width - 2))
        rows = self.past.vitals if self.past else None
        signs = stack.Vitals(rows, trouble="" if rows else self._trouble, day=past.day_then(self._then, self._zone))
        self.line("vitals").show(stack.vitals(signs, self._currency, self._then, width - 2))
        self.line("trouble").show(self._said(width - 2))
        nothing = words("asking analytics…" if self.past is None else "no service was measured then", "dim")
        self.services.set_rows(
            past.table_then(self._services, width - 1), heading=past.heading_then(width - 1), placeholder=(nothing,)
        )
        self._paint_panes()
        self._paint_why()
        self._paint_titles()
        self.line("keys").show(past_key_line(width - 2, self._floor.READ_ONLY))

    def _said(self, width: int) -> Line:
        if self._trouble:
            return words(f"{safe(self._trouble)}; asking again", "bad")
        if self.past is None:
            return words("reading what analytics keeps…", "dim")
        return past.trouble_then(self._services, incidents.short(self.incidents, self._then), width)

    def _paint_panes(self) -> None:
        for name in ("events", "actions", "replicas", "parts", "logs"):
            if self.visible_pane(name):
                rows = self._rows_of(name) if self.past else []
                self.pane_list(name).set_rows(rows, placeholder=(words(self._nothing(name), "dim"),))

    def _rows_of(self, pane: Pane) -> list[Row]:
        assert self.past is not None
        if pane == "events":
            return past.topic_rows(self.past, self.pane_list("events").size.width - 1)
        if pane == "actions":
            return past_records.action_rows_then(self.past.actions, self._zone)
        if pane == "replicas":
            return past.replica_minute_rows(self.past, self.services.selected or "", self._zone)
        if pane == "parts":
            return [*incidents.rows(self.incidents, self._then, keys=""), *incidents.past_rows(self.incidents)]
        return []

    def _nothing(self, pane: Pane) -> str:
        if pane == "logs":
            return "logs are known of now alone; n goes back to now"
        if self.past is None:
            return "asking analytics…"
        return {
            "events": "no event in the hour before",
            "actions": "nobody scaled or restarted anything in the 24 hours before",
            "replicas": "no sample of its replicas is kept of the hour before",
            "parts": "no incident in the 24 hours before; the parts are known of now alone",
        }[pane]

    def _paint_why(self) -> None:
        focused = self.focused
        if focused is self.pane_list("parts") and (incident := self._incident):
            self.line("why").show(*incidents.explain(incident, self._then, None))
        elif focused is self.pane_list("events"):
            said = words("Events by topic, as of then. Single ones are known of now alone; o shows an order's.", "dim")
            self.line("why").show(said)
        else:
            service = next((one for one in self._services if one.name == self.services.selected), None)
            self.line("why").show(*past.why_then(service, self._then, self._currency, self._zone))

    def _paint_titles(self) -> None:
        service = safe(self.services.selected or "")
        number = len(incidents.open_ones(self.incidents))
        titles: dict[Pane, str] = {
            "events": "events by topic",
            "actions": f"actions {min(past_records.LISTED, len(self.past.actions)) if self.past else ''}".rstrip(),
            "logs": "logs: of now alone",
            "replicas": f"replicas of {service}" if service else "replicas",
            "parts": f"{number} incident{'' if number == 1 else 's'} open then" if number else "no incident open then",
        }
        self.line("tabs").show(tab_line(titles, self.pane, self.size.width - 2))
        self.title_panes(titles)

    @property
    def _incident(self) -> "IncidentView | None":
        chosen = self.pane_list("parts").selected
        return next((one for one in self.incidents if one.incident_id == chosen), None)

    def on_line_list_moved(self, message: LineList.Moved) -> None:
        """Another service: its replicas; another row: what it says."""
        if message.source is self.services:
            self._paint_panes()
        self._paint_why()
        self._paint_titles()

    def on_descendant_focus(self) -> None:
        """The line of explanation follows the focus."""
        self._paint_why()

    def on_line_list_opened(self, message: LineList.Opened) -> None:
        """Enter: a service's replicas, an action's or an incident's story."""
        from console.screens.story import Story

        if message.source is self.services:
            self.action_show_pane("replicas")
        elif message.source.id == "parts" and (incident := self._incident):
            told = f"incident of {safe(incident.service)}", incidents.story(incident, self._then, None)
            self.app.push_screen(Story(lambda: told))
        elif message.source.id == "actions" and (action := self._action()):
            title = past_records.what_then(action)
            lines = past_records.action_story_then(action, self._zone)
            self.app.push_screen(Story(lambda: (title, lines)))

    def _action(self) -> Mapping[str, Any] | None:
        chosen = self.pane_list("actions").selected
        rows = self.past.actions if self.past else []
        return next((row for row in rows if row["action_id"] == chosen), None)

    # What the keys do

    def show_moment(self, at: datetime | None) -> None:
        """Another minute; what is shown stays, named as what it is, until that one is known."""
        if at is not None and at != self.at:
            self.at = at
            self._ask()
            self.paint()

    def action_look_back(self) -> None:
        """Ask for another moment."""
        from console.screens.moment import MomentDialog

        self.app.push_screen(MomentDialog(self._floor.feed, self.now), self.show_moment)

    def action_earlier(self) -> None:
        """A minute earlier."""
        self.show_moment(self.at - _MINUTE)

    def action_later(self) -> None:
        """A minute later, as long as that is over."""
        later = read(spelled(self.at + _MINUTE), (), datetime.now(UTC), self._zone)
        if isinstance(later, Refused):
            self.say(f"{later.why}; n goes back to now")
        else:
            self.show_moment(later)

    def action_now(self) -> None:
        """Back to the floor."""
        self.dismiss()

    def action_back(self) -> None:
        """Out of the notice, out of the zoom, to the services, then to now; one a press."""
        if self.line("notice").display:
            self.close_notice()
        elif self.zoomed:
            self.action_zoom()
        elif self.focused is not self.services:
            self.services.focus()
        else:
            self.action_now()

    def action_only_now(self, name: str) -> None:
        """Not offered in the past: why."""
        action = next(action for action in actions.ACTIONS if action.name == name and action.scope == "floor")
        self.say(actions.only_now(action), "warn")

    def action_go_worst(self) -> None:
        """To the service that was in most trouble."""
        worst = past.worst_then(self._services)
        if worst is None:
            self.say("every service was within its objectives" if self._services else "nothing is known of that minute")
            return
        if self.zoomed:
            self.action_zoom()
        self.services.focus()
        self.services.select(worst.name)

    def action_order(self) -> None:
        """Ask for an order's id, and show its journey as far as it had come."""
        from console.screens.journey import JourneyScreen
        from console.screens.order import OrderDialog

        at = self._then

        def show(found: "Journey | None") -> None:
            if found is not None:
                self.app.push_screen(JourneyScreen(self._currency, self._floor.feed, found=found, at=at))

        self.app.push_screen(OrderDialog(self._floor.feed, self._floor.tail.orders_ending, at), show)

    def action_help(self) -> None:
        """Every key."""
        self._floor.action_help()
