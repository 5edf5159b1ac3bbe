"""What a service is: its card, and what the host gives to its handlers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection, MetaData

from shop_stack.envelope import Envelope
from shop_stack.events import Event, WorkInHand
from shop_stack.settings import Settings
from shop_stack.stack import Stack


class Cause(msgspec.Struct, frozen=True):
    """Why something happens: the event or request that led here, its trace, and the order or session it is for."""

    causation: str | None = None
    correlation: str | None = None
    traceparent: str | None = None


class Transaction(Protocol):
    """One write transaction on the service's own store. What it publishes is sent if and only if it commits."""

    connection: Connection
    now: datetime

    def publish(self, event: Event, *, subject: str, sequence: int | None, correlation: str | None = None) -> str:
        """Write an event to the outbox and return its id.

        `sequence` is the new version of the aggregate `subject`, gapless from 1 (None on topics without one);
        `correlation` defaults to that of the transaction's cause.
        """

    def hold(self, name: str) -> None:
        """Wait until no other transaction of this service holds the name; it is held until this one ends.

        For what no row's lock protects: a row that may not be there yet, or rows that others lock in another order.
        Taken before any row. (SQLite: the one writer holds everything.)
        """

    def wake(self, timer: str) -> None:
        """Run a timer of this service right after the commit instead of at its next turn."""


class Answer(msgspec.Struct, frozen=True):
    """What a mesh call or a kept request answered: HTTP status and JSON body."""

    status: int
    body: bytes = b"null"

    def json(self) -> Any:
        """The decoded body; raises msgspec.DecodeError when it is not JSON."""
        return msgspec.json.decode(self.body)


class Mesh(Protocol):
    """Reads of other services. Every call may fail, in every topology."""

    def get(self, service: str, path: str, *, deadline_s: float = 1.0, subject: str | None = None) -> Answer:
        """GET `path` of a service on behalf of `subject`, with the current trace.

        Answers any HTTP status below 500; raises MeshError for 5xx, a broken connection or a passed deadline.
        """


class ServiceContext(Protocol):
    """A service at work in a process since `began`: its settings, clock, store and way to the others."""

    name: str
    began: datetime
    settings: Settings
    stack: Stack
    mesh: Mesh

    def now(self) -> datetime:
        """The time, UTC."""

    def write(self, cause: Cause | None = None) -> AbstractContextManager[Transaction]:
        """Begin a write transaction; commits on leaving, rolls back on an error. No I/O inside.

        SQLite: flock, BEGIN IMMEDIATE. PostgreSQL: READ COMMITTED, so that what is read to be changed must be held.
        """

    def read(self) -> AbstractContextManager[Connection]:
        """A connection for reading, for as long as the `with`; no I/O inside."""

    def once(
        self,
        key: str,
        subject: str,
        method: str,
        path: str,
        body: bytes,
        work: Callable[[Transaction], Answer],
    ) -> Answer:
        """Do `work` in one transaction with its idempotency key; the same key and body get the stored answer.

        Raises KeyReused for another body under the key, and StillWorking when a concurrent twin has not
        finished after 2 s.
        """


class KeyReused(Exception):
    """An idempotency key came again with another body (HTTP 422)."""


class StillWorking(Exception):
    """The twin of this request is still at work (HTTP 409 with Retry-After)."""


EventHandler = Callable[[Transaction, Envelope[Any], ServiceContext], None]


@dataclass(frozen=True)
class Timer:
    """Work that is due by the clock or by `Transaction.wake`: deadlines, provider calls, deliveries.

    `run` returns True when more may be due right away. It is called on `workers` threads at once and must claim
    its rows in the store; it opens its own transactions, with I/O only between them.
    """

    name: str
    every_s: float
    run: Callable[[ServiceContext], bool]
    workers: int = 1


@dataclass(frozen=True)
class Service:
    """A service's card. Nothing registers or connects on import.

    `routes` makes the HTTP handlers for a context; `subscriptions` maps each event class to its handler;
    `publications` lists what may be published; `store` has the service's own tables (the host adds outbox,
    inbox and idempotency keys); `prepare` writes rows that a new store needs. `work_in_hand` tells by kind what waits
    in the store for somebody else: neither the requests nor the lag show it. It is asked often and reads an index.
    """

    name: str
    routes: Callable[[ServiceContext], Sequence[HTTPRouteHandler]]
    subscriptions: Mapping[type[Event], EventHandler]
    publications: frozenset[type[Event]]
    store: MetaData
    timers: tuple[Timer, ...] = ()
    prepare: Callable[[Transaction, ServiceContext], None] | None = None
    work_in_hand: Callable[[ServiceContext], Sequence[WorkInHand]] | None = None
