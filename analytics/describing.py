"""Writes docs/questions.md, the page on all questions, from the questions: `python -m analytics.describing`."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from analytics.binding import bind
from analytics.questions import QUESTIONS, Question
from analytics.warehouse import Warehouse

PAGE = Path("docs/questions.md")
_INTRODUCTION = """# Questions

What analytics answers at `GET /analytics/v1/questions/NAME`, with an operators' token. This page is written from the
questions themselves: `python -m analytics.describing`.

**Forms.** JSON, or an Arrow stream for `Accept: application/vnd.apache.arrow.stream`. Each answer says how far it
reaches (`watermark`: the latest live event's time, and the next position to read of each partition), which SQL is
behind it (`sql`), and with which values that was run (`parameters`). Times are UTC; `minor` is the minor unit of the
stack's currency.

**Pages.** `limit` is the most rows of a page (10,000; at most 50,000); where a question has a `limit` of its own, that
one is meant. `all_rows` is how many rows the answer has, `first_row` which of them the page begins with. `next` is null
after the last row, else what to ask the rows that follow with, as `cursor` beside the same parameters. All pages are of
one answer, of one state of the warehouse. It is kept for two minutes after it was last asked for, while there is room:
then a cursor is answered 410, and the question is to be asked anew. An answer of more than 32 MiB is refused: ask for
shorter spans.

**The same answer.** It is made once for the same question, values and state of the warehouse, however many ask. Its
`ETag` stands for those: `If-None-Match` is answered 304 while nothing has changed. Nothing is rounded for that: where a
span ends by itself, it ends with the current minute, and says so in `parameters`.

**An earlier time.** With `at`, a whole minute in the past, the answer is of the events with a time before it, whatever
came later: an order that ended later is open, one that was rejected later still counts, and the span ends there. Events
that were read late or imported since count by their own time, not by when they were read. What is known of now alone
refuses `at`, and says so in its note.
"""


def page(warehouse: Warehouse) -> str:
    """The whole page; the warehouse, which may be empty, tells the columns."""
    return "\n".join([_INTRODUCTION, *(line for one in QUESTIONS.values() for line in _described(one, warehouse))])


def columns_of(question: Question, warehouse: Warehouse) -> list[tuple[str, str]]:
    """The names and DuckDB types of an answer's columns."""
    given = {parameter.name: "x" for parameter in question.parameters if parameter.required}
    values = bind(question, given, datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))
    return warehouse.ask(question.sql, values).columns


def _described(question: Question, warehouse: Warehouse) -> Iterator[str]:
    yield f"## {question.name}\n"
    yield f"{question.grain[0].upper()}{question.grain[1:]}.\n"
    if question.told:
        yield f"{question.told}\n"
    if question.takes:
        yield "| parameter | kind | without it |\n|---|---|---|"
        for one in question.takes:
            yield f"| `{one.name}` | {one.kind} | {'needed' if one.required else one.says} |"
        yield ""
    yield "| column | type | unit |\n|---|---|---|"
    for name, kind in columns_of(question, warehouse):
        yield f"| `{name}` | {kind.lower()} | {question.units.get(name, '')} |"
    yield ""


def main() -> int:
    """Write the page to the path given, docs/questions.md by default."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(Warehouse(Path(folder) / "warehouse.duckdb")) as warehouse:
            path.write_text(page(warehouse), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
