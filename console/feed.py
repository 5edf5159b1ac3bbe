"""Asks the APIs on threads of its own and posts what they answer, with times in the stack's zone; touches no widget.

Three threads watch (the stack and its actions, the events, the vital signs) and one runs what a screen asks
for. A part that does not answer is said in words and asked again; addresses are read anew each time, since a
stack that was restarted may have moved.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar

from textual.message import Message

from console.rows.actions import unfinished
from console.zone import shown_in, zone_called
from shop_stack.errors import NotRunning, ShopfloorError
from shop_stack.settings import Endpoints, Home, read_endpoints

if TYPE_CHECKING:
    from analytics.client import QuestionsClient
    from shop_stack.operations.client import OperationsClient
    from shop_stack.operations.model import ActionView, IncidentView, StackView, TailEvent

T = TypeVar("T")
STACK_EVERY_S = 1.0
SLOW_EVERY = 5  # actions and incidents: with every fifth reading, or each while an action is under way
VITALS_EVERY_S = 15.0
MAX_EVENTS = 2000


@dataclass
class StackRead(Message):
    """A new view of the stack."""

    view: "StackView"
    at: datetime


@dataclass
class StackFailed(Message):
    """Operations did not answer; `empty`: nothing runs on this home."""

    reason: str
    empty: bool


@dataclass
class ActionsRead(Message):
    """The last actions, newest first, and the incidents."""

    actions: "list[ActionView]"
    incidents: "list[IncidentView]"


@dataclass
class VitalsRead(Message):
    """The rows of the vital signs."""

    rows: list[Mapping[str, Any]]
    at: datetime


@dataclass
class VitalsFailed(Message):
    """Analytics did not answer."""

    reason: str


@dataclass
class Answered(Message):
    """The answer to something asked: `take` is called with it, on the screens' own thread."""

    take: Callable[[Any], None]
    answer: Any


class Tail:
    """The newest events between the thread that hears them and the screen that takes them twice a second."""

    def __init__(self) -> None:
        self._waiting: deque[TailEvent] = deque(maxlen=MAX_EVENTS)
        self.missed = 0
        self.trouble = "connecting…"

    def put(self, event: "TailEvent") -> None:
        """Keep an event; the oldest falls out when nobody takes them."""
        if len(self._waiting) == MAX_EVENTS:
            self.missed += 1
        self._waiting.append(event)

    def take(self) -> "list[TailEvent]":
        """All that came since the last time."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken


class Feed:
    """The console's ear. `post` must be safe to call from any thread; after `stop` nothing is posted."""

    def __init__(self, home: Home, role: str, post: Callable[[Message], object]) -> None:
        self._home = home
        self._role = role
        self._post_to = post
        self._leave = threading.Event()
        self._asked: queue.SimpleQueue[tuple[Callable[[OperationsClient], Any], Callable[[Any], None]] | None]
        self._asked = queue.SimpleQueue()
        self._soon = threading.Event()
        self._zone: tzinfo | None = None
        self.tail = Tail()

    def start(self) -> None:
        """Begin to watch."""
        for work in (self._watch_stack, self._watch_events, self._watch_vitals, self._answer):
            threading.Thread(target=work, name=f"console{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Let the threads leave at their next turn; they never hold up the process."""
        self._leave.set()
        self._soon.set()
        self._asked.put(None)

    def hurry(self) -> None:
        """Read the stack and its actions now rather than at the next turn."""
        self._soon.set()

    def ask(self, work: "Callable[[OperationsClient], T]", take: "Callable[[T | ShopfloorError], None]") -> None:
        """Run `work` with a client on the feed's thread, then `take` its answer or error on the screens' thread."""
        self._asked.put((work, take))

    def ask_at_length(
        self, work: "Callable[[OperationsClient], T]", take: "Callable[[T | ShopfloorError], None]"
    ) -> None:
        """As `ask`, for what takes long: on a thread of its own, so that nothing else waits for it."""

        def answer() -> None:
            asked, client = self._work(work, None)
            _close(client)
            self._post(Answered(take, asked))

        threading.Thread(target=answer, name="console_at_length", daemon=True).start()

    def ask_questions(
        self, work: "Callable[[QuestionsClient], T]", take: "Callable[[T | ShopfloorError], None]"
    ) -> None:
        """As `ask`, of analytics: on a thread of its own; times stay as analytics writes them."""

        def answer() -> None:
            asked: Any
            try:
                with self._questions() as client:
                    asked = work(client)
            except ShopfloorError as error:
                asked = error
            except Exception as error:  # noqa: BLE001 - the feed's boundary: the screen that asked says it
                asked = ShopfloorError(_words(error))
            self._post(Answered(take, asked))

        threading.Thread(target=answer, name="console_questions", daemon=True).start()

    def _post(self, message: Message) -> None:
        if not self._leave.is_set():
            self._post_to(message)

    def _connect(self) -> "OperationsClient":
        from shop_stack.operations.client import OperationsClient

        endpoints, token = self._address()
        return OperationsClient(endpoints.operations, token)

    def _address(self) -> tuple[Endpoints, str]:
        from shop_stack.errors import AccessDenied

        endpoints = read_endpoints(self._home)
        try:
            return endpoints, self._home.token(self._role).read_text().strip()
        except OSError as error:
            if self._role == "operator" and self._home.token("viewer").exists():
                self._role = "viewer"
                return self._address()
            path = self._home.token(self._role)
            raise AccessDenied(f"cannot read {path} ({error.strerror}); it is made by: shopfloor up") from error

    def _watch_stack(self) -> None:
        client: OperationsClient | None = None
        turn, busy = 0, False
        while not self._leave.is_set():
            try:
                client = client or self._connect()
                view = client.stack()
                zone = self._zone = zone_called(view.time_zone)
                self._post(StackRead(shown_in(zone, view), datetime.now(zone)))
                if busy or turn % SLOW_EVERY == 0 or self._soon.is_set():
                    self._soon.clear()
                    actions = client.actions(limit=10)
                    busy = any(map(unfinished, actions))
                    self._post(ActionsRead(shown_in(zone, actions), shown_in(zone, client.incidents())))
                turn += 1
            except Exception as error:  # noqa: BLE001 - the feed's boundary: any failure is shown and retried
                _close(client)
                client, turn = None, 0
                self._post(StackFailed(_words(error), not self._home.endpoints.exists()))
            self._soon.wait(STACK_EVERY_S)
        _close(client)

    def _watch_events(self) -> None:
        from shop_stack.operations.model import TailEvent

        while not self._leave.is_set():
            client: OperationsClient | None = None
            try:
                client = self._connect()
                zone = self._zone or zone_called(client.stack().time_zone)
                self.tail.trouble = ""
                for event in client.events(stop=self._leave.is_set):
                    if isinstance(event, TailEvent):
                        self.tail.put(shown_in(zone, event))
                    else:
                        self.tail.missed += event.skipped
                self.tail.trouble = "the stream ended; connecting again"
            except Exception as error:  # noqa: BLE001 - the feed's boundary: any failure is shown and retried
                self.tail.trouble = _words(error)
            _close(client)
            self._leave.wait(1.0)

    def _watch_vitals(self) -> None:
        while not self._leave.is_set():
            wait = VITALS_EVERY_S
            try:
                self._post(VitalsRead(self._ask_vitals(), datetime.now(UTC)))
            except Exception as error:  # noqa: BLE001 - the feed's boundary: any failure is shown and retried
                wait = 3.0
                self._post(VitalsFailed(_words(error)))
            self._leave.wait(wait)

    def _ask_vitals(self) -> list[Mapping[str, Any]]:
        with self._questions() as client:
            return list(client.ask("vital_signs").rows)

    def _questions(self) -> "QuestionsClient":
        from analytics.client import QuestionsClient

        endpoints, token = self._address()
        return QuestionsClient(endpoints.analytics, token)

    def _answer(self) -> None:
        client: OperationsClient | None = None
        while (asked := self._asked.get()) is not None:
            work, take = asked
            answer, client = self._work(work, client)
            self._post(Answered(take, answer))
        _close(client)

    def _work(
        self, work: "Callable[[OperationsClient], Any]", client: "OperationsClient | None"
    ) -> "tuple[Any, OperationsClient | None]":
        """The answer or error, and the client for the next question; None after a failure of the connection."""
        try:
            client = client or self._connect()
            return shown_in(self._zone or UTC, work(client)), client
        except ShopfloorError as error:
            if not isinstance(error, NotRunning):
                return error, client
            _close(client)
            return error, None
        except Exception as error:  # noqa: BLE001 - the feed's boundary: the screen that asked says it
            _close(client)
            return ShopfloorError(_words(error)), None


def _close(client: "OperationsClient | None") -> None:
    if client is not None:
        client.close()


def _words(error: Exception) -> str:
    if isinstance(error, ShopfloorError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"
