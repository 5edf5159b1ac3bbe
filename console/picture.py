"""Writes a picture of the running console as SVG: connects, waits for data, writes and leaves."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from console.app import ConsoleApp
from console.screens.view import FloorView

PATIENCE_S = 15.0


def take(app: ConsoleApp, path: Path, size: tuple[int, int]) -> int:
    """Write the picture to `path`; 1 when no data came within PATIENCE_S (the picture is written all the same)."""
    full = False

    async def when_full(pilot: Pilot[Any]) -> None:
        nonlocal full
        full = await _filled(app)
        await pilot.pause(0.6)
        path.write_text(app.export_screenshot(title="shopfloor console"), encoding="utf-8")
        app.exit()

    app.run(headless=True, size=size, auto_pilot=when_full)
    if not full:
        print(f"no data within {PATIENCE_S:.0f} s; {path} shows what there was", file=sys.stderr)
    return 0 if full else 1


async def _filled(app: ConsoleApp) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        floor = app.screen
        if isinstance(floor, FloorView) and floor.reading.view and floor.signs.rows and len(floor.tail.rows) > 5:
            return True
        await asyncio.sleep(0.2)
    return False
