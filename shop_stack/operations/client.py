"""The operations API from the outside: one typed method an endpoint, for the console, dashboard and command."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from shop_stack.errors import AccessDenied, ActionRefused, NotRunning
from shop_stack.operations.audit import Report
from shop_stack.operations.model import (
    Accepted,
    ActionView,
    DeadLetterView,
    Expectation,
    GroupLag,
    IncidentView,
    Journey,
    LogLines,
    ObjectiveView,
    Problem,
    ReplayPreview,
    ReplayRequest,
    RestartRequest,
    ScaleRequest,
    Skipped,
    StackView,
    TailEvent,
    WhoAmI,
)
from shop_stack.operations.people_model import (
    Because,
    ErasureView,
    PersonErasureRequest,
    PersonExportRequest,
    PersonFindRequest,
    PersonFound,
)

T = TypeVar("T")
_skipped = msgspec.json.Decoder(Skipped)
_event = msgspec.json.Decoder(TailEvent)
_STREAM = httpx.Timeout(5.0, read=25.0)  # a heartbeat comes every 10 s


class OperationsClient:
    """Talks to one operations API. Thread-safe; keeps its connections until closed.

    Every method raises AccessDenied (401, 403), ActionRefused (any other 4xx, with the server's sentence) and
    NotRunning (no answer, or 5xx).
    """

    def __init__(self, base_url: str, token: str, *, timeout_s: float = 5.0) -> None:
        self._http = httpx.Client(
            base_url=base_url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s, trust_env=False
        )

    def whoami(self) -> WhoAmI:
        """Whom the token speaks for."""
        return self._get("/ops/v1/whoami", WhoAmI)

    def stack(self) -> StackView:
        """The stack now."""
        return self._get("/ops/v1/services", StackView)

    def expectation(self, service: str, replicas: int) -> Expectation:
        """What scaling `service` to `replicas` would do; `refused` says why it would not be accepted."""
        return self._get(f"{_service(service)}/expectation", Expectation, {"replicas": replicas})

    def scale(
        self, service: str, replicas: int, reason: str, *, confirm_zero: bool = False, force: bool = False
    ) -> str:
        """Ask for a number of replicas and return the action's id at once; `force` passes over the time to rest."""
        request = ScaleRequest(replicas=replicas, reason=reason, confirm_zero=confirm_zero, force=force)
        return self._post(f"{_service(service)}/scale", Accepted, request).action_id

    def restart(self, service: str, reason: str, *, replica: str | None = None) -> str:
        """Ask to replace one replica, or each in turn, and return the action's id at once."""
        request = RestartRequest(reason=reason, replica=replica)
        return self._post(f"{_service(service)}/restart", Accepted, request).action_id

    def actions(self, limit: int = 50) -> list[ActionView]:
        """The last actions, newest first."""
        return self._get("/ops/v1/actions", list[ActionView], {"limit": limit})

    def action(self, action_id: str) -> ActionView:
        """One action, from request to verdict."""
        return self._get(f"/ops/v1/actions/{quote(action_id, safe='')}", ActionView)

    def journey(self, order_id: str, at: datetime | None = None) -> Journey:
        """Everything that happened to an order, in the order of cause; with `at` only what has a time before it."""
        asked = {"at": at.isoformat()} if at else None
        return self._get(f"/ops/v1/orders/{quote(order_id, safe='')}", Journey, asked, timeout_s=20.0)

    def consumer_groups(self) -> list[GroupLag]:
        """How far each group is behind, in all and by partition."""
        return self._get("/ops/v1/consumer-groups", list[GroupLag], timeout_s=20.0)

    def objectives(self) -> list[ObjectiveView]:
        """Every objective, its error budget, and how fast that burns."""
        return self._get("/ops/v1/objectives", list[ObjectiveView])

    def incidents(self) -> list[IncidentView]:
        """Incidents, open ones first, then newest first."""
        return self._get("/ops/v1/incidents", list[IncidentView])

    def acknowledge(self, incident_id: str, *, take_over: bool = False) -> IncidentView:
        """Say that you look after an incident; refused when another does, unless `take_over`."""
        query = "?take_over=true" if take_over else ""
        return self._post(f"/ops/v1/incidents/{quote(incident_id, safe='')}/acknowledge{query}", IncidentView, None)

    def audit(self, *, strict: bool = False) -> Report:
        """Hold the books against each other, now: seconds of work; `strict` counts what is in flight as violated."""
        return self._get("/ops/v1/audit", Report, {"strict": strict} if strict else None, timeout_s=120.0)

    def dead_letters(self, service: str = "", limit: int = 200) -> list[DeadLetterView]:
        """Records that could not be handled and stop their aggregates, oldest first."""
        query: dict[str, Any] = {"service": service, "limit": limit}
        return self._get("/ops/v1/dead-letters", list[DeadLetterView], query, timeout_s=20.0)

    def replay(self, request: ReplayRequest) -> ReplayPreview:
        """What a replay would try; with `dry_run` false it is begun, and `action_id` leads to its outcome."""
        return self._post("/ops/v1/dead-letters/replay", ReplayPreview, request)

    def find_person(self, email: str, because: Because) -> str:
        """The id of the person who has this e-mail; for administrators, as are the next two."""
        return self._post("/ops/v1/customers/find", PersonFound, PersonFindRequest(email, because)).customer_id

    def export_person(self, customer_id: str, because: Because) -> dict[str, Any]:
        """All that the shop knows of a person."""
        return self._post(f"{_person(customer_id)}/export", dict[str, Any], PersonExportRequest(because))

    def erase_person(self, customer_id: str, because: Because, *, confirm: bool) -> ErasureView:
        """Begin to erase a person; it cannot be undone, hence the confirmation."""
        return self._post(f"{_person(customer_id)}/erasure", ErasureView, PersonErasureRequest(because, confirm))

    def erasure(self, customer_id: str) -> ErasureView:
        """How far a person's erasure is, and what was erased where; for managers."""
        return self._get(f"{_person(customer_id)}/erasure", ErasureView)

    def logs(self, service: str, lines: int = 200, *, replica: str | None = None) -> list[str]:
        """The last lines of a service's (or part's) log, oldest first; untrusted text."""
        query: dict[str, Any] = {"lines": lines} | ({"replica": replica} if replica else {})
        return self._get(f"{_service(service)}/logs", LogLines, query).lines

    def events(
        self,
        *,
        topic: str | None = None,
        type: str | None = None,
        contains: str | None = None,
        backlog: int = 200,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[TailEvent | Skipped]:
        """Events as they come, after the last `backlog` ones; without end.

        `topic` and `type` match a part of the name, `contains` any shown text, case ignored. `stop` is asked
        with every event and heartbeat (10 s). Raises NotRunning when the stream breaks.
        """
        given = {"topic": topic, "type": type, "contains": contains, "backlog": backlog}
        query = {name: value for name, value in given.items() if value is not None}
        try:
            with self._http.stream("GET", "/ops/v1/events", params=query, timeout=_STREAM) as answer:
                if answer.status_code != 200:
                    answer.read()
                    _raise(answer)
                yield from _parse_events(answer.iter_lines(), stop)
        except httpx.HTTPError as error:
            raise NotRunning(f"the stream of events broke off ({error}); see: shopfloor status") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(
        self, path: str, shape: type[T], query: Mapping[str, Any] | None = None, timeout_s: float | None = None
    ) -> T:
        timeout = httpx.USE_CLIENT_DEFAULT if timeout_s is None else httpx.Timeout(timeout_s)
        try:
            answer = self._http.get(path, params=query, timeout=timeout)
        except httpx.HTTPError as error:
            raise _silent(self._http, error) from error
        return _decode(answer, shape)

    def _post(self, path: str, shape: type[T], body: msgspec.Struct | None) -> T:
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        try:
            answer = self._http.post(path, content=msgspec.json.encode(body) if body else b"", headers=headers)
        except httpx.HTTPError as error:
            raise _silent(self._http, error) from error
        return _decode(answer, shape)


def _service(name: str) -> str:
    return f"/ops/v1/services/{quote(name, safe='')}"


def _person(customer_id: str) -> str:
    return f"/ops/v1/customers/{quote(customer_id, safe='')}"


def _silent(http: httpx.Client, error: httpx.HTTPError) -> NotRunning:
    return NotRunning(f"operations does not answer on {http.base_url} ({error}); see: shopfloor status")


def _decode(answer: httpx.Response, shape: type[T]) -> T:
    if answer.status_code >= 400:
        _raise(answer)
    try:
        return msgspec.json.decode(answer.content, type=shape)
    except msgspec.MsgspecError as error:
        raise NotRunning(f"{answer.url} does not speak the operations API ({error}); is the address right?") from error


def _raise(answer: httpx.Response) -> None:
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        problem = Problem(title=f"HTTP {answer.status_code}", status=answer.status_code)
    sentence = problem.detail or problem.title
    if answer.status_code in (401, 403):
        raise AccessDenied(sentence)
    if answer.status_code < 500:
        raise ActionRefused(sentence)
    raise NotRunning(sentence)


def _parse_events(lines: Iterator[str], stop: Callable[[], bool]) -> Iterator[TailEvent | Skipped]:
    name = ""
    for line in lines:
        if stop():
            return
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield _skipped.decode(line[6:]) if name == "skipped" else _event.decode(line[6:])
        elif not line:
            name = ""
