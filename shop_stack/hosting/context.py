"""A service at work in a process: its store, outbox, clock and way to the others."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection

from shop_stack import envelope as cloudevents
from shop_stack.envelope import Envelope
from shop_stack.eventlog import idempotency, inbox, outbox, relay
from shop_stack.eventlog.database import Driver, sends_itself
from shop_stack.events import Event, RecordParked, RecordReplayed
from shop_stack.hosting import causes
from shop_stack.hosting.service import Answer, Cause, KeyReused, Mesh, Service, StillWorking, Transaction
from shop_stack.hosting.store import BUSY_S, Session, Store, StoreAway, StoreBusy
from shop_stack.hosting.store_opening import open_store
from shop_stack.ids import uuid7
from shop_stack.settings import Settings
from shop_stack.stack import Stack
from shop_stack.telemetry import tracing

TWIN_WAITS_S = 2.0
HOST_TABLES = (outbox.OUTBOX, relay.LEASE, inbox.INBOX, inbox.STOPPED, idempotency.KEYS)
HOST_EVENTS = frozenset({RecordParked, RecordReplayed})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """A time as whole microseconds since 1970."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class WriteTransaction:
    """One write transaction of a service (see service.Transaction); `handle` runs its event handlers in it."""

    def __init__(self, context: "Context", session: Session, cause: Cause) -> None:
        self._context = context
        self._session = session
        self.connection: Connection = session.connection
        self.driver: Driver = session.driver
        self.now = context.now()
        self.cause = cause
        self.published: list[str] = []
        self.wakes: list[str] = []

    def publish(self, event: Event, *, subject: str, sequence: int | None, correlation: str | None = None) -> str:
        """Write an event to the outbox; see service.Transaction. Raises Conflict for a wrong sequence."""
        card = self._context.card
        if type(event) not in card.publications and type(event) not in HOST_EVENTS:
            raise TypeError(f"{card.name} publishes {type(event).__name__}, which its card does not list")
        event_id = uuid7(self.now)
        traceparent = self.cause.traceparent
        envelope = Envelope(
            id=event_id,
            source=f"/{card.name}",
            subject=subject,
            time=self.now,
            data=event,
            sequence=sequence,
            traceparent=traceparent,
            correlationid=correlation if correlation is not None else self.cause.correlation,
            causationid=self.cause.causation,
        )
        topic = event.topic.name
        entry = outbox.Entry(event_id, topic, subject, event.type, cloudevents.encode(envelope), sequence, topic,
                             traceparent, microseconds(self.now))  # fmt: skip
        outbox.add(self.driver, entry)
        self.published.append(subject)
        return event_id

    def hold(self, name: str) -> None:
        """Wait until no other transaction of this service holds the name; see service.Transaction."""
        self._context.store.hold(self._session, name)

    def wake(self, timer: str) -> None:
        """Run a timer of this service right after the commit."""
        self.wakes.append(timer)

    def handle(self, envelope: Envelope[Event]) -> None:
        """Run the service's handler of this event, with the event as the cause of what it publishes."""
        if not tracing.listened_to():
            self._handle(envelope)
            return
        name, told = f"handle {type(envelope.data).__name__}", {"messaging.message.id": envelope.id}
        with tracing.within(self._context.name, name, "consumer", envelope.traceparent, told) as span:
            if span is not None:  # handlers keep it for work to come
                envelope = msgspec.structs.replace(envelope, traceparent=span.traceparent)
            self._handle(envelope)

    def _handle(self, envelope: Envelope[Event]) -> None:
        self.cause = Cause(envelope.id, envelope.correlationid, envelope.traceparent)
        token = causes.current.set(self.cause)
        try:
            self._context.card.subscriptions[type(envelope.data)](self, envelope, self._context)
        finally:
            causes.current.reset(token)


class Context:
    """Implements service.ServiceContext for one card.

    The host sets `relay`, which sends what commits, and `on_wake`, which runs a timer; without them rows wait.
    """

    def __init__(
        self,
        card: Service,
        settings: Settings,
        stack: Stack,
        mesh: Mesh,
        *,
        clock: Callable[[], datetime] = utc_now,
        store: Store | None = None,
    ) -> None:
        self.card = card
        self.name = card.name
        self.settings = settings
        self.stack = stack
        self.mesh = mesh
        self.now = clock
        self.began = clock()
        self.store = store if store is not None else open_store(settings, card.name)
        self.relay: relay.Relay | None = None
        self.on_wake: Callable[[str], None] = lambda timer: None

    def prepare(self) -> None:
        """Create the store's tables and the rows that a new store needs. Raises StoreOutdated."""
        self.store.prepare(self.card.store, HOST_TABLES[0].metadata)
        if self.card.prepare is not None:
            with self._transaction(holding=("prepare",)) as transaction:
                self.card.prepare(transaction, self)

    @contextmanager
    def write(self, cause: Cause | None = None) -> Iterator[WriteTransaction]:
        """Begin a write transaction; see service.ServiceContext. Raises StoreBusy after 5 s."""
        with self._transaction(cause) as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; see service.ServiceContext."""
        with self.store.read() as session:
            yield session.connection

    def once(
        self, key: str, subject: str, method: str, path: str, body: bytes, work: Callable[[Transaction], Answer]
    ) -> Answer:
        """Do `work` once for a key; see service.ServiceContext. The twin waits at the store's or the key's lock."""
        scope = (subject, method, path, key)
        scope_names = ("\n".join(("key", *scope)),)
        try:
            with self.store.read() as session:
                before = idempotency.kept(session.driver, scope)
            if before is not None:
                return _answer_again(before, body)
            with self._transaction(wait_s=TWIN_WAITS_S, holding=scope_names) as transaction:
                before = idempotency.kept(transaction.driver, scope)
                if before is not None:
                    return _answer_again(before, body)
                answer = work(transaction)
                now = microseconds(transaction.now)
                idempotency.keep(transaction.driver, scope, body, answer.status, answer.body, now)
                return answer
        except StoreAway:
            raise
        except StoreBusy as error:
            raise StillWorking(f"{method} {path} with this key is still being worked on; repeat it later") from error

    @contextmanager
    def _transaction(
        self, cause: Cause | None = None, wait_s: float = BUSY_S, holding: Sequence[str] = ()
    ) -> Iterator[WriteTransaction]:
        with self.store.write(wait_s, holding) as session:
            transaction = WriteTransaction(self, session, cause if cause is not None else causes.current.get())
            yield transaction
            marks = self.relay.marking(session.driver) if self.relay is not None else []
        if self.relay is not None:
            if marks:
                self.relay.marked(marks)
            if transaction.published:
                (self.relay.send if sends_itself.get() else self.relay.notify)(transaction.published)
        for timer in transaction.wakes:
            self.on_wake(timer)


def _answer_again(before: tuple[bytes, int, bytes], body: bytes) -> Answer:
    body_hash, status, answer = before
    if body_hash != idempotency.digest(body):
        raise KeyReused("this Idempotency-Key came with another body before; use a new key")
    return Answer(status, answer)
