"""A process group at work: the services that share a process, with their relays, subscriptions and timers."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from sqlalchemy.exc import SQLAlchemyError

from shop_stack.eventlog import inbox
from shop_stack.eventlog.dead_letters import Choice, Replayer
from shop_stack.eventlog.delivery import Delivery, types_of
from shop_stack.eventlog.interface import EventLog
from shop_stack.eventlog.pruning import EVERY_S, Pruning
from shop_stack.eventlog.relay import Relay
from shop_stack.events import WorkInHand
from shop_stack.hosting.context import Context, utc_now
from shop_stack.hosting.drill import Holding
from shop_stack.hosting.http import Front, Page, Requests, application, asgi, json_page
from shop_stack.hosting.metrics import metrics_page
from shop_stack.hosting.service import Mesh, Service, Timer
from shop_stack.hosting.store import StoreAway, is_passing
from shop_stack.hosting.timers import Timers
from shop_stack.mesh.direct import DirectMesh
from shop_stack.settings import SQLITE, Settings
from shop_stack.stack import Stack

WORKERS = 8


REPLAY_PATH = "/stopped/replay"
_MOST_A_ROUND = 200
_WORK_EVERY_S = 1.0


class ReplayRound(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /stopped/replay: try up to `limit` stopped aggregates of a service again, or discard what stops them.

    `without` names those (topic, aggregate) that this replay has tried. The host's own page: operations asks it.
    """

    service: str
    choice: Choice
    limit: int = 50
    without: list[tuple[str, str]] = []
    discard: bool = False


class ServiceAtWork:
    """One service in this process: its context, and what runs beside its requests."""

    def __init__(self, context: Context, event_log: EventLog, replica: str) -> None:
        card = context.card
        self.name = card.name
        self.context = context
        published = {event.topic.name for event in card.publications}
        self.relay = Relay(context.store, event_log, replica, context.now, published)
        self.timers = Timers(context, (*card.timers, _pruning(context)))
        topics, types = types_of(card.subscriptions)
        self.delivery = Delivery(card.name, event_log, topics, types, context.write, is_passing) if topics else None
        self.replayer = Replayer(card.name, types, context.store, context.write, is_passing)
        self._work: Sequence[WorkInHand] = ()
        self._work_known_until = 0.0
        context.relay = self.relay
        context.on_wake = self.timers.wake

    def start(self) -> None:
        """Begin relaying, following and keeping time; the store is prepared."""
        self.relay.start()
        if self.delivery is not None:
            self.delivery.start()
        self.timers.start()

    def stop(self) -> None:
        """Finish what is at hand, commit positions, send the rest of the outbox; the store stays open."""
        self.timers.stop()
        if self.delivery is not None:
            self.delivery.stop()
        self.relay.stop()

    def trouble(self) -> str | None:
        """Why this service is not ready, or None."""
        if not self.context.store.current():
            return "its store does not answer"
        if self.delivery is not None and self.delivery.progress.halted is not None:
            return self.delivery.progress.halted
        if self.delivery is not None and not self.delivery.progress.settled:
            return "its subscription has not settled"
        return None

    def stopped(self) -> list[inbox.Stopped]:
        """The aggregates that a poison event stopped."""
        with self.context.store.read() as session:
            return inbox.stopped(session.driver)

    def work_in_hand(self) -> Sequence[WorkInHand]:
        """What the service has taken on and not done yet, by kind; at most a second old."""
        tell = self.context.card.work_in_hand
        if tell is not None and time.monotonic() >= self._work_known_until:
            self._work = tell(self.context)
            self._work_known_until = time.monotonic() + _WORK_EVERY_S
        return self._work


def _pruning(context: Context) -> Timer:
    """The timer that keeps the tables of delivery from growing for ever."""
    followed = {contract.topic for contract in context.card.subscriptions}
    pruning = Pruning(context.store, context.name, followed, context.now)
    return Timer("pruning", every_s=EVERY_S, run=lambda _: pruning.run())


class Group:
    """The services of one replica. `app` is the ASGI application; `mesh` leads to services of other groups."""

    def __init__(
        self,
        cards: Sequence[Service],
        settings: Settings,
        stack: Stack,
        mesh: Mesh,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        here = frozenset(card.name for card in cards)
        ways = DirectMesh(here, lambda: asgi(self.direct_app()), mesh)
        self.contexts = {card.name: Context(card, settings, stack, ways, clock=clock) for card in cards}
        for context in self.contexts.values():
            context.prepare()
        self.requests = Requests()
        self.services: list[ServiceAtWork] = []
        self.leaving = False
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="worker")
        self._direct: Litestar | None = None
        self._making = threading.Lock()
        self._title = f"Shopfloor: {', '.join(self.contexts)}"
        before = Holding(settings.home, self.pool).before if settings.demo else None
        app = asgi(application(self._routes(), self._title, threaded=True, before=before))
        inline = None if settings.stores_url == SQLITE else ("/livez",)
        self.app = Front(app, self._pages(), self.requests, {REPLAY_PATH: self._replay}, self.pool, inline)

    def start(self, event_log: EventLog, replica: str) -> None:
        """Begin all that runs beside the requests."""
        self.services = [ServiceAtWork(context, event_log, replica) for context in self.contexts.values()]
        for service in self.services:
            service.start()

    def stop(self) -> None:
        """Finish in order: requests at hand, timers and subscriptions, the outboxes; then close the stores."""
        self.leaving = True
        self.pool.shutdown(wait=True)
        for service in self.services:
            service.stop()
        for context in self.contexts.values():
            context.store.close()

    def troubles(self) -> dict[str, str]:
        """What keeps this replica from being ready, by service; empty when it is ready."""
        if self.leaving:
            return dict.fromkeys(self.contexts, "leaving")
        if not self.services:
            return dict.fromkeys(self.contexts, "starting")
        found = {service.name: service.trouble() for service in self.services}
        return {name: trouble for name, trouble in found.items() if trouble is not None}

    def metrics_text(self) -> str:
        """The replica's Prometheus page. Raises StoreBusy while a store does not tell."""
        try:
            return metrics_page(self.services, self.requests)[2].decode()
        except SQLAlchemyError as error:
            raise StoreAway("a store does not tell the metrics") from error

    def _routes(self) -> list[tuple[str, Sequence[HTTPRouteHandler]]]:
        return [(name, context.card.routes(context)) for name, context in self.contexts.items()]

    def direct_app(self) -> Litestar:
        """The same routes without threads, for calls within the process; made at the first call."""
        with self._making:
            if self._direct is None:
                self._direct = application(self._routes(), self._title, threaded=False)
        return self._direct

    def _pages(self) -> dict[str, Callable[[], Page]]:
        return {
            "/livez": lambda: json_page(200, {"live": True}),
            "/readyz": self._readyz,
            "/metrics": lambda: metrics_page(self.services, self.requests),
            "/stopped": lambda: json_page(200, [one for service in self.services for one in service.stopped()]),
        }

    def _replay(self, body: bytes) -> Page:
        asked = msgspec.json.decode(body, type=ReplayRound)
        for service in self.services:
            if service.name == asked.service:
                limit = max(1, min(asked.limit, _MOST_A_ROUND))
                without = set(asked.without)
                return json_page(200, service.replayer.round(asked.choice, limit, without, discard=asked.discard))
        return json_page(404, {"detail": f"this process does not run {asked.service}"})

    def _readyz(self) -> Page:
        troubles = self.troubles()
        return json_page(503 if troubles else 200, {"ready": not troubles, "troubles": troubles})
