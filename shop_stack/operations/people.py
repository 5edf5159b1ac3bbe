"""Operators and a person's data: finding, exporting and erasing it through customers, each in the audit chain first."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from shop_stack.access import Principal
from shop_stack.errors import ActionRefused, NotRunning, SettingError
from shop_stack.hosting.topology import Topology
from shop_stack.ids import uuid7
from shop_stack.operations.asking import Replicas
from shop_stack.operations.people_model import (
    ErasureView,
    PersonErasureRequest,
    PersonExportRequest,
    PersonFindRequest,
    PersonFound,
)
from shop_stack.operations.store import Store
from shop_stack.runtime.interface import Runtime

SERVICE = "customers"


class People:
    """Asks a ready replica of customers, in the name of an operator. Thread-safe.

    Every method raises NotRunning when customers does not answer, SettingError when it does not know the person.
    """

    def __init__(
        self,
        topology: Topology,
        runtime: Runtime,
        store: Store,
        published: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._replicas, self._store = Replicas(topology, runtime), store
        self._published, self._now = published, now

    def find(self, request: PersonFindRequest, principal: Principal) -> PersonFound:
        """Whose e-mail this is; the record says that somebody was looked for, and not whom."""
        self._record(principal, "find-person", "-", request.because)
        body = msgspec.json.encode({"email": request.email})
        return msgspec.json.decode(self._ask("POST", "/v1/people/search", body), type=PersonFound)

    def export(self, customer_id: str, request: PersonExportRequest, principal: Principal) -> msgspec.Raw:
        """All that the shop knows of a person, as JSON; it is passed on and kept nowhere."""
        self._record(principal, "export-person", customer_id, request.because)
        return msgspec.Raw(self._ask("GET", _path(customer_id, "export")))

    def erase(self, customer_id: str, request: PersonErasureRequest, principal: Principal) -> ErasureView:
        """Begin to erase a person; a repeat changes nothing. Raises ActionRefused without the confirmation."""
        if not request.confirm:
            raise ActionRefused("what is erased cannot be brought back; confirm it a second time")
        self._record(principal, "erase-person", customer_id, request.because)
        body = msgspec.json.encode({"asked_by": principal.subject[:64], "because": request.because})
        return self._view(self._ask("PUT", _path(customer_id, "erasure"), body))

    def certificate(self, customer_id: str) -> ErasureView:
        """How far a person's erasure is, and what was erased where."""
        return self._view(self._ask("GET", _path(customer_id, "erasure")))

    def _record(self, principal: Principal, what: str, customer_id: str, because: str) -> None:
        now = self._now()
        with self._store.write(now) as t:
            t.record(principal.subject, f"{uuid7(now)} {what} {customer_id}: {because}")
        self._published()

    def _view(self, body: bytes) -> ErasureView:
        return msgspec.json.decode(body, type=ErasureView)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        status, content = self._replicas.ask(SERVICE, method, path, body)
        if status == 404:
            raise SettingError(_detail(content, "nobody has or had this id"))
        if status >= 400:
            raise NotRunning(_detail(content, f"customers answered {status}"))
        return content


def _path(customer_id: str, what: str) -> str:
    return f"/v1/people/{quote(customer_id, safe='')}/{what}"


def _detail(content: bytes, otherwise: str) -> str:
    try:
        said: Any = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return otherwise
    return str(said.get("detail") or otherwise) if isinstance(said, dict) else otherwise
