"""The mesh within a process: a service's route is run by the thread that asks, so that no pool can starve."""

from collections.abc import Callable
from urllib.parse import unquote

from shop_stack.asgi import App, Message, Scope
from shop_stack.errors import MeshError
from shop_stack.hosting.causes import current
from shop_stack.hosting.service import Answer, Mesh


class DirectMesh:
    """Implements service.Mesh for the services of this process, and leaves the others to `elsewhere`.

    `app` is asked for at the first call: an ASGI application that never waits (its handlers are not threaded).
    A deadline cannot be kept here: the call costs what the handler costs.
    """

    def __init__(self, here: frozenset[str], app: Callable[[], App], elsewhere: Mesh) -> None:
        self._here = here
        self._app = app
        self._elsewhere = elsewhere

    def get(self, service: str, path: str, *, deadline_s: float = 1.0, subject: str | None = None) -> Answer:
        """GET `path` of a service; see service.Mesh."""
        if service not in self._here:
            return self._elsewhere.get(service, path, deadline_s=deadline_s, subject=subject)
        answer = run(self._app(), "GET", path, {"x-subject": subject} if subject else {})
        if answer.status >= 500:
            raise MeshError(f"{service} answered {answer.status}")
        return answer


def run(app: App, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """One request through an ASGI application that never waits. Raises MeshError should it wait all the same."""
    status = 500
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    token = current.set(current.get())
    call = app(_scope(method, path, headers), receive, send).__await__()
    try:
        next(call)
    except StopIteration:
        return Answer(status, b"".join(parts))
    finally:
        current.reset(token)
    raise MeshError(f"{method} within the process waited for something; only plain handlers can be called directly")


def _scope(method: str, path: str, headers: dict[str, str]) -> Scope:
    where, _, query = path.partition("?")
    cause = current.get()
    sent = {"host": "mesh", "x-request-id": cause.causation, "traceparent": cause.traceparent, **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(where),
        "raw_path": where.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value is not None],
        "client": None,
        "server": None,
        "state": {},
        "extensions": {},
    }
