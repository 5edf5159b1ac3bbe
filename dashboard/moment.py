"""The moment that the page shows: now, or an earlier minute that its address asks for with `at`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from analytics.moments import Refused, read, spelled, told
from dashboard.reads import Row


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
        return {} if self.at is None else {"at": spelled(self.at)}

    def before(self, now: datetime, **ago: float) -> str:
        """The whole minute so long before it, as a question's `since`."""
        return spelled((self.at or now) - timedelta(**ago))

    def every(self, seconds: int) -> int | None:
        """How often a panel is read again: what was before an earlier moment is read once."""
        return None if self.back else seconds

    def file_name(self, name: str) -> str:
        """The name of a file with figures of it: an earlier moment is in the name."""
        return name if self.at is None else f"{name}-as-of-{self.at:%Y-%m-%dT%H%MZ}"

    def in_words(self) -> str:
        """`Sat 28 Nov 2026, 01:20 GMT`, in the business time zone."""
        return "now" if self.at is None else told(self.at, self.zone)


def chosen(text: str | None, ranges: Sequence[Row], now: datetime, zone: tzinfo) -> Moment | Refused:
    """The moment that an address asks for, as `analytics.moments.read` reads it; now without one.

    A blank before an ISO time's offset was a plus sign, which addresses write otherwise. What is refused is not yet
    escaped.
    """
    if not text:
        return Moment(None, zone)
    head, plus, offset = text.rpartition(" ")
    at = read(f"{head}+{offset}" if plus and "T" in head else text, ranges, now, zone)
    return at if isinstance(at, Refused) else Moment(at, zone)
