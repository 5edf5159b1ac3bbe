"""Every POST that creates takes an idempotency key: the walk over all routes of all services' cards."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, post
from litestar.handlers import HTTPRouteHandler

from shop_stack import access
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.context import Context
from shop_stack.hosting.http import application
from shop_stack.mesh.calls import HttpMesh
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests import toy_service
from tests.contracts.toy_parts import toy_context

pytestmark = pytest.mark.embedded

# POSTs that take no key, each with the reason why a repeat does no harm.
NEED_NO_KEY = {
    "/v1/sessions": "a guest's session stores nothing, and a key would hand it to whoever sends the same one; a "
    "sign-in that is repeated has been made twice",
    "/v1/orders/{order_id}/cancellation": "calling off twice is calling off once: the order's state decides",
    "/v1/people/search": "a question, with the e-mail address where no access log keeps it",
    "/v1/provider-callbacks": "a hint to ask the provider now, under the call's own key; it creates nothing",
}


def posts(app: Litestar) -> dict[str, Any]:
    """The POST operations of an application, by path."""
    return {path: item.post for path, item in (app.openapi_schema.paths or {}).items() if item.post is not None}


def takes_no_key(operation: Any) -> bool:
    """Whether a POST can be made without a key, or with one that is empty or longer than the 255 letters we promise."""
    headers = {parameter.name: parameter for parameter in operation.parameters or [] if parameter.param_in == "header"}
    key = headers.get("idempotency-key")
    return key is None or not key.required or (key.schema.min_length, key.schema.max_length) != (1, 255)


def test_every_creating_post_of_every_service_takes_a_key(tmp_path: Path) -> None:
    stack, settings = read_stack(), Settings(home=Home(tmp_path))
    access.prepare_keys(settings.home, datetime.now(UTC))
    found: dict[str, Any] = {}
    for card in (card_of(spec.name) for spec in stack.services):
        context = Context(card, settings, stack, HttpMesh(lambda service: ("127.0.0.1", 9)))
        found |= posts(application([(card.name, card.routes(context))], card.name, threaded=False))
        context.store.close()
    assert {path for path, operation in found.items() if takes_no_key(operation)} == set(NEED_NO_KEY)
    assert len(found) > len(NEED_NO_KEY)


def test_the_walk_finds_a_post_without_a_key(tmp_path: Path) -> None:
    @post("/v1/forgotten", sync_to_thread=False)
    def forgotten() -> None:
        return None

    context = toy_context(tmp_path)
    handlers: list[HTTPRouteHandler] = [*toy_service.CARD.routes(context), forgotten]
    found = posts(application([("toy", handlers)], "toy", threaded=False))
    assert {path: takes_no_key(operation) for path, operation in found.items()} == {
        "/v1/counts/{name}": False,
        "/v1/forgotten": True,
    }
    context.store.close()
