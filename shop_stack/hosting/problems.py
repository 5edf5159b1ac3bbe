"""Errors as RFC 9457 problem details: what went wrong in words, and nothing of the inside."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from shop_stack.errors import AccessDenied, Conflict, MeshError
from shop_stack.hosting.causes import current
from shop_stack.hosting.service import KeyReused, StillWorking
from shop_stack.hosting.store import StoreBusy, ValueRefused

PROBLEM_JSON = "application/problem+json"
_STATUS: dict[type[Exception], int] = {
    KeyReused: 422,
    StillWorking: 409,
    Conflict: 409,
    AccessDenied: 403,
    StoreBusy: 503,
    ValueRefused: 422,
    MeshError: 503,
}
_RETRY_LATER = (StillWorking, StoreBusy, MeshError)
log = logging.getLogger(__name__)
AnyRequest = Request[Any, Any, Any]


def problem(
    status: int, detail: str, extra: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """A problem response; `extra` are RFC 9457 extension members."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(
        msgspec.json.encode({**(extra or {}), **body}), status_code=status, media_type=PROBLEM_JSON, headers=headers
    )


def _of_http(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    extra = error.extra if isinstance(error.extra, dict) else {"errors": error.extra} if error.extra else {}
    return problem(error.status_code, f"{error.detail}{_where(error.extra)}", extra, error.headers)


def _where(errors: object) -> str:
    """What is wrong with each part of a request, for the sentence: ": idempotency-key: Expected ..."."""
    if not isinstance(errors, list):
        return ""
    named = [(one.get("key", "body"), one.get("source"), one["message"]) for one in errors if "message" in one]
    said = [f"{key.replace('_', '-') if source == 'header' else key}: {message}" for key, source, message in named]
    return f": {'; '.join(said)}" if said else ""


def _of_ours(request: AnyRequest, error: Exception) -> Response[bytes]:
    headers = {"retry-after": "1"} if isinstance(error, _RETRY_LATER) else None
    return problem(next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), str(error), headers=headers)


def _of_unforeseen(request: AnyRequest, error: Exception) -> Response[bytes]:
    handler = request.scope.get("route_handler")
    route = f"{request.method} {sorted(handler.paths)[0]}" if handler is not None else request.method
    log.error("%s failed", route, exc_info=error)
    request_id = current.get().causation
    named = f"; its id is {request_id}" if request_id else ""
    return problem(500, f"the service failed on this request{named}")


def exception_handlers() -> ExceptionHandlersMap:
    """For Litestar: every error becomes a problem."""
    return {**dict.fromkeys(_STATUS, _of_ours), HTTPException: _of_http, Exception: _of_unforeseen}
