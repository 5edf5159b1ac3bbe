"""The relay: sends committed outbox rows to the log, in order within each aggregate, and marks them afterwards.

Every replica relays the aggregates of its own commits at once (a commit wakes it in the process, so no hop to
another process stands between a commit and the log). What a replica left behind when it died is swept by the one
that holds the lease. Both take *all* unpublished rows of an aggregate, lowest sequence first, so the first
occurrence of a version in the log always follows the first occurrence of the one before, whoever sends it; two
relays on one aggregate, or a stalled one that goes on, can only send duplicates, which every inbox removes.
Marks are written lazily, after the log's acknowledgement: a crash before them also sends duplicates only.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import groupby

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from shop_stack.errors import EventLogError, LogUnavailable
from shop_stack.eventlog import outbox
from shop_stack.eventlog.database import TABLES, Database, Driver
from shop_stack.eventlog.delivery import failure_of
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.eventlog.outbox import Unpublished
from shop_stack.events import TOPICS

LEASE = Table(
    "relay_lease",
    TABLES,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("until", BigInteger, nullable=False),
)
MARK_EVERY_S = 0.25
SWEEP_EVERY_S = 1.0
LEASE_S = 5.0
FLUSH_S = 3.0
_BLOCKED_S = 10.0
_FORGET_EVERY_S = 3600.0
_SECOND = 1_000_000
log = logging.getLogger(__name__)


class Relay:
    """The relay of one service in one process. `notify` and `send` may be called from any thread; the rest is its own.

    `holder` names this replica in the lease; `clock` gives the time of marks and ages.
    """

    def __init__(
        self,
        database: Database,
        event_log: EventLog,
        holder: str,
        clock: Callable[[], datetime],
        topics: Iterable[str] = TOPICS,
    ) -> None:
        """`topics` are those that the service publishes to: only their retention is looked after."""
        self._database = database
        self._retained = [TOPICS[name] for name in topics if TOPICS[name].retention_days is not None]
        self._log = event_log
        self._holder = holder
        self._clock = clock
        self._wanted: deque[str] = deque()
        self._due = threading.Event()
        self._sending = threading.Lock()
        self._stopping = False
        self._acked: dict[int, None] = {}
        self._acked_at = 0.0
        self._swept_at = 0.0
        self._forgotten_at = time.monotonic()
        self._failures = 0
        self._resume_at = 0.0
        self._unfinished: list[str] = []
        self._blocked: dict[str, tuple[float, str]] = {}
        self._marked: dict[int, None] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin relaying, the rows left behind by a dead process first."""
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def notify(self, aggregates: Iterable[str]) -> None:
        """These aggregates have new rows that are committed."""
        self._wanted.extend(aggregates)
        self._due.set()

    def send(self, aggregates: Iterable[str]) -> None:
        """Send the new rows of these aggregates on the calling thread, which has just committed them.

        While another thread sends, or rests after a failure, they are left to the relay's own.
        """
        self._wanted.extend(aggregates)
        if self._sending.acquire(blocking=False):
            try:
                self._forget_marked()
                if time.monotonic() >= self._resume_at:
                    self._safely(self._relay_wanted)
            finally:
                self._sending.release()
        if self._wanted or self._unfinished:
            self._due.set()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what is committed, mark what was acknowledged, end the thread."""
        self._stopping = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def blocked(self) -> dict[str, str]:
        """Aggregates whose next event the log refuses, with its reason; all others flow."""
        return {aggregate: reason for aggregate, (_, reason) in dict(self._blocked).items()}

    def age_s(self) -> float:
        """Seconds since the oldest event was committed that the log has not acknowledged; 0 when there is none."""
        now = _microseconds(self._clock())
        with self._database.read() as session:
            oldest = outbox.oldest_unpublished(session.driver)
        for created, ordinal in oldest:
            if ordinal not in self._acked:
                return max(0.0, (now - created) / _SECOND)
        return 0.0

    def turn(self) -> None:
        """One round: relay what was committed, sweep and mark when that is due."""
        now = time.monotonic()
        self._forget_marked()
        if now >= self._resume_at:
            self._relay_wanted()
            if now - self._swept_at >= SWEEP_EVERY_S:
                self._swept_at = now
                self._sweep()
        if self._acked and time.monotonic() - self._acked_at >= MARK_EVERY_S:
            self.mark_acknowledged()

    def round(self) -> None:
        """One turn; whatever fails in it makes the relay rest a while, never end."""
        with self._sending:
            self._safely(self.turn)

    def mark_acknowledged(self) -> None:
        """Mark the rows that the log has acknowledged, in one transaction."""
        ordinals = list(self._acked)
        if ordinals:
            with self._database.write() as session:
                outbox.mark(session.driver, ordinals, _microseconds(self._clock()))
            self._forget(ordinals)

    def marking(self, driver: Driver) -> list[int]:
        """Mark acknowledged rows in a transaction that commits anyway: a commit costs more than all else in it.

        Callable from any thread; what it returns goes to `marked` after the commit.
        """
        ordinals = [ordinal for ordinal in self._acked.copy() if ordinal not in self._marked]
        if ordinals:
            outbox.mark(driver, ordinals, _microseconds(self._clock()))
        return ordinals

    def marked(self, ordinals: list[int]) -> None:
        """These marks are committed. The relay forgets the rows at its next turn, which reads after that commit."""
        self._marked.update(dict.fromkeys(ordinals))

    def _forget(self, ordinals: Iterable[int]) -> None:
        for ordinal in ordinals:
            self._acked.pop(ordinal, None)

    def _forget_marked(self) -> None:
        marked = list(self._marked.copy())
        self._forget(marked)
        for ordinal in marked:
            del self._marked[ordinal]

    def _run(self) -> None:
        while not self._stopping:
            self._due.wait(self.patience_s())
            self._due.clear()
            self.round()
        with self._sending:
            self._flush()

    def _flush(self) -> None:
        """Send what is left, for a few seconds at most; the next relay sweeps what a dead log did not take."""
        until = time.monotonic() + FLUSH_S
        while True:
            self._resume_at = 0.0
            self._safely(self.turn)
            if not (self._wanted or self._unfinished) or self._resume_at > until:
                break
            time.sleep(max(0.0, self._resume_at - time.monotonic()))
        self._safely(self.mark_acknowledged)

    def _safely(self, work: Callable[[], None]) -> None:
        """The relay outlives whatever fails in a round, and rests a while."""
        error = failure_of(work)
        if error is None:
            return
        self._failures += 1
        delay = min(5.0, 0.05 * 2 ** min(self._failures, 8)) * random.uniform(0.5, 1.0)
        self._resume_at = time.monotonic() + delay
        log.warning("the outbox is held up for %.2f s: %s: %s", delay, type(error).__name__, error)

    def patience_s(self) -> float:
        """How long the relay may rest: until something is to be sent or marked, else SWEEP_EVERY_S."""
        now = time.monotonic()
        if now < self._resume_at:
            return self._resume_at - now
        if self._wanted or self._unfinished:
            return 0.0
        if self._acked:
            return max(0.0, self._acked_at + MARK_EVERY_S - now)
        return SWEEP_EVERY_S

    def _relay_wanted(self) -> None:
        taken = dict.fromkeys(self._unfinished)
        while self._wanted:
            taken[self._wanted.popleft()] = None
        if not taken:
            return
        self._unfinished = list(taken)
        self._relay(self._unfinished)
        self._unfinished = []
        self._failures = 0

    def _relay(self, aggregates: list[str]) -> list[int]:
        with self._database.read() as session:
            rows = outbox.unpublished(session.driver, aggregates)
        sent: list[int] = []
        fresh = [row for row in rows if row.ordinal not in self._acked and not self._is_blocked(row.aggregateid)]
        fresh.sort(key=lambda row: row.topic)
        for topic, group in groupby(fresh, key=lambda row: row.topic):
            sent += self._append(topic, list(group))
        return sent

    def _append(self, topic: str, rows: list[Unpublished]) -> list[int]:
        try:
            self._log.append(topic, [_record(row) for row in rows])
        except LogUnavailable:
            raise
        except EventLogError as error:
            return self._append_apart(topic, rows, error)
        return self._acknowledge(rows)

    def _append_apart(self, topic: str, rows: list[Unpublished], error: EventLogError) -> list[int]:
        """The log refuses something of these rows: find the aggregate, block it, send the others."""
        aggregates = {row.aggregateid for row in rows}
        if len(rows) == 1:
            self._block(rows[0].aggregateid, f"{type(error).__name__}: {error}")
            return []
        if len(aggregates) > 1:
            parts = [[row for row in rows if row.aggregateid == aggregate] for aggregate in aggregates]
            return [ordinal for part in parts for ordinal in self._append(topic, part)]
        sent: list[int] = []
        for row in rows:
            one = self._append(topic, [row])
            if not one:
                break
            sent += one
        return sent

    def _acknowledge(self, rows: list[Unpublished]) -> list[int]:
        ordinals = [row.ordinal for row in rows]
        if not self._acked:
            self._acked_at = time.monotonic()
        self._acked.update(dict.fromkeys(ordinals))
        for row in rows:
            self._blocked.pop(row.aggregateid, None)
        return ordinals

    def _block(self, aggregate: str, reason: str) -> None:
        if aggregate not in self._blocked:
            log.error("the log refuses an event; its aggregate waits, all others flow: %s", reason)
        self._blocked[aggregate] = (time.monotonic() + _BLOCKED_S, reason)

    def _is_blocked(self, aggregate: str) -> bool:
        return aggregate in self._blocked and self._blocked[aggregate][0] > time.monotonic()

    def _sweep(self) -> None:
        """Send what others left behind, if the lease can be had; and every hour forget what the log has forgotten."""
        now = _microseconds(self._clock())
        with self._database.read() as session:
            left = outbox.waiting(session.driver, now - int(SWEEP_EVERY_S * _SECOND))
        left = [aggregate for aggregate in left if not self._is_blocked(aggregate)]
        if left and (generation := self.take_lease(now)) is not None:
            self.mark_fenced(self._relay(left), generation)
        if time.monotonic() - self._forgotten_at >= _FORGET_EVERY_S and self.take_lease(now) is not None:
            self._forgotten_at = time.monotonic()
            self._forget_old(now)

    def take_lease(self, now: int) -> int | None:
        """The lease's generation when this replica holds it from now on (`now` in microseconds), else None."""
        until = now + int(LEASE_S * _SECOND)
        with self._database.write() as session:
            driver = session.driver
            first = "INSERT INTO relay_lease VALUES ('outbox', ?, 0, 0) ON CONFLICT DO NOTHING"
            driver.execute(first, (self._holder,))
            won = driver.execute(
                "UPDATE relay_lease SET generation = generation + CASE WHEN holder = ?1 THEN 0 ELSE 1 END, "
                "holder = ?1, until = ?2 WHERE name = 'outbox' AND (holder = ?1 OR until < ?3)",
                (self._holder, until, now),
            ).rowcount
            row = driver.execute("SELECT generation FROM relay_lease WHERE name = 'outbox'").fetchone()
        return int(row[0]) if won else None

    def mark_fenced(self, ordinals: list[int], generation: int) -> bool:
        """Mark swept rows unless the lease has moved on meanwhile; then its holder sends and marks them again."""
        with self._database.write() as session:
            lease = "SELECT generation, holder FROM relay_lease WHERE name='outbox' /*pg FOR UPDATE */"
            row = session.driver.execute(lease).fetchone()
            held: bool = row == (generation, self._holder)
            if held:
                outbox.mark(session.driver, ordinals, _microseconds(self._clock()))
        self._forget(ordinals)
        return held

    def _forget_old(self, now: int) -> None:
        for topic in self._retained:
            assert topic.retention_days is not None
            before = now - int(topic.retention_days * 86_400 * _SECOND)
            while True:
                with self._database.write() as session:
                    if outbox.forget(session.driver, [topic.name], before) == 0:
                        break


def _record(row: Unpublished) -> Record:
    return Record(row.key, row.payload, {"traceparent": row.traceparent} if row.traceparent else {}, row.type)


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * _SECOND)
