"""What is watched while a runtime is on trial: callers and their answers, and what befalls the replicas."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from shop_stack.mesh.envoy import EnvoyFiles
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.interface import Replica
from shop_stack.settings import Place

PATIENCE_S = 120.0
HOT = "catalog"
"""The group that callers ask while it is scaled."""
_TICK_S = 0.005


class Trial(Protocol):
    """A stack whose runtime is on trial."""

    @property
    def runtime(self) -> SupervisorRuntime:
        """The runtime, over its socket."""

    @property
    def socket(self) -> Path:
        """That socket."""

    @property
    def mesh(self) -> EnvoyFiles:
        """The gateway's files."""

    @property
    def door(self) -> str:
        """The gateway's listener for trials, which lets each caller have an address."""

    @property
    def inner_door(self) -> str:
        """The gateway's listener for services."""

    def pid(self, replica: str) -> int:
        """The process that bears this replica now, as this machine knows it; 0 for none."""

    def kill_runtime(self) -> None:
        """kill -9 the runtime, and have it started again."""


def until(holds: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The first true answer; fails when none comes in time."""
    deadline = time.monotonic() + patience_s
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {patience_s:g} s"
        time.sleep(0.05)
    return answer


class Callers:
    """Keep asking the catalog through the gateway, an address each, and note every answer."""

    def __init__(self, door: str) -> None:
        self._url = f"{door}/v1/products"
        self._over = threading.Event()
        self.statuses: list[int] = []
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(3)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.statuses) >= 5)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        with httpx.Client(timeout=10, trust_env=False) as client:
            while not self._over.is_set():
                headers = {"x-forwarded-for": f"198.51.{number}.{len(self.statuses) % 250}"}
                self.statuses.append(client.get(self._url, headers=headers).status_code)
                self._over.wait(0.02)


class Held:
    """Requests that services are in the middle of: their last byte is sent on `release`."""

    def __init__(self, inner_door: str, how_many: int) -> None:
        place = urlsplit(inner_door)
        self._sockets = [socket.create_connection((place.hostname, place.port), 10) for _ in range(how_many)]
        for number, one in enumerate(self._sockets):
            one.sendall(
                f"POST /v1/products HTTP/1.1\r\nHost: {HOT}.mesh\r\nContent-Type: application/json\r\n"
                f"Idempotency-Key: held-{number}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{".encode()
            )

    def release(self) -> list[int]:
        """The statuses of the answers; 0 for none."""
        for one in self._sockets:
            one.sendall(b"}")
        statuses = []
        for one in self._sockets:
            with contextlib.closing(one), one.makefile("rb") as answer:
                words = answer.readline().split()
                statuses.append(int(words[1]) if len(words) > 1 else 0)
        return statuses


@dataclass
class Watch:
    """What befalls the replicas of HOT, in order: their marks in the gateway's endpoint file, and their ends.

    A replica's first mark is preceded by what it answered on /readyz at that moment.
    """

    trial: Trial
    stories: dict[Place, list[str]] = field(default_factory=dict)
    _pids: dict[Place, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look_on)
        self._thread.start()
        until(lambda: self.stories)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def follow(self, replicas: list[Replica]) -> None:
        """Note the ends of these too."""
        self._pids |= {one.place: self.trial.pid(one.name) for one in replicas}

    def _look_on(self) -> None:
        while not self._over.is_set():
            marks = self._marks()
            for place in marks.keys() | self.stories.keys():
                self._note(place, marks.get(place, "out"))
            for place, pid in [*self._pids.items()]:
                if not Path(f"/proc/{pid}").exists():
                    self._note(place, "ended")
                    del self._pids[place]
            self._over.wait(_TICK_S)

    def _note(self, place: Place, what: str) -> None:
        story = self.stories.setdefault(place, [])
        if not story:
            story.append(readyz(place))
        if what not in (story[-1], [word for word in story if word != "ended"][-1]):
            story.append(what)

    def _marks(self) -> dict[Place, str]:
        assigned = json.loads(self.trial.mesh.endpoint_file(HOT).read_text())["resources"][0]["endpoints"]
        return {(a["address"], a["port_value"]): one["health_status"]
                for locality in assigned for one in locality["lb_endpoints"]
                for a in [one["endpoint"]["address"]["socket_address"]]}  # fmt: skip


def readyz(place: Place) -> str:
    """What a replica answers there, or what went wrong."""
    try:
        with contextlib.closing(http.client.HTTPConnection(*place, timeout=2)) as connection:
            connection.request("GET", "/readyz")
            return f"readyz {connection.getresponse().status}"
    except OSError as error:
        return f"readyz {error}"
