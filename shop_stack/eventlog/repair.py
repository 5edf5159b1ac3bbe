"""Repairing a log that lost its tail, or all of it, from the outboxes: before services start and while none runs.

What was published and is not in the log becomes unpublished again and is sent, in the order written. Where records
are gone whose positions somebody has read, markers take those positions first: no position is ever given out twice,
so a reader's stored position is good again, and what is sent again lies behind it. Inboxes and analytics know
the event ids and count what comes again as repeats. Done twice, or broken off and begun anew, it ends the same.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from shop_stack.envelope import Envelope, encode
from shop_stack.errors import EventLogError, LogUnavailable
from shop_stack.eventlog.interface import EventLog, Record, TopicPartition
from shop_stack.eventlog.loss import Gap, gaps, ids_of, is_kept
from shop_stack.eventlog.records import partition_of
from shop_stack.eventlog.sent_rows import SentRows, Unsent
from shop_stack.events import RecordLost
from shop_stack.ids import uuid7

SOURCE = "/eventlog"
_AT_ONCE = 500


@dataclass(frozen=True)
class Repaired:
    """What was done: events found missing by topic, events sent, and the gaps that markers fill."""

    missing: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    gaps: list[Gap] = field(default_factory=list)

    def words(self) -> list[str]:
        """Sentences for whoever starts the stack."""
        said = []
        lost = Counter[str]()
        for gap in self.gaps:
            lost[gap.topic] += gap.lost
        for topic in sorted(lost.keys() | self.missing.keys()):
            again = f"{self.missing[topic]} published events were missing from it and are sent again from the outboxes"
            gone = f"the log has lost {lost[topic] or 'some'} records of {topic}"
            keeps = again if self.missing[topic] else "no outbox keeps any event that is missing from it"
            said.append(f"{gone}: {keeps}")
        return said


def repair(
    log: EventLog, outboxes: Sequence[SentRows], claims: Mapping[TopicPartition, int], now: Callable[[], datetime]
) -> Repaired:
    """Compare every outbox with the log and send again what is missing.

    `claims` are the positions that readers keep for themselves (analytics). Nothing may append meanwhile. Raises
    LogUnavailable; what was not sent by then is sent by the next repair or by the services' relays.
    """
    missing = _take_back(log, outboxes, now())
    filled = gaps(log, claims)
    for gap in filled:
        _fill(log, gap, now())
    sent = sum(_send(log, outbox, now) for outbox in outboxes) if missing or filled else 0
    return Repaired(missing, sent, filled)


def _take_back(log: EventLog, outboxes: Sequence[SentRows], now: datetime) -> Counter[str]:
    missing = Counter[str]()
    topics = {outbox: outbox.topics() for outbox in outboxes}
    for topic in log.topics():
        keepers = [outbox for outbox in outboxes if topic in topics[outbox]]
        there = ids_of(log, topic) if keepers else set()
        for outbox in keepers:
            gone = [row.ordinal for row in outbox.all_of(topic) if row.id not in there and is_kept(row, now)]
            if gone:
                outbox.take_back(gone)
                missing[topic] += len(gone)
    return missing


def _fill(log: EventLog, gap: Gap, now: datetime) -> None:
    """Put a marker on each position of the gap."""
    key = _key_of(gap.partition, log.partitions(gap.topic))
    for begin in range(gap.end, gap.reach, _AT_ONCE):
        positions = range(begin, min(begin + _AT_ONCE, gap.reach))
        log.append(gap.topic, [_marker(gap, position, key, now) for position in positions])


def _marker(gap: Gap, position: int, key: str, now: datetime) -> Record:
    event = RecordLost(lost_topic=gap.topic, partition=gap.partition, position=position)
    envelope = Envelope(id=uuid7(now), source=SOURCE, subject=key, time=now, data=event)
    return Record(key, encode(envelope), {}, event.type)


def _key_of(partition: int, partitions: int) -> str:
    """A key whose records come to lie in this partition."""
    number = 0
    while partition_of(f"lost-{number}", partitions) != partition:
        number += 1
    return f"lost-{number}"


def _send(log: EventLog, outbox: SentRows, now: Callable[[], datetime]) -> int:
    """Send all that is not marked, in order, and mark it; how many. What the log refuses is left to the relay."""
    sent = after = 0
    while rows := outbox.unsent(after, _AT_ONCE):
        after = rows[-1].ordinal
        rows.sort(key=lambda row: row.topic)
        for topic, group in groupby(rows, key=lambda row: row.topic):
            accepted = list(group)
            if _append(log, topic, accepted):
                outbox.mark([row.ordinal for row in accepted], int(now().timestamp() * 1_000_000))
                sent += len(accepted)
    return sent


def _append(log: EventLog, topic: str, rows: Sequence[Unsent]) -> bool:
    try:
        log.append(topic, [_record(row) for row in rows])
    except LogUnavailable:
        raise
    except EventLogError:
        return False
    return True


def _record(row: Unsent) -> Record:
    return Record(row.key, row.value, {"traceparent": row.traceparent} if row.traceparent else {}, row.type)
