"""The same answers without any rollup: a question's SQL over the raw events, the marts as parts of the statement."""

import re
from functools import cache
from pathlib import Path

from analytics.marts import MARTS, STAGING
from analytics.questions import find
from analytics.statements import statement

_FOLDER = Path(__file__).with_name("raw")
_EVERYTHING = {
    "fresh_rows": "select * from every_event",
    "fresh_events": "select * from every_event where not repeat",
    "fresh_rejected": "select * from rejected_records",
}
_KEPT_APART = frozenset({"delay_buckets"})  # when an event was committed is not among the raw events


@cache
def from_raw(name: str) -> str | None:
    """The question's statement that reads no mart; None where the raw events cannot tell.

    A question whose SQL stands on a mart that is kept by differences has its own words in `raw/`.
    """
    own = _FOLDER / f"{name}.sql"
    sql = own.read_text(encoding="utf-8").strip() if own.exists() else find(name).sql
    if any(re.search(rf"\b{mart}\b", sql) for mart in _KEPT_APART):
        return None
    named = _named()
    needed = _needed(sql, named)
    parts = ",\n".join(f"{part} as (\n{text}\n)" for part, text in named.items() if part in needed)
    return f"with\n{parts}\nselect * from (\n{sql}\n)" if parts else sql


def _named() -> dict[str, str]:
    staging = {name: statement(f"staging/{name}") for name in STAGING}
    marts = {mart: statement(f"marts/{mart}") for mart in MARTS}
    nothing_kept = {f"kept_{mart}": f"select * from main.kept_{mart} limit 0" for mart in MARTS}  # noqa: S608
    return {**_EVERYTHING, **nothing_kept, **staging, **marts}


def _needed(sql: str, named: dict[str, str]) -> set[str]:
    found: set[str] = set()
    left = [sql]
    while left:
        words = set(re.findall(r"\b[a-z_]+\b", left.pop()))
        fresh = {part for part in named if part in words} - found
        found |= fresh
        left += [named[part] for part in fresh]
    return found
