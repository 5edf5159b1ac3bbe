"""The provider's stand-in as a process: its HTTP on loopback, until the supervisor's channel closes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs

import msgspec
import uvicorn

from shop_stack.listening import listen_on
from shop_stack.provider.behaviour import (
    Behaviour,
    BehaviourChange,
    answer_after_s,
    callbacks_of,
    changed,
    decline_reason,
    loses_answer,
)
from shop_stack.provider.callbacks import Callbacks
from shop_stack.provider.ledger import STEPS, KeyMisused, Ledger, Reply, Telling
from shop_stack.settings import Settings
from shop_stack.stack import read_stack

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Wanted(msgspec.Struct):
    order_id: str
    amount_minor: int


class AnswerLost(Exception):
    """The provider has acted, and its answer is lost on the way: the connection breaks."""


def run_provider(settings: Settings, channel: Connection) -> None:
    """Serve on settings.ports["provider"] until SIGTERM or until the channel closes; sends ("ready", True).

    Callbacks go to payments by the mesh's listener; without one in the settings nobody is told.
    """
    stack = read_stack(settings.stack_file).provider
    provider = Provider(
        Ledger(settings.home.provider_ledger),
        Behaviour(**{name: getattr(stack, name) for name in Behaviour.__struct_fields__ if hasattr(stack, name)}),
        settings.place("mesh") if "mesh" in settings.ports else None,
    )
    config = uvicorn.Config(
        provider,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
    try:
        listener = listen_on(settings.inside, settings.ports["provider"], "the provider")
        _Server(config, channel, provider).run(sockets=[listener])
    finally:
        provider.ledger.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, channel: Connection, provider: "Provider") -> None:
        super().__init__(config)
        self._channel = channel
        self._provider = provider
        self._telling: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Say that it listens, and leave when the other end of the channel is gone."""
        await super().startup(sockets)
        if self.started:
            asyncio.get_running_loop().add_reader(self._channel.fileno(), self._heard)
            self._channel.send(("ready", True))
            if self._provider.callbacks is not None:
                self._telling = asyncio.create_task(self._provider.callbacks.run())

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Tell nothing more; what is not acknowledged stays in the ledger for the next start."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await super().shutdown(sockets)

    def _heard(self) -> None:
        try:
            self._channel.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self.should_exit = True


class Provider:
    """The provider as an ASGI application: POST /authorise, /capture, /void, /refund; GET /ledger; /behaviour."""

    def __init__(self, ledger: Ledger, behaviour: Behaviour, payments: tuple[str, int] | None) -> None:
        self.ledger = ledger
        self.behaviour = behaviour
        between_s: Callable[[], float] = lambda: self.behaviour.callback_s  # noqa: E731 - as it is at the time
        self.callbacks = Callbacks(ledger, payments, between_s) if payments is not None else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        body = await _body(receive)
        if method == "POST" and path[1:] in STEPS:
            await self._step(path[1:], scope, body, send)
        elif method == "GET" and path == "/ledger":
            await _answer(send, 200, self._ledger(scope["query_string"]))
        elif method in ("GET", "POST") and path == "/behaviour":
            await self._behave(body if method == "POST" else b"{}", send)
        else:
            await _answer(send, 404, _problem(404, "there is no such path"))

    async def _step(self, step: Any, scope: MutableMapping[str, Any], body: bytes, send: _Send) -> None:
        key = dict(scope["headers"]).get(b"idempotency-key", b"").decode("latin-1")
        try:
            wanted = msgspec.json.decode(body, type=_Wanted)
            if not key:
                raise KeyMisused("an Idempotency-Key header is needed")
            reply = self.ledger.perform(step, key, wanted.order_id, wanted.amount_minor, self._decline,
                                        self._telling(key))  # fmt: skip
        except (msgspec.MsgspecError, KeyMisused) as error:
            await _answer(send, 422, _problem(422, str(error)))
            return
        if reply.is_new and self.callbacks is not None:
            self.callbacks.wake()
        await self._deliver(reply, key, send)

    def _telling(self, key: str) -> Telling | None:
        if self.callbacks is None:
            return None
        return Telling(callbacks_of(self.behaviour, key), time.time() + self.behaviour.callback_s)

    async def _deliver(self, reply: Reply, key: str, send: _Send) -> None:
        """The first answer to a key may be slow or lost; a repeat is answered at once."""
        if reply.is_new:
            wait_s = answer_after_s(self.behaviour, key)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if loses_answer(self.behaviour, key):
                await send({"type": "http.response.start", "status": reply.status, "headers": _headers(reply.body)})
                raise AnswerLost(key)
        await _answer(send, reply.status, reply.body)

    def _decline(self, order_id: str) -> str | None:
        return decline_reason(self.behaviour, order_id)

    def _ledger(self, query: bytes) -> bytes:
        asked = {name: values[0] for name, values in parse_qs(query.decode("latin-1")).items()}
        return msgspec.json.encode({"accounts": self.ledger.accounts(asked.get("order_id"), asked.get("after", ""))})

    async def _behave(self, body: bytes, send: _Send) -> None:
        try:
            self.behaviour = changed(self.behaviour, msgspec.json.decode(body, type=BehaviourChange))
        except (msgspec.MsgspecError, ValueError) as error:
            await _answer(send, 422, _problem(422, str(error)))
            return
        await _answer(send, 200, msgspec.json.encode(self.behaviour))


async def _body(receive: _Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: _Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _headers(body)})
    await send({"type": "http.response.body", "body": body})


def _headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]


def _problem(status: int, detail: str) -> bytes:
    return msgspec.json.encode({"title": "the provider refuses", "status": status, "detail": detail})
