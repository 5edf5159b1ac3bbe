"""Calls between services over HTTP: kept connections, a deadline, one retry, and the trace that led to the call."""

import http.client
import threading
import time
from collections.abc import Callable

from shop_stack.errors import MeshError
from shop_stack.hosting.causes import current
from shop_stack.hosting.service import Answer

Address = Callable[[str], tuple[str, int]]
"""From a service's name to host and port: always the gateway's mesh listener, or in tests the service's own."""


class HttpMesh:
    """Implements service.Mesh. Each thread keeps one connection an address, for as long as the other side does."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._mine = threading.local()

    def get(self, service: str, path: str, *, deadline_s: float = 1.0, subject: str | None = None) -> Answer:
        """GET `path` of a service; see service.Mesh. Tries once more when the connection, not the service, failed."""
        until = time.monotonic() + deadline_s
        headers = _headers(service, subject)
        address = self._address(service)
        try:
            answer = self._once(address, path, headers, until)
        except TimeoutError as error:
            raise MeshError(f"{service} did not answer within {deadline_s:g} s") from error
        except (OSError, http.client.HTTPException):
            answer = self._again(service, address, path, headers, until)
        if answer.status >= 500:
            raise MeshError(f"{service} answered {answer.status}")
        return answer

    def _again(
        self, service: str, address: tuple[str, int], path: str, headers: dict[str, str], until: float
    ) -> Answer:
        try:
            return self._once(address, path, headers, until)
        except (OSError, http.client.HTTPException) as error:
            raise MeshError(f"{service} cannot be reached: {type(error).__name__}") from error

    def _once(self, address: tuple[str, int], path: str, headers: dict[str, str], until: float) -> Answer:
        kept = self._kept()
        connection = kept.pop(address, None) or http.client.HTTPConnection(*address)
        try:
            connection.timeout = _left(until)
            if connection.sock is not None:
                connection.sock.settimeout(connection.timeout)
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            if connection.sock is not None:
                connection.sock.settimeout(_left(until))
            answer = Answer(response.status, response.read())
            kept[address] = connection
            return answer
        finally:
            if kept.get(address) is not connection:
                connection.close()

    def _kept(self) -> dict[tuple[str, int], http.client.HTTPConnection]:
        try:
            mine: dict[tuple[str, int], http.client.HTTPConnection] = self._mine.kept
        except AttributeError:
            mine = self._mine.kept = {}
        return mine


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _headers(service: str, subject: str | None) -> dict[str, str]:
    cause = current.get()
    headers = {"Host": f"{service}.mesh", "Accept-Encoding": "identity"}
    if subject is not None:
        headers["x-subject"] = subject
    if cause.causation is not None:
        headers["x-request-id"] = cause.causation
    if cause.traceparent is not None:
        headers["traceparent"] = cause.traceparent
    return headers
