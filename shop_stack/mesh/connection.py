"""One kept HTTP/1.1 connection for calls between services: a request out, an answer in, before a deadline.

The standard client reads headers with the e-mail parser, which costs more than the rest of a call.
"""

import socket
import time

from httptools import HttpParserError, HttpResponseParser

from shop_stack.hosting.service import Answer

_CHUNK = 65536


class BrokenAnswer(OSError):
    """The other side closed, or spoke no HTTP."""


class Unanswered(BrokenAnswer):
    """The other side closed before the first byte of an answer, as it does with a connection that was idle too long."""


class KeptConnection:
    """A connection to one address. Not thread-safe. After any error it is of no more use: close it."""

    def __init__(self, address: tuple[str, int], until: float) -> None:
        self._socket = socket.create_connection(address, left(until))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, until: float) -> tuple[Answer, bool]:
        """Send a request; its answer, and whether the connection may be used again.

        Raises TimeoutError past `until` (monotonic seconds), OSError when the connection or the answer breaks.
        """
        self._socket.settimeout(left(until))
        self._socket.sendall(request)
        reading = _Reading()
        while not reading.complete:
            self._socket.settimeout(left(until))
            reading.feed(self._socket.recv(_CHUNK))
        return Answer(reading.status, b"".join(reading.body)), reading.keep

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class _Reading:
    """One answer on its way in."""

    def __init__(self) -> None:
        self.status = 0
        self.body: list[bytes] = []
        self.complete = False
        self.keep = False
        self._begun = False
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what has arrived; nothing means that the other side has closed."""
        if not data:
            kind = BrokenAnswer if self._begun else Unanswered
            raise kind("the connection was closed before the answer was complete")
        self._begun = True
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise BrokenAnswer(f"no HTTP: {error}") from error

    def on_headers_complete(self) -> None:
        """For httptools."""
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """For httptools."""
        self.body.append(body)

    def on_message_complete(self) -> None:
        """For httptools."""
        self.complete = True
        self.keep = self._parser.should_keep_alive()


def left(until: float) -> float:
    """Seconds until then; raises TimeoutError when there are none."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
