"""The demo's drill sheet: what a story asks of the live shoppers and of a service, as one file in the home folder."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec

from shop_stack.settings import Home


class Drill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`shoppers` multiplies the arrival rate; `delays_s` makes each request of a service hold its worker longer."""

    story: str = "none"
    shoppers: float = 1.0
    delays_s: dict[str, float] = {}


def drill_path(home: Home) -> Path:
    """Where the sheet lies; absent when no story plays."""
    return home.path / "drill.json"


def read_drill(home: Home) -> Drill:
    """The sheet in force; an absent or torn one asks for nothing."""
    try:
        return msgspec.json.decode(drill_path(home).read_bytes(), type=Drill)
    except (OSError, msgspec.MsgspecError):
        return Drill()


def write_drill(home: Home, drill: Drill) -> None:
    """Put a sheet in force by rename."""
    fresh = drill_path(home).with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(drill))
    os.replace(fresh, drill_path(home))


class Holding:
    """Makes requests of a drilled service hold a worker as long as the sheet says, before they are handled."""

    def __init__(self, home: Home, pool: Executor) -> None:
        self._home = home
        self._pool = pool
        self._sheet = Drill()
        self._read_at = -1.0

    def before(self, service: str) -> Callable[[Any], Awaitable[None]]:
        """A hook for the service's routes; it looks at the sheet once a second at most."""

        async def hold(request: Any) -> None:
            delay = self._delays().get(service, 0.0)
            if delay > 0:
                await asyncio.get_running_loop().run_in_executor(self._pool, time.sleep, delay)

        return hold

    def _delays(self) -> dict[str, float]:
        now = time.monotonic()
        if now - self._read_at >= 1.0:
            self._sheet, self._read_at = read_drill(self._home), now
        return self._sheet.delays_s
