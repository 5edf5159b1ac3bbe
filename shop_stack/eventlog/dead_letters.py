"""Dead letters: how a record that cannot be handled is told of, and how parked records are tried again.

A replay takes the stopped aggregates one by one and each one's records in order, a transaction a record: the effect,
the inbox and the end of the parking stand or fall together, so a crash in the middle loses and doubles nothing. While
a record of an aggregate is parked, what arrives of it is parked behind (delivery asks in its own transaction).
"""

import base64
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from shop_stack.envelope import Envelope
from shop_stack.errors import BadEvent
from shop_stack.eventlog import inbox
from shop_stack.eventlog.arrivals import Arrival, Reader
from shop_stack.eventlog.database import Database, Session
from shop_stack.eventlog.inbox import Parked, Stopped
from shop_stack.eventlog.interface import StoredRecord
from shop_stack.events import Event, Origin, RecordParked, RecordReplayed

LARGEST_VALUE = 300 * 1024
_LONGEST_ERROR = 2000


class Work(Session, Protocol):
    """A write transaction in which events are handled and published."""

    now: datetime

    def handle(self, envelope: Envelope[Event]) -> None:
        """Run the service's handler of this event."""

    def publish(self, event: Event, *, subject: str, sequence: int | None, correlation: str | None = None) -> str:
        """Write an event to the outbox."""


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which dead letters are meant: all, or those of a topic, an aggregate, an event; `error` is a part of its words.

    Quarantined ones only with `quarantined`.
    """

    topic: str = ""
    aggregate: str = ""
    event_id: str = ""
    error: str = ""
    quarantined: bool = False

    def means(self, letter: Stopped) -> bool:
        """Whether this dead letter is meant."""
        return (
            self.topic in ("", letter.topic)
            and self.aggregate in ("", letter.aggregate)
            and self.event_id in ("", letter.event_id)
            and self.error.casefold() in letter.error.casefold()
            and (self.quarantined or not letter.quarantined)
        )


class Round(msgspec.Struct, kw_only=True):
    """What one round of a replay did: dead letters by outcome, and events that had their effect.

    `done` names the aggregates it tried, as (topic, aggregate); the next round leaves them out.
    """

    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    events_handled: int = 0
    done: list[tuple[str, str]] = msgspec.field(default_factory=list)
    errors: list[str] = msgspec.field(default_factory=list)


def reason_of(error: str) -> str:
    """The kind of an error from its words: what stands before the first colon."""
    return error.partition(":")[0].strip() or "unknown"


def histogram(letters: list[Stopped]) -> dict[str, int]:
    """Dead letters by reason, the most frequent first."""
    return dict(Counter(reason_of(letter.error) for letter in letters).most_common())


def tell(work: Work, consumer: str, record: Parked, correlation: str | None) -> None:
    """Publish, in the transaction that parks it, that a record cannot be handled."""
    error = record.error or ""
    value = base64.b64encode(record.value).decode() if len(record.value) <= LARGEST_VALUE else None
    event = RecordParked(
        consumer=consumer,
        origin=_origin(record),
        headers=record.headers,
        value=value,
        reason=reason_of(error),
        error=error[:_LONGEST_ERROR],
        attempts=record.attempts,
    )
    work.publish(event, subject=record.event_id, sequence=None, correlation=correlation)


class Replayer:
    """Tries parked records of one service again. Callable from any thread; several at once do no harm.

    `transaction` begins a write transaction; `is_passing` tells a failure of the moment from one of the record.
    """

    def __init__(
        self,
        consumer: str,
        types: list[str],
        database: Database,
        transaction: Callable[[], AbstractContextManager[Work]],
        is_passing: Callable[[BaseException], bool],
    ) -> None:
        self._consumer = consumer
        self._reader = Reader(types)
        self._database = database
        self._transaction = transaction
        self._is_passing = is_passing

    def letters(self, choice: Choice) -> list[Stopped]:
        """The dead letters that are meant, oldest first."""
        with self._database.read() as session:
            found = inbox.stopped(session.driver)
        return [letter for letter in found if letter.consumer == self._consumer and choice.means(letter)]

    def round(self, choice: Choice, limit: int, without: set[tuple[str, str]], *, discard: bool = False) -> Round:
        """Try up to `limit` aggregates again, or give their first record up and go on with those behind.

        `without` names aggregates that were tried before in this replay.
        """
        done = Round()
        outcomes: Counter[str] = Counter()
        for letter in self.letters(choice):
            where = letter.topic, letter.aggregate
            if where in without or len(done.done) >= limit:
                continue
            if discard:
                self._discard(letter)
                outcomes["discarded"] += 1
            outcome = self._replay(letter, done)
            if not discard or outcome != "succeeded":
                outcomes[outcome] += 1
            done.done.append(where)
        done.outcomes = dict(outcomes)
        return done

    def _replay(self, letter: Stopped, done: Round) -> str:
        """Handle an aggregate's records in order until none is left or one fails; the outcome."""
        while True:
            record: Parked | None = None
            try:
                with self._transaction() as work:
                    record = self._first(work, letter)
                    if record is None:
                        return "succeeded"
                    done.events_handled += self._handle(work, record)
            except Exception as error:  # noqa: BLE001 - delivery's boundary: the record stays parked, with its error
                words = f"{type(error).__name__}: {error}"
                done.errors.append(words[:_LONGEST_ERROR])
                if record is None or self._is_passing(error):
                    return "not now"
                return self._note(record, words)

    def _first(self, work: Work, letter: Stopped) -> Parked | None:
        return next(iter(inbox.parked(work.driver, self._consumer, letter.topic, letter.aggregate, 1)), None)

    def _handle(self, work: Work, record: Parked) -> int:
        """Give a record its effect unless it had it; raises what the handler raises, or BadEvent."""
        arrival = self._read(record)
        handled = 0
        if arrival is not None:
            if arrival.envelope is None:
                raise arrival.error or BadEvent("not an event")
            if inbox.enter(work.driver, self._consumer, arrival.envelope.id, _microseconds(work.now)):
                work.handle(arrival.envelope)
                handled = 1
        inbox.unpark(work.driver, self._consumer, record)
        if record.error is not None:
            self._tell(work, record, "succeeded", record.replays + 1, None)
        return handled

    def _discard(self, letter: Stopped) -> None:
        """Give up the record that stops an aggregate. It counts as handled, so that a repeat has no effect either."""
        with self._transaction() as work:
            record = self._first(work, letter)
            if record is None or record.event_id != letter.event_id:
                return
            inbox.enter(work.driver, self._consumer, record.event_id, _microseconds(work.now))
            inbox.unpark(work.driver, self._consumer, record)
            self._tell(work, record, "discarded", record.replays, record.error)

    def _note(self, record: Parked, error: str) -> str:
        """Keep that a record failed again; quarantined or failed."""
        replays = record.replays + 1
        outcome = "quarantined" if replays >= inbox.QUARANTINED_AT else "failed"
        with self._transaction() as work:
            inbox.note_replay(work.driver, self._consumer, record, error)
            self._tell(work, record, outcome, replays, error)
        return outcome

    def _tell(self, work: Work, record: Parked, outcome: str, replays: int, error: str | None) -> None:
        words = error[:_LONGEST_ERROR] if error is not None else None
        event = RecordReplayed(
            consumer=self._consumer, origin=_origin(record), outcome=outcome, replays=replays, error=words
        )
        work.publish(event, subject=record.event_id, sequence=None, correlation=None)

    def _read(self, record: Parked) -> Arrival | None:
        key = None if record.aggregate.startswith("@") else record.aggregate
        stored = StoredRecord(
            record.topic, record.partition, record.position, key, record.value, record.headers, record.at // 1000
        )
        return self._reader.read(stored)


def _origin(record: Parked) -> Origin:
    return Origin(
        topic=record.topic,
        partition=record.partition,
        position=record.position,
        key=None if record.aggregate.startswith("@") else record.aggregate,
        event_id=record.event_id,
    )


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
