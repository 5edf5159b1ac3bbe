"""The toy service in parts, for tests of delivery: contexts over real stores, relays, events, what is on the log."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from shop_stack.envelope import Envelope, decode, encode
from shop_stack.errors import LogUnavailable
from shop_stack.eventlog.database import Driver
from shop_stack.eventlog.delivery import Delivery, types_of
from shop_stack.eventlog.interface import EventLog, Placed, Record, TopicPartition
from shop_stack.eventlog.relay import Relay
from shop_stack.events import CATALOG, INVENTORY, ProductAdded, StockReceived
from shop_stack.hosting.context import Context
from shop_stack.hosting.sqlite_store import SqliteStore
from shop_stack.hosting.store import is_passing
from shop_stack.mesh.calls import HttpMesh
from shop_stack.postgres import Driver as PostgresDriver
from shop_stack.postgres import server_of
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests import toy_service


@dataclass
class Clock:
    """A clock that tests put forward."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class FitfulLog:
    """An event log whose next appends fail, before or after the records are stored, then all is well."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.failures: list[str] = []

    def append(self, topic: str, records: Sequence[Record]) -> list[Placed]:
        """Append, or fail as `failures` says: `before` storing or `after`."""
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise LogUnavailable("the log is away")
        placed = self._log.append(topic, records)
        if failure == "after":
            raise LogUnavailable("the log went away")
        return placed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


STORES: ContextVar[Settings | None] = ContextVar("STORES", default=None)
"""Where the toy's store lies in this test; None: in a file of its folder."""


def toy_context(folder: Path, clock: Any = None) -> Context:
    """A context of the toy over the store in this folder, as one replica has it."""
    elsewhere = STORES.get()
    settings = replace(elsewhere, home=Home(folder)) if elsewhere is not None else Settings(home=Home(folder))
    mesh = HttpMesh(lambda service: ("127.0.0.1", 9))
    context = Context(toy_service.CARD, settings, read_stack(), mesh, **({"clock": clock} if clock else {}))
    context.prepare()
    return context


def driver_of(context: Context) -> Driver:
    """A connection to the store's database, to look into it beside the service."""
    if isinstance(context.store, SqliteStore):
        return context.store.kept().driver
    if context not in _BESIDE:
        server = server_of(context.settings.stores_url, context.settings.store_secrets)
        _BESIDE[context] = PostgresDriver(server.connect(context.name))
    return _BESIDE[context]


@contextmanager
def taken(context: Context) -> Iterator[None]:
    """Another writer holds what each event is entered in: on SQLite the whole store."""
    with context.store.write() as session:
        session.driver.execute("/*pg LOCK TABLE inbox IN EXCLUSIVE MODE */")
        yield


_BESIDE: WeakKeyDictionary[Context, Driver] = WeakKeyDictionary()


def receive(context: Context, name: str, amount: int = 1) -> None:
    """A commit of the toy: add, and publish the next version of this aggregate."""
    with context.write() as transaction:
        toy_service.add(transaction, name, amount)
        version = toy_service.add(transaction, f"version of {name}", 1)
        transaction.publish(StockReceived(product_id=name, quantity=amount), subject=name, sequence=version)


def relay_of(context: Context, log: Any, holder: str = "toy-1") -> Relay:
    """A relay over the context's store; not started, the test takes its turns."""
    context.relay = Relay(context.store, log, holder, context.now)
    return context.relay


def delivery_of(context: Context, log: EventLog) -> Delivery:
    """The toy's subscription; not started."""
    topics, types = types_of(toy_service.CARD.subscriptions)
    return Delivery("toy", log, topics, types, context.write, is_passing)


def product(product_id: str, stock: int = 1, name: str = "tea", event_id: str | None = None) -> Record:
    """A record that the toy subscribes to."""
    event = ProductAdded(product_id=product_id, name=name, category="c", list_price_minor=1, opening_stock=stock)
    envelope = Envelope(id=event_id or f"e-{product_id}-{name}-{stock}", source="/catalog", subject=product_id,
                        time=datetime.now(UTC), data=event, sequence=1)  # fmt: skip
    return Record(product_id, encode(envelope))


def send(log: EventLog, *records: Record) -> None:
    """Append to the topic that the toy follows."""
    log.append(CATALOG.name, list(records))


def on_log(log: EventLog, topic: str = INVENTORY.name) -> list[Envelope[Any]]:
    """Everything on a topic, repeats included, in order within each partition."""
    found: list[Envelope[Any]] = []
    for partition, end in enumerate(log.ends(topic)):
        position = log.starts(topic)[partition]
        while position < end:
            some = log.read(topic, partition, position)
            found += [decode(record.value) for record in some]
            position = some[-1].position + 1
    return found


def sequences(log: EventLog) -> dict[str, list[int]]:
    """By aggregate, the sequences on the log in order, each event's first occurrence only."""
    seen: dict[str, list[int]] = {}
    known: set[str] = set()
    for envelope in on_log(log):
        if envelope.id not in known:
            known.add(envelope.id)
            seen.setdefault(envelope.subject, []).append(envelope.sequence or 0)
    return seen


def lags(log: EventLog) -> Mapping[TopicPartition, int]:
    """What the toy has not committed yet."""
    return {where: lag for where, lag in log.lag("toy").items() if lag}
