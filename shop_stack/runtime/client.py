"""The runtime as seen from other processes: a supervisor asked over the socket in its home folder."""

import socket
from typing import TypeVar

import msgspec

from shop_stack import errors
from shop_stack.errors import NotRunning, ShopfloorError
from shop_stack.runtime.interface import Observation
from shop_stack.runtime.protocol import Reply, Request
from shop_stack.runtime.sockets import reachable
from shop_stack.settings import Home

T = TypeVar("T")
QUICK_S = 10.0
ACTION_S = 180.0


class SupervisorRuntime:
    """Implements interface.Runtime for processes of this machine. Thread-safe: each call has its own connection."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def observe(self) -> Observation:
        """See interface.Runtime."""
        return self._ask(Request(do="observe"), Observation, QUICK_S)

    def scale(self, group: str, replicas: int) -> None:
        """See interface.Runtime."""
        self._ask(Request(do="scale", group=group, replicas=replicas), None, ACTION_S)

    def restart(self, group: str, replica: str | None = None) -> None:
        """See interface.Runtime; `group` may be a part."""
        self._ask(Request(do="restart", group=group, replica=replica), None, ACTION_S)

    def logs(self, group: str, replica: str | None = None, lines: int = 200) -> list[str]:
        """See interface.Runtime."""
        return self._ask(Request(do="logs", group=group, replica=replica, lines=lines), list[str], QUICK_S)

    def start(self, part: str) -> None:
        """Start a part that waits to be told (the demo's shoppers wait for something to buy)."""
        self._ask(Request(do="start", group=part), None, QUICK_S)

    def stop(self) -> None:
        """Ask the supervisor to stop everything; it answers at once and then stops."""
        self._ask(Request(do="stop"), None, QUICK_S)

    def _ask(self, request: Request, kind: type[T] | None, timeout_s: float) -> T:
        reply = msgspec.json.decode(self._exchange(msgspec.json.encode(request), timeout_s), type=Reply)
        if reply.error is not None:
            known = getattr(errors, reply.error, ShopfloorError)
            raise known(reply.message)
        return msgspec.json.decode(reply.result, type=kind)

    def _exchange(self, line: bytes, timeout_s: float) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
                channel.settimeout(timeout_s)
                with reachable(self._home.supervisor_socket) as name:
                    channel.connect(name)
                channel.sendall(line + b"\n")
                with channel.makefile("rb") as answer:
                    reply = answer.readline()
        except OSError as error:
            raise NotRunning(
                f"no supervisor answers on {self._home.path} ({error.strerror or error}); "
                f"start it with: shopfloor up --home {self._home.path}"
            ) from error
        if not reply:
            raise NotRunning(f"the supervisor on {self._home.path} went away; start it with: shopfloor up")
        return reply
