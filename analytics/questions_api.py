"""The questions API: what is asked over HTTP with an operators' token, answered in JSON or Arrow."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from analytics.ingest import Watermark
from analytics.parsed import BadStatement
from analytics.queries import Busy, Queries
from analytics.query_api import ARROW, AnyConnection, NotAllowed, query_routes
from analytics.questions import QUESTIONS, BadParameter, Question, UnknownQuestion, bind, find
from analytics.warehouse import Result, StatementTooSlow, Warehouse, WarehouseError
from shop_stack.access import ROLES, Principal, Verifier
from shop_stack.described import DescribedJson
from shop_stack.errors import AccessDenied, ShopfloorError

_MOST_ROWS = 200_000
_THREADS = 4
_STATUS: dict[type[ShopfloorError], int] = {
    AccessDenied: 401,
    NotAllowed: 403,
    UnknownQuestion: 404,
    BadParameter: 400,
    BadStatement: 422,
    Busy: 429,
    StatementTooSlow: 503,
    WarehouseError: 503,
}
AnyRequest = Request[Any, Any, Any]


class ParameterView(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a question; `default` says in words what is taken without it."""

    name: str
    kind: str
    required: bool
    default: str


class QuestionView(msgspec.Struct, frozen=True, kw_only=True):
    """A question that can be asked: its grain, its parameters, and the unit of each column that has one."""

    name: str
    grain: str
    parameters: list[ParameterView]
    units: dict[str, str]
    origin_note: str


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
    """What a question is answered with; `rows` by the names of the columns."""

    question: str
    parameters: dict[str, Any]
    columns: list[ColumnView]
    rows: list[dict[str, Any]]
    watermark: WatermarkView
    sql: str
    origin_note: str


_ANSWERS = {200: ResponseSpec(AnswerView, generate_examples=False, description="As JSON; Arrow for who accepts it.")}


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
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="question")
        self.queries = Queries(warehouse, lambda: watermark_view(watermark()))

    def answer(self, name: str, given: dict[str, str]) -> bytes:
        """The JSON answer. Raises UnknownQuestion, BadParameter, StatementTooSlow, WarehouseError."""
        question = find(name)
        values = bind(question, given, self._now(), self._zone)
        watermark = self.watermark()
        result = self._warehouse.ask(question.sql, values, self._timeout_s)
        if len(result.rows) > _MOST_ROWS:
            raise BadParameter(f"{name}: {len(result.rows)} rows are too many; ask for a shorter span, or for Arrow")
        return _encode(question, given, values, result, watermark)

    def answer_arrow(self, name: str, given: dict[str, str]) -> bytes:
        """The answer as an Arrow stream; watermark, note and SQL are in the schema's metadata."""
        question = find(name)
        values = bind(question, given, self._now(), self._zone)
        watermark = self.watermark()
        table = self._warehouse.ask_arrow(question.sql, values, self._timeout_s)
        table = table.replace_schema_metadata(
            {
                "question": name,
                "origin_note": question.told,
                "sql": question.sql,
                "watermark": msgspec.json.encode(watermark_view(watermark)),
            }
        )
        sink = BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()


def watermark_view(watermark: Watermark) -> WatermarkView:
    """How far the answer reaches, as it is told."""
    return WatermarkView(
        at=watermark.at,
        positions={t: {str(n): p for n, p in of.items()} for t, of in watermark.positions.items()},
        halted=watermark.halted,
        trouble=watermark.trouble,
    )


def _encode(
    question: Question, given: dict[str, str], values: dict[str, object], result: Result, watermark: Watermark
) -> bytes:
    columns = [
        ColumnView(name=name, type=kind.lower(), unit=question.units.get(name, "")) for name, kind in result.columns
    ]
    answer = AnswerView(
        question=question.name,
        parameters={n: _utc(v) for n, v in values.items() if n in {p.name for p in question.takes}},
        columns=columns,
        rows=_rows(result),
        watermark=watermark_view(watermark),
        sql=question.sql,
        origin_note=question.told,
    )
    return msgspec.json.encode(answer)


def _rows(result: Result) -> list[dict[str, Any]]:
    readers = [(name, _READERS.get(kind)) for name, kind in result.columns]
    return [
        {
            name: reader(value) if reader is not None and value is not None else value
            for (name, reader), value in zip(readers, row, strict=True)
        }
        for row in result.rows
    ]


def _utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


_READERS: dict[str, Callable[[Any], Any]] = {
    "TIMESTAMP": _utc,
    "JSON": lambda text: msgspec.Raw(text.encode()),
}


def make_app(desk: Desk, verifier: Callable[[], Verifier]) -> Litestar:
    """The application over a desk; `verifier` is asked once a request, so that keys may be made later."""

    def principal(asked: AnyConnection) -> Principal:
        who = verifier().principal(asked.headers.get("authorization"))
        if who.role not in ROLES:
            raise AccessDenied("this token has no role among the operators")
        return who

    @get("/analytics/v1/questions")
    async def list_questions(request: AnyRequest) -> list[QuestionView]:
        """All questions with their parameters, grain and units."""
        principal(request)
        return [_describe(question) for question in QUESTIONS.values()]

    @get("/analytics/v1/questions/{question_name:str}", responses=_ANSWERS)
    async def ask(request: AnyRequest, question_name: FromPath[str]) -> Response[bytes]:
        """One question's answer; its parameters are in the query."""
        principal(request)
        given = _given(request)
        arrow = ARROW in request.headers.get("accept", "")
        work = desk.answer_arrow if arrow else desk.answer
        body = await asyncio.get_running_loop().run_in_executor(desk.threads, work, question_name, given)
        return Response(body, media_type=ARROW if arrow else "application/json")

    @get("/livez", sync_to_thread=False, include_in_schema=False)
    def live() -> str:
        return "alive"

    @get("/readyz", sync_to_thread=False, include_in_schema=False)
    def ready() -> Response[dict[str, Any]]:
        halted, trouble = desk.watermark().halted, desk.watermark().trouble
        said = {"ready": halted is None, "error": halted or trouble}
        return Response(said, status_code=200 if halted is None else 503)

    return Litestar(
        route_handlers=[list_questions, ask, live, ready, *query_routes(desk.queries, principal)],
        exception_handlers={ShopfloorError: _refuse, HTTPException: _refuse_request},
        openapi_config=OpenAPIConfig(
            title="Shopfloor questions",
            version="1",
            description="What the events say, in answers with their freshness and their SQL.",
            path="/analytics/v1/schema",
            render_plugins=[DescribedJson(path="/openapi.json")],
        ),
        logging_config=None,
        request_max_body_size=1024,
    )


def _given(request: AnyRequest) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise BadParameter(f"the parameter {name!r} is given twice")
        given[name] = str(value)
    return given


def _describe(question: Question) -> QuestionView:
    return QuestionView(
        name=question.name,
        grain=question.grain,
        parameters=[
            ParameterView(name=p.name, kind=p.kind, required=p.required, default=p.says) for p in question.takes
        ],
        units=dict(question.units),
        origin_note=question.told,
    )


def _problem(status: int, detail: str, more: Mapping[str, str] | None = None) -> Response[bytes]:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    headers = {**(more or {}), **({"www-authenticate": "Bearer"} if status == 401 else {})}
    return Response(
        msgspec.json.encode(body), status_code=status, media_type="application/problem+json", headers=headers
    )


def _refuse(_request: AnyRequest, error: ShopfloorError) -> Response[bytes]:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    return _problem(status, str(error), {"retry-after": "2"} if status == 429 else None)


def _refuse_request(_request: AnyRequest, error: HTTPException) -> Response[bytes]:
    return _problem(error.status_code, str(error.detail), error.headers)
