"""The description of an API as it is served: what Litestar derives from the handlers, with the errors as they are."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin

from shop_stack.leads import Leads, leads_of, linked

_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457); further members may say more.",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
    },
}
_DEFAULT = {"description": "What went wrong, in words.", "content": {"application/problem+json": {"schema": _PROBLEM}}}


class DescribedJson(JsonRenderPlugin):
    """OpenAPI as JSON, made when it is asked for: each error is a problem, strict bodies say that they are, and links.

    Litestar describes errors in a form of its own, and leaves out that a body with unknown fields is refused and where
    an answer leads.
    """

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document."""
        return self.render_json(request, described(openapi_schema, strict_bodies(request.app), leads_of(request.app)))


def described(document: dict[str, Any], strict: frozenset[str], leads: Leads) -> dict[str, Any]:
    """A copy with problems as errors and with links; the schemas titled `strict` take no other fields."""
    paths = linked({path: _operations(of) for path, of in (document.get("paths") or {}).items()}, leads)
    components = document.get("components") or {}
    schemas = {name: _closed(of, strict) for name, of in (components.get("schemas") or {}).items()}
    return {**document, "paths": paths, "components": {**components, "schemas": schemas}}


def _operations(of_path: dict[str, Any]) -> dict[str, Any]:
    described_: dict[str, Any] = {}
    for method, operation in of_path.items():
        if isinstance(operation, dict) and "responses" in operation:
            good = {status: said for status, said in operation["responses"].items() if int(status) < 400}
            operation = {**operation, "responses": {**good, "default": _DEFAULT}}
        described_[method] = operation
    return described_


def _closed(schema: dict[str, Any], strict: frozenset[str]) -> dict[str, Any]:
    return {**schema, "additionalProperties": False} if schema.get("title") in strict else schema


def strict_bodies(app: Litestar) -> frozenset[str]:
    """The names of all structs in request bodies that refuse unknown fields."""
    handlers = (handler for route in app.routes for handler in getattr(route, "route_handlers", ()))
    return frozenset(name for handler in handlers for name in _of_handler(handler))


def _of_handler(handler: HTTPRouteHandler) -> Iterator[str]:
    field = handler.parsed_data_field
    if field is not None:
        yield from _strict(msgspec.inspect.type_info(field.annotation))


def _strict(kind: msgspec.inspect.Type) -> Iterator[str]:
    if isinstance(kind, msgspec.inspect.StructType):
        if kind.forbid_unknown_fields:
            yield kind.cls.__name__
        yield from _all(field.type for field in kind.fields)
    elif isinstance(kind, msgspec.inspect.ListType):
        yield from _strict(kind.item_type)
    elif isinstance(kind, msgspec.inspect.UnionType):
        yield from _all(kind.types)


def _all(kinds: Iterable[msgspec.inspect.Type]) -> Iterator[str]:
    for kind in kinds:
        yield from _strict(kind)
