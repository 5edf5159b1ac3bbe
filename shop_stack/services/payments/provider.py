"""Calls of the payment provider: plain HTTP with an idempotency key, on a connection that each thread keeps."""

import threading
import time
from urllib.parse import quote

import msgspec

from shop_stack.mesh.connection import KeptConnection, Unanswered
from shop_stack.services.payments.rules import Answer, Approved, Call, Refused, TakenAlready, Unclear
from shop_stack.settings import Place

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


def call(place: Place, step: Call, key: str, order_id: str, amount_minor: int) -> Answer:
    """Ask the provider for one step of one order's payment; never raises for what it answers.

    A kept connection that the provider has closed meanwhile is opened again once: the key makes that safe.
    """
    request = _request(step, key, msgspec.json.encode(_Wanted(order_id, amount_minor)))
    until = time.monotonic() + TIMEOUT_S
    kept = _connections().pop(place, None)
    if kept is not None:
        try:
            return _exchange(kept, place, request, until)
        except (Unanswered, ConnectionError):
            pass  # closed since the last call
        except OSError as error:
            return Unclear(_words(error))
    try:
        return _exchange(KeptConnection(place, until), place, request, until)
    except OSError as error:
        return Unclear(_words(error))


def _request(step: Call, key: str, body: bytes) -> bytes:
    head = (
        f"POST /{step} HTTP/1.1\r\nHost: provider\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nIdempotency-Key: {quote(key)}\r\n\r\n"
    )
    return head.encode() + body


def _connections() -> dict[Place, KeptConnection]:
    """This thread's, by place."""
    try:
        mine: dict[Place, KeptConnection] = _kept.connections
    except AttributeError:
        mine = _kept.connections = {}
    return mine


def _exchange(connection: KeptConnection, place: Place, request: bytes, until: float) -> Answer:
    keep = False
    try:
        answer, keep = connection.ask(request, until)
    finally:
        if keep:
            _connections()[place] = connection
        else:
            connection.close()
    return read_answer(answer.status, answer.body)


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
