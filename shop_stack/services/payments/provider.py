"""Calls of the payment provider: plain HTTP with an idempotency key, on a connection that each thread keeps."""

import http.client
import threading

import msgspec

from shop_stack.services.payments.rules import Answer, Approved, Call, Refused, TakenAlready, Unclear

TIMEOUT_S = 5.0


class _Said(msgspec.Struct):
    status: str
    reference: str = ""
    reason: str = ""


class _Wanted(msgspec.Struct):
    order_id: str
    amount_minor: int


_said = msgspec.json.Decoder(_Said)
_kept = threading.local()


def call(port: int, step: Call, key: str, order_id: str, amount_minor: int) -> Answer:
    """Ask the provider (on 127.0.0.1) for one step of one order's payment; never raises for what it answers.

    A kept connection that the provider has closed meanwhile is opened again once: the key makes that safe.
    """
    body = msgspec.json.encode(_Wanted(order_id, amount_minor))
    headers = {"content-type": "application/json", "idempotency-key": key}
    connection = _connection(port)
    fresh = connection.sock is None
    try:
        return _exchange(connection, step, body, headers)
    except (http.client.BadStatusLine, ConnectionError, BrokenPipeError) as error:
        connection.close()
        if fresh:
            return Unclear(_words(error))
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Unclear(_words(error))
    try:
        return _exchange(connection, step, body, headers)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Unclear(_words(error))


def _connection(port: int) -> http.client.HTTPConnection:
    kept: dict[int, http.client.HTTPConnection] | None = getattr(_kept, "connections", None)
    if kept is None:
        kept = _kept.connections = {}
    if port not in kept:
        kept[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    return kept[port]


def _exchange(connection: http.client.HTTPConnection, step: Call, body: bytes, headers: dict[str, str]) -> Answer:
    connection.request("POST", f"/{step}", body, headers)
    response = connection.getresponse()
    return read_answer(response.status, response.read())


def read_answer(status: int, body: bytes) -> Answer:
    """What the provider's answer means; anything but its three clear answers is unclear."""
    try:
        said = _said.decode(body)
    except msgspec.MsgspecError:
        return Unclear(f"the provider answered {status} without a word")
    if status == 200 and said.status == "approved":
        return Approved(said.reference)
    if status == 402 and said.status == "declined":
        return Refused(said.reason)
    if status == 409 and said.status == "captured":
        return TakenAlready()
    return Unclear(f"the provider answered {status} {said.status}")


def _words(error: Exception) -> str:
    return f"the provider did not answer: {type(error).__name__}"
