"""An earlier moment as a person names it: read, bounded by what is known, and told in the business time zone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

_MINUTE = timedelta(minutes=1)
_LONGEST_QUOTED = 40
_AGO = re.compile(r"[-−]\s*(?:(\d{1,4})\s*d)?\s*(?:(\d{1,5})\s*h)?\s*(?:(\d{1,6})\s*m(?:in)?)?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class Refused:
    """What is asked for cannot be shown; `why` says so in words that may hold what was typed."""

    why: str


def read(text: str, ranges: Sequence[Mapping[str, Any]], now: datetime, zone: tzinfo) -> datetime | Refused:
    """The whole minute (UTC) that `text` names: `-2h`, `-1d 30m`, `09:30` or an ISO 8601 time.

    A time of day is the last such one, in `zone` as every time that names no zone. `ranges` are the rows of
    `data_range`: a minute before all of them is refused, as one to come.
    """
    try:
        at = _named(text.strip(), now, zone)
        at = at and at.astimezone(UTC).replace(second=0, microsecond=0)
    except (ValueError, OverflowError):
        at = None
    if at is None:
        quoted = text if len(text) <= _LONGEST_QUOTED else text[:_LONGEST_QUOTED] + "…"
        return Refused(f"“{quoted}” is not a time such as {spelled(now - timedelta(hours=1))}")
    if at > now:
        return Refused(f"{told(at, zone)} is yet to come")
    first = earliest(ranges)
    if first is not None and at < first:
        return Refused(f"nothing is known of {told(at, zone)}: the data begin {told(first, zone)}")
    return at


def _named(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    if (ago := _AGO.fullmatch(text)) and any(ago.groups()):
        days, hours, minutes = (int(part or 0) for part in ago.groups())
        return now - timedelta(days=days, hours=hours, minutes=minutes)
    if clock := _CLOCK.fullmatch(text):
        return _last_at(time(int(clock[1]), int(clock[2])), now, zone)
    asked = datetime.fromisoformat(text)
    return asked if asked.tzinfo else asked.replace(tzinfo=zone)


def _last_at(clock: time, now: datetime, zone: tzinfo) -> datetime:
    """The last time before `now` that clocks in the zone showed this; the first one where they showed it twice."""
    today = datetime.combine(now.astimezone(zone).date(), clock, zone)
    return today if today.astimezone(UTC) <= now else datetime.combine(today.date() - timedelta(days=1), clock, zone)


def earliest(ranges: Sequence[Mapping[str, Any]]) -> datetime | None:
    """The first minute as of which there is anything, from the rows of `data_range`; None for none."""
    firsts = [datetime.fromisoformat(str(row["first"])) for row in ranges if row["first"]]
    return min(firsts) + _MINUTE if firsts else None


def spelled(at: datetime) -> str:
    """A time as it stands in questions and addresses: `2026-11-28T01:20Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def told(at: datetime, zone: tzinfo) -> str:
    """`Sat 28 Nov 2026, 01:20 GMT`."""
    return f"{at.astimezone(zone):%a %d %b %Y, %H:%M %Z}"


def ago(at: datetime, now: datetime) -> str:
    """How long before now: `25 min`, `3 h`, `9 days`."""
    minutes = max(0.0, (now - at).total_seconds() / 60)
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days"
