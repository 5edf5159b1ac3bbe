"""Operators' own statements over HTTP: `POST /analytics/v1/query`, and the list of what they may read."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import JSONBody

from analytics.asked import MOST_ROWS, MOST_SQL
from analytics.queries import Queries
from analytics.relations import relations
from shop_stack.access import Principal
from shop_stack.errors import AccessDenied
from shop_stack.strictness import StrictRequest

ARROW = "application/vnd.apache.arrow.stream"
LEAST = "operator"
AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
log = logging.getLogger(__name__)


class NotAllowed(AccessDenied):
    """The token is good and its role may not do this."""


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """One SELECT. `since` (from then on) and `until` (before then) bound what is read of relations with a time."""

    sql: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_SQL)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS)] = 1000
    since: Moment | None = None
    until: Moment | None = None


def query_routes(queries: Queries, principal: Callable[[AnyConnection], Principal]) -> list[HTTPRouteHandler]:
    """The routes; `principal` says who asks, or raises AccessDenied."""

    def allowed(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        who = principal(connection)
        if not who.may(LEAST):
            raise NotAllowed(f"the role {who.role} may not ask statements of its own; it needs {LEAST}")
        connection.state.principal = who

    @get("/analytics/v1/relations", guards=[allowed])
    async def list_relations() -> list[dict[str, Any]]:
        """What a statement may read: relations, what a row of each is, and their columns in words."""
        return [
            {"name": one.name, "row": one.row, "time": one.time or None, "columns": dict(one.columns)}
            for one in relations().values()
        ]

    @post(
        "/analytics/v1/query",
        guards=[allowed],
        status_code=200,
        request_class=StrictRequest,
        request_max_body_size=65_536,
    )
    async def query(request: AnyRequest, data: JSONBody[Query]) -> Response[bytes]:
        """One SELECT of the asker's own, over copies of the listed relations, bounded in rows, memory and time."""
        who = request.state.principal
        arrow = ARROW in request.headers.get("accept", "")
        log.info("%r asks as %s: %r", who.subject, who.role, data.sql)
        body = await asyncio.get_running_loop().run_in_executor(
            queries.threads, queries.answer, data.sql, data.limit, arrow, data.since, data.until
        )
        return Response(body, media_type=ARROW if arrow else "application/json")

    return [list_relations, query]
