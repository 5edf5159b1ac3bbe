"""Delivery: a service's subscription, from poll to committed effect, in order within each aggregate.

A poll's events share one transaction, each entered in the inbox within it; should that fail, they get one each.
An event that fails waits with its aggregate while the neighbours flow; the partition's position stays before it.
What fails for a passing reason waits for as long as it takes. What fails for good stops its aggregate: the event
and those behind it are kept in `stopped_aggregates`, in order, in the database, and the event is a dead letter.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

from shop_stack.errors import (
    BadEvent,
    EventLogError,
    Fenced,
    ForeignLog,
    LogUnavailable,
    MeshError,
    PositionBelowStart,
    PositionPastEnd,
)
from shop_stack.eventlog import dead_letters, inbox
from shop_stack.eventlog.arrivals import Aggregate, Arrival, Reader
from shop_stack.eventlog.database import sends_itself
from shop_stack.eventlog.dead_letters import Work
from shop_stack.eventlog.interface import Consumer, EventLog, Heeding, StoredRecord, TopicPartition
from shop_stack.events import Event

COMMIT_EVERY_S = 0.25
ATTEMPTS = 5
IDLE_POLL_S = 1.0
_MAX_WAITING = 2000
_HALTS = (ForeignLog, PositionPastEnd, PositionBelowStart)
log = logging.getLogger(__name__)


@dataclass
class Waiting:
    """The records of an aggregate whose first one failed, and when to try it again.

    `failures` counts those of its `attempts` that did not fail for a passing reason.
    """

    queue: list[Arrival]
    attempts: int = 0
    failures: int = 0
    due: float = 0.0
    error: str = ""


@dataclass
class Progress:
    """What delivery has done since its start, for metrics and health."""

    handled: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    parked: int = 0
    waiting: int = 0
    settled: bool = False
    halted: str | None = None


class Delivery:
    """The subscription of one service in one process, on a thread of its own.

    `transaction` begins a write transaction; `is_passing` tells a store that is only taken, or
    full for a while, from a record that fails.
    """

    def __init__(
        self,
        consumer: str,
        event_log: EventLog,
        topics: Sequence[str],
        types: Sequence[str],
        transaction: Callable[[], AbstractContextManager[Work]],
        is_passing: Callable[[BaseException], bool],
    ) -> None:
        self.progress = Progress()
        self._name = consumer
        self._log = event_log
        self._topics = topics
        self._types = types
        self._reader = Reader(types)
        self._transaction = transaction
        self._is_passing = is_passing
        self._waiting: dict[Aggregate, Waiting] = {}
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._committed_at = 0.0
        self._stopping = threading.Event()
        self._consumer: Consumer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Join the group and begin."""
        self._thread = threading.Thread(target=self._run, name=f"delivery-{self._name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish the events at hand, commit the positions, leave the group."""
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.wake()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        sends_itself.set(True)
        failures = 0
        while not self._stopping.is_set():
            try:
                self._follow()
                failures = 0
            except _HALTS as error:
                self.progress.halted = str(error)
                log.error("the subscription halts: %s", error)
                return
            except Exception as error:  # noqa: BLE001 - delivery's boundary: join again whatever broke
                failures += 1
                delay = min(5.0, 0.1 * 2 ** min(failures, 6)) * random.uniform(0.5, 1.0)
                log.warning("the subscription starts again in %.2f s: %s: %s", delay, type(error).__name__, error)
                self._stopping.wait(delay)

    def _follow(self) -> None:
        self._consumer = consumer = self._log.subscribe(self._name, self._topics)
        try:
            self.begin(consumer)
            while not self._stopping.is_set():
                self.turn(consumer)
            self._commit(consumer)
        finally:
            self._consumer = None
            consumer.close()

    def begin(self, consumer: Consumer) -> None:
        """Follow this consumer from its committed positions on, with nothing in hand."""
        self._waiting.clear()
        self._next.clear()
        self._committed.clear()
        if isinstance(consumer, Heeding):
            consumer.heed(self._types)

    def turn(self, consumer: Consumer) -> None:
        """One round: a poll and its records' effects, what is to be tried again, positions when that is due.

        Raises what only joining anew can mend.
        """
        records = self._poll(consumer)
        self.progress.settled = self.progress.settled or consumer.ready()
        if records:
            self.settle(records)
        if self._waiting:
            self._drop_revoked(consumer)
            self._retry()
        self.progress.waiting = len(self._waiting)
        if self._uncommitted() and time.monotonic() - self._committed_at >= COMMIT_EVERY_S:
            self._commit(consumer)

    def _poll(self, consumer: Consumer) -> list[StoredRecord]:
        if sum(len(waiting.queue) for waiting in self._waiting.values()) >= _MAX_WAITING:
            self._stopping.wait(0.05)
            return []
        try:
            return consumer.poll(timeout_s=self.patience_s())
        except LogUnavailable as error:
            log.warning("the log does not answer: %s", error)
            self._stopping.wait(random.uniform(0.2, 1.0))
            return []

    def patience_s(self) -> float:
        """How long the next poll may wait: until something is to be tried again or committed, else IDLE_POLL_S."""
        if not self.progress.settled:
            return 0.05
        now = time.monotonic()
        until = [now + IDLE_POLL_S, *(waiting.due for waiting in self._waiting.values())]
        if self._uncommitted():
            until.append(self._committed_at + COMMIT_EVERY_S)
        return max(0.001, min(until) - now)

    def settle(self, records: Sequence[StoredRecord]) -> None:
        """Handle a poll's records: all in one transaction, else one each; what fails waits with its aggregate."""
        fresh: list[Arrival] = []
        for record in records:
            if (arrival := self._reader.read(record)) is not None:
                if (waiting := self._waiting.get(arrival.aggregate)) is not None:
                    waiting.queue.append(arrival)
                else:
                    fresh.append(arrival)
        if fresh and not self._handle(fresh):
            for arrival in fresh:
                self._handle_alone(arrival)
        if not self._uncommitted():
            self._committed_at = time.monotonic()
        for record in records:
            self._next[record.topic, record.partition] = record.position + 1

    def _handle(self, arrivals: list[Arrival]) -> bool:
        try:
            self._apply(arrivals)
        except Exception as error:  # noqa: BLE001 - delivery's boundary: each is tried again by itself
            if len(arrivals) == 1:
                self._defer(arrivals[0], error)
                return True
            if self._is_passing(error):
                for arrival in arrivals:
                    self._defer(arrival, error)
                return True
            return False
        return True

    def _handle_alone(self, arrival: Arrival) -> None:
        if arrival.aggregate in self._waiting:
            self._waiting[arrival.aggregate].queue.append(arrival)
        else:
            self._handle([arrival])

    def _apply(self, arrivals: Sequence[Arrival]) -> None:
        """All of these in one transaction; raises whatever a handler raises, with nothing done."""
        handled: Counter[str] = Counter()
        repeated = parked = 0
        with self._transaction() as work:
            stopped = inbox.any_stopped(work.driver)
            at = _microseconds(work.now)
            for arrival in arrivals:
                if stopped and inbox.is_stopped(work.driver, self._name, *arrival.aggregate):
                    self._park(work, arrival, None)
                    parked += 1
                elif arrival.envelope is None:
                    raise arrival.error or BadEvent("not an event")
                elif inbox.enter(work.driver, self._name, arrival.envelope.id, at):
                    work.handle(arrival.envelope)
                    handled[arrival.envelope.type] += 1
                else:
                    repeated += 1
        self.progress.handled += handled
        self.progress.repeated += repeated
        self.progress.parked += parked

    def _defer(self, arrival: Arrival, error: Exception) -> None:
        waiting = self._waiting.setdefault(arrival.aggregate, Waiting([]))
        if not waiting.queue or waiting.queue[0] is not arrival:
            waiting.queue.append(arrival)
        if waiting.queue[0] is not arrival:
            return
        waiting.error = f"{type(error).__name__}: {error}"
        waiting.attempts += 1
        passing = self._is_passing(error) or isinstance(error, LogUnavailable | MeshError)
        waiting.failures += not passing
        if not passing and (waiting.failures >= ATTEMPTS or isinstance(error, BadEvent)):
            self._stop_aggregate(arrival.aggregate, waiting)
            return
        delay = min(5.0, 0.02 * 4 ** min(waiting.attempts - 1, 5)) * random.uniform(0.5, 1.0)
        waiting.due = time.monotonic() + delay
        log.warning("%s of %s waits %.2f s: %s", arrival.event_id, arrival.record.topic, delay, waiting.error)

    def _stop_aggregate(self, aggregate: Aggregate, waiting: Waiting) -> None:
        """Keep the event that fails for good, and those behind it; until that is committed they wait in memory."""
        first, *behind = waiting.queue
        try:
            with self._transaction() as work:
                record = self._park(work, first, waiting.error, waiting.attempts)
                correlation = first.envelope.correlationid if first.envelope is not None else None
                dead_letters.tell(work, self._name, record, correlation)
                for arrival in behind:
                    self._park(work, arrival, None)
        except Exception as error:  # noqa: BLE001 - delivery's boundary: the store fails too; it waits
            log.error("cannot keep a failing event: %s", error)
            waiting.due = time.monotonic() + 1.0
            return
        del self._waiting[aggregate]
        self.progress.parked += len(behind)
        log.error("aggregate %s of %s stops at %s: %s", aggregate[1], aggregate[0], first.event_id, waiting.error)

    def _park(self, work: Work, arrival: Arrival, error: str | None, attempts: int = 0) -> inbox.Parked:
        topic, key = arrival.aggregate
        record = arrival.record
        parked = inbox.Parked(topic=topic, aggregate=key, event_id=arrival.event_id, error=error,
                              partition=record.partition, position=record.position, value=record.value,
                              at=_microseconds(work.now), headers=record.headers, attempts=attempts)  # fmt: skip
        inbox.park(work.driver, self._name, parked)
        return parked

    def _retry(self) -> None:
        now = time.monotonic()
        for aggregate, waiting in list(self._waiting.items()):
            if waiting.due > now:
                continue
            while waiting.queue and self._retry_first(waiting):
                waiting.queue.pop(0)
            if not waiting.queue:
                self._waiting.pop(aggregate, None)

    def _retry_first(self, waiting: Waiting) -> bool:
        first = waiting.queue[0]
        try:
            self._apply([first])
        except Exception as error:  # noqa: BLE001 - delivery's boundary: it waits on, or stops its aggregate
            self._defer(first, error)
            return False
        waiting.attempts = waiting.failures = 0
        return True

    def _drop_revoked(self, consumer: Consumer) -> None:
        """What waited in partitions that another member reads now is that member's."""
        mine = consumer.assignment()
        for aggregate, waiting in list(self._waiting.items()):
            if waiting.queue[0].partition not in mine:
                del self._waiting[aggregate]
        for partition in [known for known in self._next if known not in mine]:
            del self._next[partition]

    def _safe_positions(self) -> dict[TopicPartition, int]:
        safe = dict(self._next)
        for waiting in self._waiting.values():
            first = waiting.queue[0]
            if first.partition in safe:
                safe[first.partition] = min(safe[first.partition], first.record.position)
        return safe

    def _uncommitted(self) -> bool:
        return bool(self._next) and self._safe_positions() != self._committed

    def _commit(self, consumer: Consumer) -> None:
        positions = self._safe_positions()
        changed = {where: position for where, position in positions.items() if self._committed.get(where) != position}
        if not changed:
            self._committed = positions  # partitions may have gone; else they would count as uncommitted for ever
            return
        self._committed_at = time.monotonic()
        try:
            consumer.commit(changed)
        except Fenced:
            self._drop_revoked(consumer)
            for where in changed:  # one that went and came back is read from where the other member left it
                self._next.pop(where, None)
            return
        except EventLogError as error:
            log.warning("positions stay uncommitted for now: %s", error)
            return
        self._committed = positions


def failure_of(work: Callable[[], object]) -> Exception | None:
    """Run work at delivery's boundary: what it raised, or None. Whoever calls goes on after any failure."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the boundary itself
        return error
    return None


def types_of(subscriptions: Mapping[type[Event], object]) -> tuple[list[str], list[str]]:
    """(topics, CloudEvents types) of a card's subscriptions."""
    topics = sorted({contract.topic.name for contract in subscriptions})
    return topics, [contract.type for contract in subscriptions]


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
