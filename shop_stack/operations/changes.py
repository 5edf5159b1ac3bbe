"""What changed shortly before something went wrong: operators' actions, prices, dead letters."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shop_stack.envelope import Envelope, decode
from shop_stack.errors import BadEvent, EventLogError
from shop_stack.eventlog.interface import EventLog
from shop_stack.events import CATALOG, DEAD_LETTERS, Event, PriceChanged, RecordParked
from shop_stack.operations.model import ActionView

LOOK_BACK = timedelta(minutes=15)
_NAMED = 3
_NEWEST = 200  # records of a partition


class Changes(NamedTuple):
    """What was found; `events` is None when the log did not answer."""

    actions: Sequence[ActionView]
    events: Sequence[Envelope[Event]] | None


def read_events(log: EventLog, since: datetime) -> list[Envelope[Event]]:
    """Changed prices and dead letters since then, of the newest 200 records of each partition. Raises EventLogError."""
    found: list[Envelope[Event]] = []
    for topic in (CATALOG.name, DEAD_LETTERS.name):
        for number, (start, end) in enumerate(zip(log.starts(topic), log.ends(topic), strict=True)):
            first = max(start, end - _NEWEST)
            for record in log.read(topic, number, first, _NEWEST) if first < end else []:
                if record.appended_ms >= since.timestamp() * 1000:
                    found += _changed(record.value)
    return sorted(found, key=lambda envelope: envelope.time)


def events_or_none(log: EventLog, since: datetime) -> list[Envelope[Event]] | None:
    """Like `read_events`; None when the log does not answer."""
    try:
        return read_events(log, since)
    except EventLogError:
        return None


def in_words(changes: Changes, zone: ZoneInfo) -> str:
    """One sentence, the newest three actions by name; says so when nothing changed, and when that is not known."""
    named = [_action(action, zone) for action in changes.actions[-_NAMED:]]
    more = len(changes.actions) - len(named)
    if more > 0:
        named.insert(0, f"{more} actions more")
    if changes.events is None:
        named.append("prices and dead letters are not known: the log does not answer")
    else:
        named += [*_prices(changes.events, zone), *_letters(changes.events, zone)]
    minutes = int(LOOK_BACK.total_seconds() // 60)
    if not named:
        return f"nothing that is recorded changed in the {minutes} minutes before"
    return f"in the {minutes} minutes before: {'; '.join(named)}"


def _changed(value: bytes) -> list[Envelope[Event]]:
    try:
        envelope = decode(value)
    except BadEvent:
        return []
    return [envelope] if isinstance(envelope.data, PriceChanged | RecordParked) else []


def _action(action: ActionView, zone: ZoneInfo) -> str:
    did = f"scaled {action.previous} -> {action.replicas}" if action.kind == "scale" else f"{action.kind} asked for"
    failed = ", which failed" if action.state == "failed" else ""
    return f"{_clock(action.requested_at, zone)} {action.service} {did} by {action.actor}{failed}"


def _prices(events: Sequence[Envelope[Event]], zone: ZoneInfo) -> list[str]:
    found = [envelope for envelope in events if isinstance(envelope.data, PriceChanged)]
    if not found:
        return []
    return [f"{_many(len(found), 'price')} changed, the last at {_clock(found[-1].time, zone)}"]


def _letters(events: Sequence[Envelope[Event]], zone: ZoneInfo) -> list[str]:
    by_service: dict[str, list[datetime]] = {}
    for envelope in events:
        if isinstance(envelope.data, RecordParked):
            by_service.setdefault(envelope.data.consumer, []).append(envelope.time)
    return [
        f"{_many(len(times), 'dead letter')} of {service} from {_clock(min(times), zone)} on"
        for service, times in sorted(by_service.items())
    ]


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%H:%M:%S")
