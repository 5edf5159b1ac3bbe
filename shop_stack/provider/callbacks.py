"""The provider's callbacks: outcomes told to payments, each until it is acknowledged, some of them twice."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from shop_stack.mesh.connection import KeptConnection
from shop_stack.provider.ledger import Callback, Ledger

PATH = "/v1/provider-callbacks"
MOST_ATTEMPTS = 12
_ANSWER_S = 3.0
_LONGEST_S = 60.0
HostAndPort = tuple[str, int]


class Callbacks:
    """Sends what the ledger has to tell to payments at `address`; on the event loop's thread.

    `between_copies_s` gives the seconds from a copy's acknowledgement to the next copy.
    """

    def __init__(self, ledger: Ledger, address: HostAndPort, between_copies_s: Callable[[], float]) -> None:
        self._ledger = ledger
        self._address = address
        self._between_copies_s = between_copies_s
        self._news = asyncio.Event()

    def wake(self) -> None:
        """The ledger has something new to tell."""
        self._news.set()

    async def run(self) -> None:
        """Tell what is due until cancelled; sleeps while there is nothing to tell."""
        while True:
            self._news.clear()
            callback = self._ledger.next_callback()
            if callback is not None and callback.due <= time.time():
                await self._tell(callback)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), callback.due - time.time() if callback else None)

    async def _tell(self, callback: Callback) -> None:
        heard = await asyncio.to_thread(post, self._address, callback.body)
        if heard:
            self._ledger.acknowledged(callback.key, time.time() + self._between_copies_s())
        elif callback.attempts + 1 >= MOST_ATTEMPTS:
            self._ledger.given_up(callback.key)
        else:
            self._ledger.unheard(callback.key, time.time() + rest_s(callback.attempts))


def rest_s(attempts: int) -> float:
    """Seconds before a callback that failed after `attempts` others is tried again: 1, doubled, at most 60."""
    return min(2.0 ** min(attempts, 16), _LONGEST_S)


def post(address: HostAndPort, body: bytes) -> bool:
    """Send one copy; whether it was acknowledged (a 2xx in time)."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: payments.mesh\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    until = time.monotonic() + _ANSWER_S
    try:
        connection = KeptConnection(address, until)
    except OSError:
        return False
    try:
        answer, _ = connection.ask(head.encode() + body, until)
    except OSError:
        return False
    finally:
        connection.close()
    return 200 <= answer.status < 300
