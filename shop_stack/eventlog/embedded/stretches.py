"""Reading much of one partition at once: its records' values as one text, put together inside SQLite."""

from typing import NamedTuple

from shop_stack.eventlog.embedded.database import SharedDatabase

_AT_ONCE = 128  # records of one query: even the largest ones fit in memory together
_LINES = """
SELECT count(*), min(id), max(id), CAST(group_concat(value, char(10)) AS BLOB)
FROM (SELECT id, value FROM records WHERE id >= ? AND id < ? ORDER BY id)
"""


class Lines(NamedTuple):
    """The values of so many `records`, a newline between each two."""

    records: int
    text: bytes


def read_lines(database: SharedDatabase, first: int, most: int, enough: int) -> Lines:
    """The records with the ids from `first` on without a gap, at most `most`, until they make up `enough` bytes.

    Raises LogUnavailable.
    """
    parts: list[bytes] = []
    count = size = 0
    while count < most and size < enough:
        low, asked = first + count, min(_AT_ONCE, most - count)
        found, lowest, highest, text = database.read(_LINES, (low, low + asked))[0]
        if not found or lowest != low or highest != low + found - 1:
            break
        parts.append(text)
        count += found
        size += len(text)
        if found < asked:
            break
    return Lines(count, b"\n".join(parts))
