"""Every key of the console, in one registry: it feeds the bindings, the help and the line of keys.

A dangerous action changes the stack. Read-only mode binds none of them; a role that may not use them sees
them greyed, with the reason.
"""

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding

Scope = Literal["list", "floor", "past", "letters", "books", "finding"]
NEEDED_ROLE = "operator"


@dataclass(frozen=True)
class Action:
    """One thing a key does. `label` is for the line of keys (empty: not there), `help` for the help screen."""

    name: str
    keys: str
    shown: str
    label: str
    help: str
    scope: Scope = "floor"
    dangerous: bool = False


ACTIONS: tuple[Action, ...] = (
    Action("go_worst", "exclamation_mark", "!", "worst", "go to the service that needs you most"),
    Action("scale", "s", "s", "scale", "scale the service: promise first, then verdict",
           dangerous=True),
    Action("restart", "r", "r", "restart", "restart the service, or one of its replicas", dangerous=True),
    Action("mine", "m", "m", "mine", "own an incident: all see that you look after it",
           dangerous=True),
    Action("dead_letters", "x", "x", "dead letters", "records that could not be handled; try them again"),
    Action("replay", "r", "x, r", "", "a dead letter, or many: try again, dry run first", scope="letters",
           dangerous=True),
    Action("journey", "o", "x, o", "", "a dead letter's order: its journey", scope="letters"),
    Action("order", "o", "o", "order", "an order's journey by its id, or by the end of a listed one"),
    Action("audit", "b", "b", "books", "the books: an audit of orders, money, stock, log and analytics"),
    Action("again", "r", "b, r", "", "the books: audit them again", scope="books"),
    Action("strict", "s", "b, s", "", "the books of a shop at rest: what is on its way is broken", scope="books"),
    Action("journey", "o", "b, o", "", "a counter-example's order: its journey", scope="finding"),
    Action("look_back", "w", "w", "look back", "look back: the shop as it was (-2h, 09:30, an ISO time)"),
    Action("now", "n,q", "w, n", "", "back to now", scope="past"),
    Action("earlier", "left", "w, ←", "", "a minute earlier", scope="past"),
    Action("later", "right", "w, →", "", "a minute later", scope="past"),
    Action("filter", "slash", "/", "filter", "filter events or logs: words that must occur, -word that must not"),
    Action("pause", "space,p", "space", "pause", "hold the events still; what comes meanwhile is kept"),
    Action("zoom", "z", "z", "zoom", "give the lower pane the whole screen, or back"),
    Action("show_pane('events')", "e", "e", "events", "live events of the whole shop"),
    Action("show_pane('actions')", "a", "a", "actions", "the last ten actions: promised, measured, verdict"),
    Action("show_pane('logs')", "l", "l", "logs", "logs of the service, as they are written"),
    Action("show_pane('replicas')", "d", "d", "replicas", "details: the service's replicas with CPU and memory"),
    Action("show_pane('parts')", "i", "i", "incidents", "incidents, and the parts that are no service (log, gateway)"),
    Action("open", "enter", "Enter", "", "open it: an event's order, an action, an incident, the replicas",
           scope="list"),
    Action("swap", "tab,shift+tab", "Tab", "", "go between the services and the lower pane"),
    Action("back", "escape", "Esc", "", "back: to the services, out of the filter or the zoom"),
    Action("up", "up,k", "↑ k", "", "one up", scope="list"),
    Action("down", "down,j", "↓ j", "", "one down", scope="list"),
    Action("page_up", "pageup,ctrl+b", "PgUp", "", "one page up", scope="list"),
    Action("page_down", "pagedown,ctrl+f", "PgDn", "", "one page down", scope="list"),
    Action("first", "home,g", "Home g", "", "to the first", scope="list"),
    Action("last", "end,G", "End G", "", "to the last; events follow the newest again", scope="list"),
    Action("look", "t", "t", "", "dark, light, or the terminal's own colours"),
    Action("help", "question_mark,f1", "?", "help", "this help"),
    Action("quit", "q", "q", "quit", "leave; the stack goes on"),
)  # fmt: skip

_PAST_TOO = frozenset({"go_worst", "order", "look_back", "zoom", "swap", "back", "look", "help"})


def offered(read_only: bool) -> tuple[Action, ...]:
    """The actions of a mode: read-only has no dangerous one."""
    return tuple(action for action in ACTIONS if not (read_only and action.dangerous))


def bindings(scope: Scope, read_only: bool = False) -> list[Binding]:
    """Textual's bindings of one scope and mode."""
    chosen = (action for action in offered(read_only) if action.scope == scope)
    return [Binding(action.keys, _run(action.name), action.help, show=False) for action in chosen]


def works_in_the_past(action: Action) -> bool:
    """Whether one of the floor's does the same for an earlier minute."""
    return action.name in _PAST_TOO or action.name.startswith("show_pane")


def past_bindings() -> list[Binding]:
    """Those of an earlier minute: its own, the floor's that work there, and for the rest the reason why not."""
    found = bindings("past")
    for action in ACTIONS:
        if action.scope == "floor" and action.name != "quit":
            does = action.name if works_in_the_past(action) else f"only_now('{action.name}')"
            found.append(Binding(action.keys, does, action.help, show=False))
    return found


def only_now(action: Action) -> str:
    """Why an action is not offered while looking back."""
    if action.dangerous:
        return f"nothing can be changed in the past: n goes back to now, where {action.shown} works"
    return f"{action.label or action.help}: known of now alone; n goes back to now, where {action.shown} shows it"


def _run(name: str) -> str:
    return "app.quit" if name == "quit" else name


def why_not(role: str) -> str:
    """Why a role may not use a dangerous action; empty when it may."""
    if role in ("operator", "admin"):
        return ""
    return f"your role is {role or 'unknown'}; to change anything you need the role {NEEDED_ROLE}"
