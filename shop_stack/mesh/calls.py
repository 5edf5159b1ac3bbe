"""Calls between services over HTTP: kept connections, a deadline, one retry, and the trace that led to the call."""

import threading
import time
from collections.abc import Callable

from shop_stack.errors import MeshError
from shop_stack.hosting.causes import current
from shop_stack.hosting.service import Answer
from shop_stack.mesh.connection import KeptConnection

HostAndPort = tuple[str, int]
Address = Callable[[str], HostAndPort]
"""From a service's name to host and port: always the gateway's mesh listener, or in tests the service's own."""
_UNSAFE = frozenset(" \r\n\t\0")


class HttpMesh:
    """Implements service.Mesh. Each thread keeps one connection an address, for as long as the other side does."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._mine = threading.local()

    def get(self, service: str, path: str, *, deadline_s: float = 1.0, subject: str | None = None) -> Answer:
        """GET `path` of a service; see service.Mesh. Tries once more when the connection, not the service, failed."""
        until = time.monotonic() + deadline_s
        request = _request(service, path, subject)
        try:
            answer = self._twice(self._address(service), request, until)
        except TimeoutError as error:
            raise MeshError(f"{service} did not answer within {deadline_s:g} s") from error
        except OSError as error:
            raise MeshError(f"{service} cannot be reached: {type(error).__name__}") from error
        if answer.status >= 500:
            raise MeshError(f"{service} answered {answer.status}")
        return answer

    def _twice(self, address: HostAndPort, request: bytes, until: float) -> Answer:
        try:
            return self._once(address, request, until)
        except TimeoutError:
            raise
        except OSError:
            return self._once(address, request, until)

    def _once(self, address: HostAndPort, request: bytes, until: float) -> Answer:
        kept = self._kept()
        connection = kept.pop(address, None) or KeptConnection(address, until)
        keep = False
        try:
            answer, keep = connection.ask(request, until)
        finally:
            if keep:
                kept[address] = connection
            else:
                connection.close()
        return answer

    def _kept(self) -> dict[HostAndPort, KeptConnection]:
        try:
            mine: dict[HostAndPort, KeptConnection] = self._mine.kept
        except AttributeError:
            mine = self._mine.kept = {}
        return mine


def _request(service: str, path: str, subject: str | None) -> bytes:
    """The request's head. Raises MeshError when something in it could be read as more than it is."""
    cause = current.get()
    lines = [f"GET {path} HTTP/1.1", f"Host: {service}.mesh"]
    if not _UNSAFE.isdisjoint(path):
        raise MeshError(f"a path of {service} must be percent-encoded before it is asked for")
    for name, value in (("x-subject", subject), ("x-request-id", cause.causation), ("traceparent", cause.traceparent)):
        if value is not None:
            if "\r" in value or "\n" in value:
                raise MeshError(f"{name} of a call to {service} has a line break")
            lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
