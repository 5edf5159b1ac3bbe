"""The HTTP side of a group: its services' routes as one application, with health and metrics in front."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Sequence
from concurrent.futures import Executor
from typing import Any, cast

import msgspec
from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig

from shop_stack.asgi import App, Noted, Receive, Scope, Send
from shop_stack.described import DescribedJson
from shop_stack.exposition import Durations
from shop_stack.hosting.causes import current, of_request
from shop_stack.hosting.problems import exception_handlers
from shop_stack.strictness import StrictRequest
from shop_stack.telemetry import tracing
from shop_stack.telemetry.requests import end_request

Page = tuple[int, str, bytes]
"""(status, content type, body)"""


def application(
    routes: Sequence[tuple[str, Sequence[HTTPRouteHandler]]],
    title: str,
    *,
    threaded: bool,
    before: Callable[[str], Callable[[Any], Awaitable[None]]] | None = None,
) -> Litestar:
    """One application of several services' route handlers, given as (service, handlers).

    Handlers run on the worker pool when `threaded`, else on the thread that calls. `before` makes a hook that each
    request of a service passes first.
    """
    routers = []
    for service, handlers in routes:
        for handler in handlers:
            handler.sync_to_thread = threaded
        hook = before(service) if before is not None else None
        routers.append(
            Router(
                path="/", route_handlers=list(handlers), opt={"service": service}, tags=[service], before_request=hook
            )
        )
    return Litestar(
        route_handlers=routers,
        request_class=StrictRequest,
        exception_handlers=exception_handlers(),
        openapi_config=OpenAPIConfig(
            title=title, version="1", path="/schema", render_plugins=[DescribedJson(path="/openapi.json")]
        ),
        logging_config=None,
        debug=False,
    )


def asgi(app: Litestar) -> App:
    """The application under ASGI's plain types."""
    return cast(App, app)


MOST_AT_ONCE = 256
"""Requests that a replica takes in at a time; more would wait longer than their shoppers do."""


_LARGEST_POST = 1 << 20


class Requests:
    """Requests counted by service and status, with how long they took."""

    def __init__(self) -> None:
        self.count: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Durations] = {}

    def add(self, service: str, status: int, seconds: float) -> None:
        """One more request."""
        self.count[service, status] += 1
        durations = self.seconds.get(service)
        if durations is None:
            durations = self.seconds[service] = Durations()
        durations.add(seconds)


class Front:
    """What stands before the application: pages of the host's own, the request's cause, and the count of requests.

    A full replica refuses at once: work whose shopper has left would only keep the next one waiting.
    """

    def __init__(
        self,
        app: App,
        pages: dict[str, Callable[[], Page]],
        requests: Requests,
        posts: dict[str, Callable[[bytes], Page]] | None = None,
        pool: Executor | None = None,
        inline: Container[str] | None = None,
    ) -> None:
        """`inline` names the pages that are made on the loop, None: all; the others ask a server that may hang.

        `posts` are the host's pages that change something, by path: they get the body, on the pool."""
        self._app = app
        self._pages = pages
        self._requests = requests
        self._posts = posts or {}
        self._pool = pool
        self._inline = inline
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        page = self._pages.get(scope["path"])
        if page is not None:
            inline = self._inline is None or scope["path"] in self._inline
            made = page() if inline else await asyncio.get_running_loop().run_in_executor(None, page)
            await _send_page(send, made)
            return
        post = self._posts.get(scope["path"])
        if post is not None and scope["method"] == "POST":
            await _send_page(send, await self._posted(post, receive))
            return
        if self._at_once >= MOST_AT_ONCE:
            self._requests.add("none", 503, 0.0)
            await _send_page(send, _FULL, ((b"retry-after", b"1"),))
            return
        self._at_once += 1
        try:
            await self._pass_on(scope, receive, send)
        finally:
            self._at_once -= 1

    async def _posted(self, post: Callable[[bytes], Page], receive: Receive) -> Page:
        body, more = b"", True
        while more and len(body) <= _LARGEST_POST:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, post, body)
        except msgspec.MsgspecError as error:
            return json_page(400, {"detail": f"the request is wrong: {error}"})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        noted = Noted(send)
        cause = of_request(scope["headers"])
        span = tracing.begin("none", scope["method"], "server", cause.traceparent) if tracing.listened_to() else None
        token = current.set(cause if span is None else msgspec.structs.replace(cause, traceparent=span.traceparent))
        began = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            current.reset(token)
            handler = scope.get("route_handler")
            service = handler.opt.get("service", "none") if handler is not None else "none"
            self._requests.add(service, noted.status, time.perf_counter() - began)
            if span is not None:
                end_request(span, service, scope.get("path_template", ""), noted.status)


async def _send_page(send: Send, page: Page, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
    status, content_type, body = page
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def json_page(status: int, content: object) -> Page:
    """A page of JSON."""
    return status, "application/json", msgspec.json.encode(content)


_FULL: Page = (
    503,
    "application/problem+json",
    msgspec.json.encode(
        {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "this replica is full; try again in a second, or scale the service",
        }
    ),
)
