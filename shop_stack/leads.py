"""Where an answer leads: the operations that a client may go on to with it, as links in an API's description."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar

_OPT = "leads_to"


class Lead(msgspec.Struct, frozen=True):
    """An operation that comes next, by method and path; values are OpenAPI's runtime expressions or constants."""

    method: str
    path: str
    parameters: dict[str, str] = {}
    body: dict[str, Any] = {}


Leads = Mapping[tuple[str, str], Sequence[Lead]]
"""By path and method (small letters) of the operation that answers."""


def leads_to(*leads: Lead) -> dict[str, Any]:
    """A handler's `opt` that declares where its good answer leads."""
    return {_OPT: leads}


def leads_of(app: Litestar) -> Leads:
    """All leads that an application's handlers declare."""
    return dict(_declared(app))


def _declared(app: Litestar) -> Iterator[tuple[tuple[str, str], Sequence[Lead]]]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods:
                yield (route.path_format, method.lower()), handler.opt.get(_OPT, ())


def linked(paths: dict[str, Any], leads: Leads) -> dict[str, Any]:
    """A copy of an OpenAPI document's paths whose good answers carry their links.

    A lead to what this application does not serve is left out: services that share no process share no document.
    """
    return {
        path: {method: _with_links(operation, paths, leads.get((path, method), ())) for method, operation in of.items()}
        for path, of in paths.items()
    }


def _with_links(operation: Any, paths: Mapping[str, Any], leads: Sequence[Lead]) -> Any:
    links = {target["operationId"]: _link(target, lead) for lead in leads if (target := _target(paths, lead))}
    if not links:
        return operation
    responses = {
        status: {**said, "links": links} if status.isdigit() and int(status) < 400 else said
        for status, said in operation["responses"].items()
    }
    return {**operation, "responses": responses}


def _target(paths: Mapping[str, Any], lead: Lead) -> Mapping[str, Any] | None:
    operation: Mapping[str, Any] | None = paths.get(lead.path, {}).get(lead.method)
    return operation


def _link(target: Mapping[str, Any], lead: Lead) -> dict[str, Any]:
    link: dict[str, Any] = {"operationId": target["operationId"]}
    if lead.parameters:
        link["parameters"] = lead.parameters
    if lead.body:
        link["requestBody"] = lead.body
    return link
