"""A replica's front: a full one refuses at once, and its own pages always answer."""

import asyncio
from typing import Any

import pytest

from shop_stack.hosting.http import MOST_AT_ONCE, Front, Requests, json_page

pytestmark = pytest.mark.pure


async def ask(front: Front, path: str) -> int:
    """The status that the front answers."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await front({"type": "http", "path": path, "headers": []}, receive, send)
    return int(sent[0]["status"])


async def test_a_full_replica_refuses_and_recovers() -> None:
    held = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await held.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    front = Front(slow, {"/livez": lambda: json_page(200, {})}, Requests())
    waiting = [asyncio.create_task(ask(front, "/v1/pages")) for _ in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)
    assert await ask(front, "/v1/pages") == 503
    assert await ask(front, "/livez") == 200
    held.set()
    assert set(await asyncio.gather(*waiting)) == {200}
    assert await ask(front, "/v1/pages") == 200
