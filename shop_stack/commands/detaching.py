"""`shopfloor up --detach`: a supervisor in a session of its own, followed until it is ready."""

import asyncio
import os
import subprocess
import sys
import time
from typing import IO

from shop_stack.commands.frame import print_json
from shop_stack.commands.past import make_past_apart
from shop_stack.commands.screens import StartScreen
from shop_stack.commands.status import summary
from shop_stack.errors import HomeInUse, NotRunning, SettingError, ShopfloorError
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.settings import Settings, from_environment, to_environment

READY_S = 120.0
_KINDS = {kind.__name__: kind for kind in (HomeInUse, SettingError, NotRunning)}


def start_detached(settings: Settings, *, as_json: bool) -> int:
    """Start, wait until ready, print the addresses (or the status as JSON). Raises what the supervisor raised."""
    screen = StartScreen(quiet=as_json)
    try:
        _follow(settings, screen)
        runtime = SupervisorRuntime(settings.home)
        running = from_environment({"SHOPFLOOR_SETTINGS": (settings.home.path / "settings.json").read_text()})
        if settings.demo:
            asyncio.run(make_past_apart(running, screen.past))
            runtime.start("shoppers")
        if as_json:
            print_json(summary(settings.home, runtime.observe()))
        else:
            screen.addresses(running)
    finally:
        screen.close()
    return 0


def _follow(settings: Settings, screen: StartScreen) -> None:
    """Hear the supervisor until it says `ready`."""
    settings.home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = ReplicaLogs(settings.home.replica_logs).open("supervisor")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "shop_stack.runtime.detached", str(writing)],
        env=os.environ | to_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[writing],
        start_new_session=True,
    )
    os.close(writing)
    os.close(log)
    with os.fdopen(reading) as lines:
        if not _heard_ready(lines, screen):
            code = process.wait(5)
            raise ShopfloorError(f"the supervisor ended (exit code {code}); see {settings.home.replica_logs}")


def _heard_ready(lines: IO[str], screen: StartScreen) -> bool:
    deadline = time.monotonic() + READY_S
    last = ""
    for line in lines:
        kind, _, text = line.rstrip("\n").partition("\t")
        if kind in _KINDS:
            raise _KINDS[kind](text)
        screen.hear(kind, text)
        last = text if kind == "change" else last
        if kind == "ready":
            return True
        if time.monotonic() > deadline:
            raise ShopfloorError(f"not ready after {READY_S:g} s ({last}); it goes on trying: see shopfloor status")
    return False
