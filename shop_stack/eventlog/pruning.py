"""Pruning: idempotency keys and inbox rows leave the store once nothing can ask for them any more.

Deletes are small batches of their own, so that no request waits long behind one. Replicas may prune at the same
time: each takes what it finds, and none takes what is still needed.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from shop_stack.eventlog.database import Database
from shop_stack.events.topics import Topic
from shop_stack.ids import uuid7
from shop_stack.moments import micros

KEYS_KEPT = timedelta(hours=24)
INBOX_MARGIN = timedelta(days=1)
BATCH = 500
EVERY_S = 3600.0

_OLD_KEYS = "SELECT 1 FROM idempotency_keys INDEXED BY idempotency_keys_by_age WHERE at < ? LIMIT 1"
_DROP_KEYS = (
    "DELETE FROM idempotency_keys WHERE (subject, method, path, key) IN (SELECT subject, method, path, key "
    "FROM idempotency_keys INDEXED BY idempotency_keys_by_age WHERE at < ? ORDER BY at LIMIT ?)"
)
# An event is made before it is handled, and its id begins with when it was made: the key's order finds old rows.
_OLD_ROWS = "FROM inbox WHERE consumer = ?1 AND event_id < ?2 AND handled < ?3"
_ANY_OLD_ROW = f"SELECT 1 {_OLD_ROWS} LIMIT 1"
_DROP_ROWS = f"DELETE FROM inbox WHERE consumer = ?1 AND event_id IN (SELECT event_id {_OLD_ROWS} LIMIT ?4)"  # noqa: S608


class Pruning:
    """The pruning of one service's store; `run` is one turn of a timer.

    `consumer` follows `topics`; only when the log keeps none of them for ever do its inbox rows grow too old to be
    needed, since a record that the log still has may be delivered again.
    """

    def __init__(
        self, database: Database, consumer: str, topics: Iterable[Topic], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._consumer = consumer
        self._inbox_kept = inbox_kept(topics)
        self._clock = clock

    def run(self) -> bool:
        """Delete one batch of what is too old; whether there may be more. Takes no lock when there is nothing."""
        now = self._clock()
        more = self._prune_keys(now)
        return self._prune_inbox(now) or more

    def _prune_keys(self, now: datetime) -> bool:
        before = micros(now - KEYS_KEPT)
        with self._database.read() as session:
            if session.driver.execute(_OLD_KEYS, (before,)).fetchone() is None:
                return False
        with self._database.write() as session:
            return session.driver.execute(_DROP_KEYS, (before, BATCH)).rowcount == BATCH

    def _prune_inbox(self, now: datetime) -> bool:
        if self._inbox_kept is None:
            return False
        before = now - self._inbox_kept
        old = (self._consumer, _first_id_of(before), micros(before))
        with self._database.read() as session:
            if session.driver.execute(_ANY_OLD_ROW, old).fetchone() is None:
                return False
        with self._database.write() as session:
            return session.driver.execute(_DROP_ROWS, (*old, BATCH)).rowcount == BATCH


def inbox_kept(topics: Iterable[Topic]) -> timedelta | None:
    """How long a consumer of these topics keeps its inbox rows: the longest retention and a margin; None: for ever."""
    days = [topic.retention_days for topic in topics]
    bounded = [one for one in days if one is not None]
    if not days or len(bounded) < len(days):
        return None
    return timedelta(days=max(bounded)) + INBOX_MARGIN


def _first_id_of(moment: datetime) -> str:
    """The smallest id of an event that was made at this time."""
    return uuid7(moment, bytes(10))
