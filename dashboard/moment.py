"""The moment that the page shows: now, or an earlier minute that its address asks for with `at`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dashboard.reads import Row

_MINUTE = timedelta(minutes=1)
_LONGEST_QUOTED = 40


@dataclass(frozen=True)
class Moment:
    """`at` is the whole minute (UTC) before which events count, None for now; `zone` is the business time zone."""

    at: datetime | None
    zone: tzinfo

    @property
    def back(self) -> bool:
        """Whether it is an earlier one."""
        return self.at is not None

    @property
    def asked(self) -> dict[str, Any]:
        """What a question that looks back is asked with."""
        return {} if self.at is None else {"at": in_address(self.at)}

    def before(self, now: datetime, **ago: float) -> str:
        """The whole minute so long before it, as a question's `since`."""
        return in_address((self.at or now) - timedelta(**ago))

    def every(self, seconds: int) -> int | None:
        """How often a panel is read again: what was before an earlier moment is read once."""
        return None if self.back else seconds

    def file_name(self, name: str) -> str:
        """The name of a file with figures of it: an earlier moment is in the name."""
        return name if self.at is None else f"{name}-as-of-{self.at:%Y-%m-%dT%H%MZ}"

    def in_words(self) -> str:
        """`Sat 28 Nov 2026, 01:20 GMT`, in the business time zone."""
        return "now" if self.at is None else f"{self.at.astimezone(self.zone):%a %d %b %Y, %H:%M %Z}"


@dataclass(frozen=True)
class Refused:
    """What the address asks for cannot be shown; `why` says so in words, not yet escaped."""

    why: str


def chosen(text: str | None, ranges: Sequence[Row], now: datetime, zone: tzinfo) -> Moment | Refused:
    """The moment that an address asks for: an ISO 8601 time, in the business time zone when it names none.

    Seconds are cut off. `ranges` are the rows of `data_range`: a minute before all of them is refused, as one to come.
    """
    if not text:
        return Moment(None, zone)
    quoted = text if len(text) <= _LONGEST_QUOTED else text[:_LONGEST_QUOTED] + "…"
    try:
        asked = datetime.fromisoformat(text.replace(" ", "+"))
        at = (asked if asked.tzinfo else asked.replace(tzinfo=zone)).astimezone(UTC).replace(second=0, microsecond=0)
    except (ValueError, OverflowError):
        return Refused(f"“{quoted}” is not a time such as {in_address(now - timedelta(hours=1))}")
    if at > now:
        return Refused(f"{Moment(at, zone).in_words()} is yet to come")
    first = earliest(ranges)
    if first is not None and at < first:
        return Refused(
            f"nothing is known of {Moment(at, zone).in_words()}: the data begin {Moment(first, zone).in_words()}"
        )
    return Moment(at, zone)


def earliest(ranges: Sequence[Row]) -> datetime | None:
    """The first minute as of which there is anything, from the rows of `data_range`; None for none."""
    firsts = [datetime.fromisoformat(str(row["first"])) for row in ranges if row["first"]]
    return min(firsts) + _MINUTE if firsts else None


def in_address(at: datetime) -> str:
    """A time as it stands in the address and in questions: `2026-11-28T01:20Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def ago(at: datetime, now: datetime) -> str:
    """How long before now: `25 min`, `3 h`, `9 days`."""
    minutes = max(0.0, (now - at).total_seconds() / 60)
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days"
