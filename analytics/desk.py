"""The desk: a question as it was asked is bound, made or found among the answers kept, and handed out page by page."""

import asyncio
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa

from analytics.answers import MOST_BYTES, Answers, ArrowRows, JsonRows, Kept
from analytics.binding import BadParameter, bind, read_time
from analytics.ingest import Watermark
from analytics.queries import Queries
from analytics.questions import Question, find
from analytics.warehouse import Warehouse
from shop_stack.errors import ShopfloorError

PAGE_ROWS = 10_000
MOST_PAGE_ROWS = 50_000
_THREADS = 4
_FETCHED = 4096
_CURSOR = re.compile(r"(?P<key>[0-9a-f]{32})\.(?P<first>[0-9]{1,9})\.(?P<given>[0-9a-f]{8})")
_AT_ONCE = 200  # so few rows are put together on the loop: a thread for them costs more


class AnswerGone(ShopfloorError):
    """The answer that a cursor goes on with is no longer kept."""


class ColumnView(msgspec.Struct, frozen=True, kw_only=True):
    """A column of an answer: its SQL type in small letters, and its unit or nothing."""

    name: str
    type: str
    unit: str


class WatermarkView(msgspec.Struct, frozen=True, kw_only=True):
    """How far the answer reaches: `positions` are the next to read; `halted` and `trouble` say why no further."""

    at: datetime | None
    positions: dict[str, dict[str, int]]
    halted: str | None
    trouble: str | None


class AnswerView(msgspec.Struct, frozen=True, kw_only=True):
    """What a question is answered with; `rows` by the names of the columns, from the answer's row `first_row` on.

    The whole answer has `all_rows` rows. `next` is None, or the `cursor` to ask for the rows that follow with: all
    pages are of one answer, of one state of the warehouse.
    """

    question: str
    parameters: dict[str, Any]
    columns: list[ColumnView]
    rows: list[dict[str, Any]]
    first_row: int
    all_rows: int
    next: str | None
    watermark: WatermarkView
    sql: str
    origin_note: str


@dataclass(frozen=True)
class Asked:
    """A page that is wanted: `rows` rows from `first` on of the answer that `key` names; `given` names what was asked.

    `later`: a cursor was given; `at`: as of then. `watermark` is how far the warehouse had read when it was asked.
    """

    question: Question
    values: dict[str, object]
    key: str
    given: str
    first: int
    rows: int
    arrow: bool
    later: bool
    at: datetime | None
    watermark: Watermark

    @property
    def etag(self) -> str:
        """Names the page's bytes: the same as long as the answer and what it says of itself is the same."""
        shown = msgspec.json.encode([self.watermark.halted, self.watermark.trouble, self.first, self.rows])
        return f'"{self.key}-{hashlib.sha256(shown).hexdigest()[:8]}"'


class Desk:
    """Answers questions on a few threads, each with its own connection to the warehouse."""

    def __init__(
        self,
        warehouse: Warehouse,
        watermark: Callable[[], Watermark],
        zone: ZoneInfo,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        timeout_s: float = 10.0,
    ) -> None:
        self._warehouse = warehouse
        self.watermark = watermark
        self._zone = zone
        self._now = now
        self._timeout_s = timeout_s
        self.answers = Answers()
        self._run = uuid.uuid4().hex  # another run may have another state at the same positions: rebuilt, restored
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="question")
        self.queries = Queries(warehouse, lambda: watermark_view(watermark()))

    def asked(self, name: str, given: Mapping[str, str], arrow: bool) -> Asked:
        """What is wanted, bound and named. Raises UnknownQuestion, BadParameter."""
        question = find(name)
        own = {key: value for key, value in given.items() if key != "cursor"}
        rows = PAGE_ROWS
        if "limit" not in {parameter.name for parameter in question.parameters}:
            rows = _page_rows(own.pop("limit", None))
        watermark, changes = self.watermark(), self._warehouse.changes
        values = bind(question, own, self._now(), self._zone)
        asked = _digest([name, sorted(own.items())])[:8]
        bound = sorted((key, str(value)) for key, value in values.items())
        key = _digest([self._run, name, arrow, bound, watermark.positions, changes])
        cursor, first = given.get("cursor"), 0
        if cursor is not None:
            key, first = _read_cursor(cursor, asked)
        at = read_time("at", own["at"]) if own.get("at") else None
        return Asked(question, values, key, asked, first, rows, arrow, cursor is not None, at, watermark)

    async def answer(self, asked: Asked) -> bytes:
        """The page's body. Raises AnswerGone, BadParameter, StatementTooSlow, WarehouseError."""
        kept = self.answers.find(asked.key)
        if kept is None:
            if asked.later:
                raise AnswerGone("the answer that this cursor goes on with is no longer kept; ask without a cursor")
            making = self.answers.make(asked.key, lambda: self._make(asked), self.threads)
            kept = await asyncio.shield(asyncio.wrap_future(making))
        if kept.pages.rows <= _AT_ONCE:
            return self._page(asked, kept)
        return await asyncio.get_running_loop().run_in_executor(self.threads, self._page, asked, kept)

    def _make(self, asked: Asked) -> Kept:
        question, values = asked.question, asked.values
        watermark = self.watermark()
        columns, pages = self._table(question, values) if asked.arrow else self._rows(question, values)
        return Kept(asked.key, question.name, columns, pages, watermark, values)

    def _rows(self, question: Question, values: dict[str, object]) -> tuple[list[tuple[str, str]], JsonRows]:
        found = JsonRows()
        with self._warehouse.asking(question.sql, values, self._timeout_s) as (columns, fetch):
            readers = [(name, _READERS.get(kind)) for name, kind in columns]
            while rows := fetch(_FETCHED):
                for row in rows:
                    found.add(_object(readers, row))
                if found.size > MOST_BYTES:
                    raise _too_large(question)
        return columns, found

    def _table(self, question: Question, values: dict[str, object]) -> tuple[list[tuple[str, str]], ArrowRows]:
        size, batches = 0, []
        with self._warehouse.snapshot(self._timeout_s) as read:
            reader = read(question.sql, values)
            for batch in reader:
                size += batch.nbytes
                if size > MOST_BYTES:
                    raise _too_large(question)
                batches.append(batch)
            table = pa.Table.from_batches(batches, schema=reader.schema)
        return [(field.name, str(field.type)) for field in table.schema], ArrowRows(table)

    def _page(self, asked: Asked, kept: Kept) -> bytes:
        question, pages = asked.question, kept.pages
        if asked.first > pages.rows or kept.question != question.name or isinstance(pages, ArrowRows) != asked.arrow:
            raise BadParameter("cursor: it is not one of this answer")
        end = asked.first + asked.rows
        following = f"{kept.key}.{end}.{asked.given}" if end < pages.rows else None
        # of an answer of this very state it is said how it stands now, of an older one how it stood
        watermark = kept.watermark if asked.later else asked.watermark
        values = {**kept.values, **({"at": asked.at} if asked.at else {})}
        answer = AnswerView(
            question=question.name,
            parameters={n: _utc(v) for n, v in values.items() if n in _names(question)},
            columns=[ColumnView(name=n, type=kind.lower(), unit=question.units.get(n, "")) for n, kind in kept.columns],
            rows=[],
            first_row=asked.first,
            all_rows=pages.rows,
            next=following,
            watermark=watermark_view(watermark),
            sql=question.sql,
            origin_note=question.told,
        )
        if isinstance(pages, ArrowRows):
            return pages.page(asked.first, asked.rows, _metadata(answer))
        assert isinstance(pages, JsonRows)
        told = msgspec.structs.asdict(answer) | {"rows": pages.page(asked.first, asked.rows)}
        return msgspec.json.encode(told)


def watermark_view(watermark: Watermark) -> WatermarkView:
    """How far the answer reaches, as it is told."""
    return WatermarkView(
        at=watermark.at,
        positions={t: {str(n): p for n, p in of.items()} for t, of in watermark.positions.items()},
        halted=watermark.halted,
        trouble=watermark.trouble,
    )


def _page_rows(text: str | None) -> int:
    if text is None:
        return PAGE_ROWS
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_PAGE_ROWS):
        raise BadParameter(f"limit: {text!r} is not a number of rows from 1 to {MOST_PAGE_ROWS}")
    return int(text)


def _read_cursor(cursor: str, asked: str) -> tuple[str, int]:
    found = _CURSOR.fullmatch(cursor)
    if found is None or found["given"] != asked:
        raise BadParameter("cursor: it is not one of this question with these parameters")
    return found["key"], int(found["first"])


def _digest(of: object) -> str:
    return hashlib.sha256(msgspec.json.encode(of)).hexdigest()[:32]


def _too_large(question: Question) -> BadParameter:
    how = "ask for a shorter span, with since and until" if "until" in _names(question) else "ask for less"
    return BadParameter(f"{question.name}: too many rows for one answer ({MOST_BYTES >> 20} MiB); {how}")


def _names(question: Question) -> set[str]:
    return {parameter.name for parameter in question.takes}


def _object(readers: list[tuple[str, Callable[[Any], Any] | None]], row: tuple[Any, ...]) -> dict[str, Any]:
    return {
        name: reader(value) if reader is not None and value is not None else value
        for (name, reader), value in zip(readers, row, strict=True)
    }


def _metadata(answer: AnswerView) -> dict[str, bytes | str]:
    told = {name: value for name, value in msgspec.structs.asdict(answer).items() if name not in ("rows", "columns")}
    return {name: value if isinstance(value, str) else msgspec.json.encode(value) for name, value in told.items()}


def _utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


_READERS: dict[str, Callable[[Any], Any]] = {
    "TIMESTAMP": _utc,
    "JSON": lambda text: msgspec.Raw(text.encode()),
}
