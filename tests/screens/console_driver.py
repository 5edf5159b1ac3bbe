"""Drives the console in tests: opens it on a home folder, waits for words, reads the screen."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.screens.floor import Floor


def shown(app: ConsoleApp) -> str:
    """What the terminal shows."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[None], holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition; fail with the screen when it does not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"did not come within {seconds:.0f} s:\n{shown(pilot.app)}")  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
        await pilot.pause()


@asynccontextmanager
async def console(
    home: Path, size: tuple[int, int] = (80, 24), wait: str = "payments", **options: Any
) -> AsyncIterator[tuple[ConsoleApp, Pilot[None]]]:
    """The console at work, once `wait` can be read on it."""
    app = ConsoleApp(home, **options)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: wait in shown(app))
        yield app, pilot


def says(app: ConsoleApp, *words: str) -> Callable[[], bool]:
    """Whether all these words are on the screen."""
    return lambda: all(word in shown(app) for word in words)


def floor_of(app: ConsoleApp) -> Floor:
    floor = app.screen_stack[0]
    assert isinstance(floor, Floor)
    return floor
