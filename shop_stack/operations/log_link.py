"""The thread between operations and the event log: it publishes, measures lag, and knows whether the log answers."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from shop_stack.envelope import Envelope, encode
from shop_stack.errors import LogUnavailable, ShopfloorError
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.events import SAMPLES, Event
from shop_stack.operations.backlogs import Backlogs, up_to_date
from shop_stack.operations.model import GroupLag
from shop_stack.operations.store import Store

KEPT_SAMPLES = 600
_LAG_EVERY_S, _LAG_AT_MOST_S, _LAG_SHARE = 3.0, 10.0, 200  # a slower log is asked less often
_LAG_HURRY_S, _LAG_HURRY_SHARE = 0.9, 50  # with every sample, while any group has something to read
_SILENT_S = 5.0
_RETENTION_FIRST_S, _RETENTION_EVERY_S = 60.0, 3600.0
_LONGEST_PAUSE_S = 10.0
_REOPEN_AFTER = 3
SAMPLE_KEY = "stack"


@runtime_checkable
class KeepsItself(Protocol):
    """A log that removes old records only when told to (the embedded one; a broker does it by itself)."""

    def enforce_retention(self, now: datetime) -> int:
        """Remove records older than their topic keeps them; how many."""


class Follower(Protocol):
    """What reads on wherever operations looks at the log."""

    def follow(self, log: EventLog) -> None:
        """Read what is new. Raises LogUnavailable."""


class LogLink:
    """Owns operations' handle of the log, opened when it answers and opened anew after it failed.

    Samples wait in memory, the newest 600 (ten minutes); when the log was away longer the oldest are dropped and
    `dropped` counts them. Actions and incidents wait in the store's outbox, all of them.
    """

    def __init__(self, opener: Callable[[], EventLog], store: Store, *followers: Follower) -> None:
        self._opener = opener
        self._store = store
        self._followers = followers
        self._log: EventLog | None = None
        self._samples: deque[bytes] = deque(maxlen=KEPT_SAMPLES)
        self._backlogs = Backlogs()
        self._lag_due = 0.0
        self._retention_due = time.monotonic() + _RETENTION_FIRST_S
        self._error: str | None = "it has not answered yet"
        self._busy_since: float | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-link", daemon=True)
        self._failures = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after what is there was published if the log answers."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)

    def wake(self) -> None:
        """Publish now: an event was written to the outbox."""
        self._wake.set()

    def offer(self, sample: Envelope[Event]) -> None:
        """Publish a sample when the log answers."""
        if len(self._samples) == KEPT_SAMPLES:
            self.dropped += 1
        self._samples.append(encode(sample))
        self._wake.set()

    def log(self) -> EventLog:
        """The log, for reading. Raises LogUnavailable while it does not answer."""
        log, why = self._log, self.down_because
        if log is None or why:
            raise LogUnavailable(f"the event log does not answer: {why or 'it is being opened'}")
        return log

    @property
    def down_because(self) -> str | None:
        """Why the log counts as down; None while it answers."""
        busy = self._busy_since
        if self._error is None and busy is not None and time.monotonic() - busy > _SILENT_S:
            return f"it has not answered for {time.monotonic() - busy:.0f} s"
        return self._error

    @property
    def waiting(self) -> int:
        """Samples that wait for the log."""
        return len(self._samples)

    def lag(self, group: str) -> int:
        """Records that this group has not consumed; the last known figure."""
        found = self._backlogs.group(group)
        return found.lag if found is not None else 0

    def behind(self, group: str) -> GroupLag | None:
        """How far the group was behind at the last look; None for a group that nobody has joined."""
        return self._backlogs.group(group)

    def seen_lags(self) -> list[GroupLag]:
        """How far each group was behind at the last look; asks nobody."""
        return self._backlogs.groups()

    def consumer_groups(self) -> list[GroupLag]:
        """Every group with its positions of right now. Raises LogUnavailable."""
        positions = self.log().backlogs()
        return [up_to_date(self.behind(group), group, partitions) for group, partitions in sorted(positions.items())]

    def _run(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            try:
                self._busy_since = time.monotonic()
                self.turn()
                pause = 1.0
            except (ShopfloorError, OSError) as error:
                self._give_up(str(error))
                pause = min(_LONGEST_PAUSE_S, pause * 2)
                self._stopping.wait(pause)
            finally:
                self._busy_since = None
            self._wake.wait(1.0)
            self._wake.clear()
        if self._log is not None:
            self._log.close()

    def turn(self) -> None:
        """Publish what waits, measure lag when it is due, read what is new. Raises LogUnavailable."""
        if self._log is None:
            self._log = self._opener()
        self._publish_outbox(self._log)
        self._publish_samples(self._log)
        self._look(self._log)
        self._retain(self._log)
        self._error, self._failures = None, 0

    def _look(self, log: EventLog) -> None:
        began = time.monotonic()
        if began < self._lag_due:
            return
        self._backlogs.look(log, time.time())
        for follower in self._followers:
            follower.follow(log)
        ended = time.monotonic()
        if self._backlogs.anything_unread:
            pause_s = min(_LAG_EVERY_S, max(_LAG_HURRY_S, _LAG_HURRY_SHARE * (ended - began)))
        else:
            pause_s = min(_LAG_AT_MOST_S, max(_LAG_EVERY_S, _LAG_SHARE * (ended - began)))
        self._lag_due = ended + pause_s

    def _retain(self, log: EventLog) -> None:
        if time.monotonic() < self._retention_due:
            return
        self._retention_due = time.monotonic() + _RETENTION_EVERY_S
        if isinstance(log, KeepsItself):
            log.enforce_retention(datetime.now(UTC))

    def _publish_outbox(self, log: EventLog) -> None:
        while rows := self._store.outgoing():
            for row in rows:
                log.append(row.topic, [Record(key=row.key, value=row.value)])
            self._store.mark_published([row.ordinal for row in rows], datetime.now(UTC))

    def _publish_samples(self, log: EventLog) -> None:
        waiting = list(self._samples)
        for begin in range(0, len(waiting), 100):
            some = waiting[begin : begin + 100]
            log.append(SAMPLES.name, [Record(key=SAMPLE_KEY, value=value) for value in some])
            sent = {id(value) for value in some}
            while self._samples and id(self._samples[0]) in sent:
                self._samples.popleft()

    def _give_up(self, why: str) -> None:
        self._error = why
        self._failures += 1
        if self._log is not None and self._failures >= _REOPEN_AFTER:
            log, self._log, self._failures = self._log, None, 0
            with contextlib.suppress(ShopfloorError, OSError):
                log.close()
