"""The questions API: what is asked over HTTP with an operators' token, answered in JSON or Arrow."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from analytics.binding import BadParameter
from analytics.desk import AnswerGone, AnswerView, Desk
from analytics.metrics import metrics_text
from analytics.parsed import BadStatement
from analytics.queries import Busy
from analytics.query_api import ARROW, AnyConnection, NotAllowed, query_routes
from analytics.questions import QUESTIONS, Question, UnknownQuestion
from analytics.warehouse import StatementTooSlow, WarehouseError
from shop_stack.access import ROLES, Principal, Verifier
from shop_stack.described import DescribedJson
from shop_stack.errors import AccessDenied, ShopfloorError
from shop_stack.exposition import CONTENT_TYPE

_STATUS: dict[type[ShopfloorError], int] = {
    AccessDenied: 401,
    NotAllowed: 403,
    UnknownQuestion: 404,
    BadParameter: 400,
    AnswerGone: 410,
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


_ANSWERS = {200: ResponseSpec(AnswerView, generate_examples=False, description="As JSON; Arrow for who accepts it.")}


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
        """One question's answer, a page of it; its parameters are in the query.

        With them, where a question has no such parameter of its own: `limit`, at most so many rows a page (10,000, at
        most 50,000), and for the rows after those the page's `next` as `cursor`, while the answer is kept: 410 after.
        """
        principal(request)
        return await _answered(desk, question_name, request)

    return Litestar(
        route_handlers=[list_questions, ask, *_health(desk), *query_routes(desk.queries, principal)],
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


async def _answered(desk: Desk, name: str, request: AnyRequest) -> Response[bytes]:
    arrow = ARROW in request.headers.get("accept", "")
    asked = desk.asked(name, _given(request), arrow)
    headers = {"etag": asked.etag, "cache-control": "private, no-cache", "vary": "Accept"}
    known = request.headers.get("if-none-match", "").replace("W/", "").split(",")
    if asked.etag in (one.strip() for one in known):
        return Response(b"", status_code=304, headers=headers)
    body = await desk.answer(asked)
    return Response(body, media_type=ARROW if arrow else "application/json", headers=headers)


def _health(desk: Desk) -> list[HTTPRouteHandler]:
    @get("/livez", sync_to_thread=False, include_in_schema=False)
    def live() -> str:
        return "alive"

    @get("/readyz", sync_to_thread=False, include_in_schema=False)
    def ready() -> Response[dict[str, Any]]:
        halted, trouble = desk.watermark().halted, desk.watermark().trouble
        said = {"ready": halted is None, "error": halted or trouble}
        return Response(said, status_code=200 if halted is None else 503)

    @get("/metrics", sync_to_thread=False, include_in_schema=False)
    def metrics() -> Response[bytes]:
        return Response(metrics_text(desk.watermark()).encode(), media_type=CONTENT_TYPE)

    return [live, ready, metrics]


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
