"""The shop of one schedule: its services over stores in memory and the log, each restored from a template."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, NoReturn

import msgspec

from shop_stack.envelope import Envelope
from shop_stack.errors import MeshError
from shop_stack.eventlog.delivery import types_of
from shop_stack.eventlog.interface import Record
from shop_stack.events import Event, ProductAdded
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.context import Context
from shop_stack.hosting.service import Answer, EventHandler, Mesh, Service, ServiceContext, Transaction
from shop_stack.settings import Home, Settings
from shop_stack.stack import Stack, read_stack
from shop_stack.trials.injection import injected
from shop_stack.trials.memory_log import MemoryLog
from shop_stack.trials.memory_store import MemoryStore
from shop_stack.trials.plan import PRICES, PRODUCTS, SERVICES, Plan
from shop_stack.trials.replica import Replica
from shop_stack.trials.weather import LogWeather, StoreStrikes
from shop_stack.trials.world import START, World

DELIVERY_SECONDS = 3.0
_UNTIL_IT_DIES = 99


class Shelf:
    """What all schedules of a process share: cards, the stack, and the stores with the images they begin from."""

    def __init__(self) -> None:
        self.cards = {name: card_of(name) for name in SERVICES}
        self.subscribed = {name: types_of(card.subscriptions) for name, card in self.cards.items()}
        self.stack = read_stack()
        self.settings = Settings(home=Home(Path()), delivery_seconds=DELIVERY_SECONDS, ports={"provider": 0})
        self.stores = {name: MemoryStore(name) for name in SERVICES}
        self.sent: list[tuple[str, Record]] = []
        with injected(lambda: 0.0, Random("shelf"), _never, _never):
            self.images = {name: self._prepared(name) for name in SERVICES}

    def _prepared(self, name: str) -> bytes:
        """The service's store after it has heard of the products, its outbox marked as sent long ago."""
        store = self.stores[name]
        context = Context(self.cards[name], self.settings, self.stack, NoMesh(), clock=lambda: START, store=store)
        context.prepare()
        if ProductAdded in self.cards[name].subscriptions:
            for product in PRODUCTS:
                with context.write() as transaction:
                    transaction.handle(_added(product))
        driver = store.kept().driver
        for pragma in ("journal_mode=MEMORY", "synchronous=OFF", "cache_size=-4096"):
            driver.execute(f"PRAGMA {pragma}")
        driver.execute("UPDATE outbox SET published = created")
        self.sent += [
            (topic, Record(key, payload, {}, kind))
            for topic, key, payload, kind in driver.execute("SELECT topic, key, payload, type FROM outbox")
        ]
        return store.image()

    def restore(self) -> None:
        """Set every store back."""
        for name, store in self.stores.items():
            store.strikes = None
            store.restore(self.images[name])


def _never(*_: object) -> NoReturn:
    """Nobody waits or calls while the shelf is made."""
    raise AssertionError("the template's services neither wait nor call")


@cache
def shelf() -> Shelf:
    """This process's own."""
    return Shelf()


def _added(product: str) -> Envelope[Event]:
    event = ProductAdded(
        product_id=product, name=product, category="things", list_price_minor=PRICES[product],
        opening_stock=PRODUCTS[product],
    )  # fmt: skip
    return Envelope(id=f"added-{product}", source="/catalog", subject=product, time=START, data=event, sequence=1)


class NoMesh(Mesh):
    """For where nobody is asked."""

    def get(self, service: str, path: str, *, deadline_s: float = 1.0, subject: str | None = None) -> Answer:
        """404."""
        return Answer(404)


class PlannedMesh(Mesh):
    """Reads of the services that a schedule does not run: carts and prices as planned, addresses of guests."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._carts = {order.cart_id: order for order in world.plan.orders}

    def get(self, service: str, path: str, *, deadline_s: float = 1.0, subject: str | None = None) -> Answer:
        """Answer after a moment, in which others go on."""
        acting = self._world.acting
        self._world.wait(self._world.jitter("mesh", 0.001, 0.02))
        fault = self._world.fault("mesh", acting.service) if acting is not None else None
        if fault is not None:
            self._world.strike(fault, f"{service} does not answer it")
            raise MeshError(f"{service} did not answer")
        if service == "storefront":
            lines = self._carts[path.rpartition("/")[2]].lines
            cart = {"lines": [{"product_id": product, "quantity": units} for product, units in lines.items()]}
            return Answer(200, msgspec.json.encode(cart))
        if service == "catalog":
            items = [{"product_id": product, "list_price_minor": price} for product, price in PRICES.items()]
            return Answer(200, msgspec.json.encode({"items": items}))
        return Answer(404)


class Effect(NamedTuple):
    """An event that a service has handled in a transaction that was committed."""

    topic: str
    subject: str
    event_id: str
    sequence: int | None


class Shop:
    """One schedule's services at work in its world."""

    def __init__(self, plan: Plan, world: World) -> None:
        common = shelf()
        self.plan = plan
        self.world = world
        self.settings = common.settings
        self.stack = _with_clocks(common.stack, plan)
        self.stores = common.stores
        self.mesh = PlannedMesh(world)
        self.topics = {name: topics for name, (topics, _) in common.subscribed.items()}
        self.heeded = {name: frozenset(types) for name, (_, types) in common.subscribed.items()}
        self.log = MemoryLog(seconds=world.clock)
        for topic, record in common.sent:
            self.log.append(topic, [record])
        self.log.weather = LogWeather(world, self._appended, self._shared)
        self.dirty: dict[str, None] = {}  # in their order: a set's would be another in each process
        self.failing: dict[tuple[str, str], int] = {}
        self.effects: dict[str, list[Effect]] = {service: [] for service in SERVICES}
        self._uncommitted: list[Effect] = []
        self.carts: dict[str, str] = {}
        common.restore()
        strikes = StoreStrikes(world, self._begun, self._committed)
        for store in self.stores.values():
            store.strikes = strikes
        self.cards = {name: self._struck(card) for name, card in common.cards.items()}
        self.replicas = [
            Replica(self, service, f"{service}-{number}")
            for service in SERVICES
            for number in range(1, plan.replicas.get(service, 1) + 1)
        ]

    def start(self) -> None:
        """Everything comes up."""
        for replica in self.replicas:
            replica.start()

    def of(self, service: str) -> list[Replica]:
        """The replicas of a service that answer."""
        return [replica for replica in self.replicas if replica.service == service and replica.answers]

    def rows(self, service: str, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a service's store answers."""
        return self.stores[service].kept().driver.execute(query, values).fetchall()

    def ends(self) -> dict[str, int]:
        """The orders by state and reason."""
        words = "state || coalesce(' (' || reason || ')', '')"
        return dict(self.rows("orders", f"SELECT {words}, count(*) FROM orders GROUP BY 1"))  # noqa: S608

    def plan_timers(self) -> None:
        """After something was committed: when is something due next?"""
        while self.dirty:
            service, _ = self.dirty.popitem()
            for replica in self.replicas:
                if replica.service == service:
                    replica.plan_timers()

    def _appended(self, topic: str, records: Sequence[Record], ends: Mapping[int, float]) -> None:
        types = {record.type for record in records}
        if self.world.story is not None:
            actor = self.world.acting.name if self.world.acting else "somebody"
            for record in records:
                self.world.tell(actor, f"sends {_short(record.type)} of {self.world.named(record.key)}")
        at = max(ends.values(), default=0.0)
        for replica in self.replicas:
            if topic in self.topics[replica.service] and (None in types or types & self.heeded[replica.service]):
                replica.hear(at)

    def _shared(self, group: str) -> None:
        for replica in self.replicas:
            if replica.service == group:
                replica.hear(self.world.seconds + self.world.jitter("shared", 0.0, 1.0))

    def _begun(self, store: str) -> None:
        self._uncommitted.clear()

    def _committed(self, store: str, driver: sqlite3.Connection) -> None:
        self.dirty[store] = None
        self.effects[store] += self._uncommitted
        if self.world.acting is not None:
            self.world.acting.commits += 1
        if store == "orders" and len(self.carts) < len(self.plan.orders):
            self._name_orders(driver)

    def _name_orders(self, driver: sqlite3.Connection) -> None:
        for order_id, cart_id in driver.execute("SELECT order_id, cart_id FROM orders"):
            if order_id not in self.carts:
                self.carts[order_id] = cart_id
                self.world.names[order_id] = cart_id.replace("cart-", "order ")

    @property
    def never_rested(self) -> bool:
        """Whether something is still due, after more steps or time than any schedule needs."""
        return self.world.is_anything_due()

    def _die(self, replica: Replica, life: int, failing: tuple[str, str]) -> None:
        self.failing[failing] = 0
        if replica.life == life:
            replica.down_s = 1.0
            replica.die()

    def _struck(self, card: Service) -> Service:
        return replace(
            card, subscriptions={event: self._striking(card.name, run) for event, run in card.subscriptions.items()}
        )

    def _striking(self, service: str, handler: EventHandler) -> EventHandler:
        world, failing = self.world, self.failing

        def handle(transaction: Transaction, envelope: Envelope[Any], context: ServiceContext) -> None:
            if world.story is not None:
                actor = world.acting.name if world.acting else service
                world.tell(actor, f"handles {type(envelope.data).__name__} of {world.named(envelope.subject)}")
            fault = world.fault("handle", service)
            if fault is not None and fault.what == "crash":
                world.die(fault, "while it handles an event")
            if fault is not None and fault.what == "fails":
                world.strike(fault, f"will fail {int(fault.amount)} times at {type(envelope.data).__name__}")
                failing.setdefault((service, envelope.id), int(fault.amount))
            if fault is not None and fault.what == "fails and dies" and world.acting is not None:
                world.strike(fault, f"will fail at {type(envelope.data).__name__} and die {fault.amount:g} s later")
                failing.setdefault((service, envelope.id), _UNTIL_IT_DIES)
                world.after(fault.amount, partial(self._die, world.acting, world.acting.life, (service, envelope.id)))
            if failing and failing.get((service, envelope.id), 0) > 0:
                failing[service, envelope.id] -= 1
                raise ValueError("a failure that was planned")
            handler(transaction, envelope, context)
            effect = Effect(type(envelope.data).topic.name, envelope.subject, envelope.id, envelope.sequence)
            self._uncommitted.append(effect)

        return handle


def _short(kind: str | None) -> str:
    return kind.removeprefix("shop.") if kind else "something"


def _with_clocks(stack: Stack, plan: Plan) -> Stack:
    checkout = msgspec.structs.replace(
        stack.checkout, step_deadline_s=plan.step_deadline_s, reservation_s=plan.reservation_s
    )
    return msgspec.structs.replace(stack, checkout=checkout)
