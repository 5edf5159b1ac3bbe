"""What the process that runs an operator's statement is asked, and what it answers: a line of JSON each."""

import msgspec

MOST_SQL = 10_000
MOST_ROWS = 10_000


class Limits(msgspec.Struct, frozen=True):
    """What one statement may take. Bytes of memory are beside what the process has before it reads the statement."""

    seconds: float = 10.0
    memory_bytes: int = 384 * 1024 * 1024
    copied_rows: int = 2_000_000
    copied_bytes: int = 128 * 1024 * 1024
    answer_bytes: int = 8 * 1024 * 1024


class Job(msgspec.Struct, frozen=True):
    """One statement. `started` is of the machine's steady clock, in seconds; `watermark` goes into the answer."""

    sql: str
    rows: int
    arrow: bool
    watermark: msgspec.Raw
    started: float
    limits: Limits


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """First which relations' columns are needed, then, after their copies, how long the answer is that follows.

    `error` instead of either is the sentence that says why there is none.
    """

    needs: dict[str, list[str]] = {}
    size: int = 0
    rows: int = 0
    error: str = ""
