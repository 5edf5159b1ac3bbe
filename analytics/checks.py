"""The checks of the books, a file of sql/checks each: what one says, what it is bound to, what it found in words."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from analytics.statements import grain, names, statement

EVER = datetime.min, datetime.max  # noqa: DTZ901 (the warehouse keeps UTC without a zone)
_LONGEST = 240


@dataclass(frozen=True)
class Check:
    """A statement that returns nothing while the books are right; `says` is what a row of it would be."""

    name: str
    says: str
    sql: str

    @property
    def spans(self) -> bool:
        """Whether it can be held to a span of the events' own times; else it is always of everything."""
        return "$since" in self.sql and "$until" in self.sql

    def bound(self, now: datetime, since: datetime = EVER[0], until: datetime = EVER[1]) -> dict[str, object]:
        """The values of its parameters: the events with since <= time < until (naive UTC), everything by default."""
        given = {"now": now.astimezone(UTC).replace(tzinfo=None), "since": since, "until": until}
        return {name: value for name, value in given.items() if f"${name}" in self.sql}


@cache
def all_checks() -> tuple[Check, ...]:
    """Every check, by name."""
    return tuple(Check(name, grain(f"checks/{name}"), statement(f"checks/{name}")) for name in names("checks"))


def in_words(columns: Sequence[str], row: Sequence[object]) -> str:
    """One row of a check as words, at most 240 characters and none of them for a terminal's control."""
    said = ", ".join(f"{name.replace('_', ' ')} {_word(value)}" for name, value in zip(columns, row, strict=True))
    plain = "".join(" " if unicodedata.category(one).startswith("C") else one for one in said)
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def _word(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return "none" if value is None else str(value)
