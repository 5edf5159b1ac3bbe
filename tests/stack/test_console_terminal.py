"""The console in a real terminal: tmux, real keys, what is really on the screen, and how it leaves."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_operations import FakeOperations, State, slow, tail_event
from tests.terminal import Terminal

pytestmark = pytest.mark.real


@pytest.fixture
def state() -> State:
    """Payments slow, an event with an exploit."""
    state = State(measure_s=0.5)
    state.change("payments", slow)
    state.events = [tail_event(1, summary=EXPLOIT)]
    return state


@pytest.fixture
def fake(tmp_path: Path, state: State) -> Iterator[FakeOperations]:
    """Operations in the shapes of the model."""
    with FakeOperations(tmp_path / "home", state) as server:
        yield server


def _open(fake: FakeOperations, columns: int, lines: int, *options: str, prefix: str = "") -> Terminal:
    words = " ".join((prefix, f"'{sys.executable}' -m console --home '{fake.home}'", *options))
    return Terminal(needs.tmux(), f"{words}; echo LEFT WITH $?; exec cat", columns, lines)


@pytest.fixture
def terminal(fake: FakeOperations) -> Iterator[Terminal]:
    """The console at 80x24."""
    terminal = _open(fake, 80, 24)
    yield terminal
    terminal.close()


def test_two_minutes_of_a_stranger(terminal: Terminal, state: State) -> None:
    """Find the slow service, scale it, read whether it helped, leave: by the keys that the screen itself names."""
    began = time.monotonic()
    terminal.until("! payments degraded", "advised: 1 → 3 replicas, press s", "s scale")
    terminal.press("s")
    terminal.until("scale payments", "1 → 3", "p95 912ms → 120ms", "Enter do it")
    terminal.press("Enter")
    terminal.until("applied in", "measuring")
    terminal.until("HELPED", "p95 fell from 912 ms to 110 ms")
    assert time.monotonic() - began < 60
    assert [(what, name, body["replicas"]) for what, name, body in state.asked] == [("scale", "payments", 3)]
    terminal.press("q")
    terminal.until("LEFT WITH 0")


def test_hostile_text_reaches_no_terminal_and_no_action(terminal: Terminal, state: State) -> None:
    screen = terminal.until("[@click=app.scale('orders',0)]Jane[")
    assert "\u202e" not in screen
    coloured = terminal.screen("-e")
    assert "\x1b[31mgnp" not in coloured
    row = next(y for y, line in enumerate(screen.splitlines()) if "@click" in line)
    terminal.click(52, row)
    terminal.press("k")
    terminal.until("shop.order.placed.v1")
    assert state.asked == []


def test_a_click_selects_a_service(terminal: Terminal) -> None:
    screen = terminal.until("recommendations ok", "live")
    row = next(y for y, line in enumerate(screen.splitlines()) if " inventory " in line)
    terminal.click(5, row)
    terminal.until("▸ inventory", "inventory is ok")


def test_at_160x48_all_is_there_and_without_colour_words_say_it(fake: FakeOperations) -> None:
    terminal = _open(fake, 160, 48, prefix="NO_COLOR=1")
    try:
        terminal.until(
            "degraded", "912ms!", "logs of payments", "replicas of payments", "gateway", "WHAT FOR", "HEALTH"
        )
    finally:
        terminal.close()


def test_ctrl_c_and_a_silent_server_leave_the_terminal_usable(terminal: Terminal, state: State) -> None:
    terminal.until("live")
    state.silent = True
    terminal.until("STALE", "operations is being restarted")
    terminal.press("q")
    terminal.until("LEFT WITH 0", seconds=5)


def test_a_picture_is_written_as_svg(fake: FakeOperations, state: State, tmp_path: Path) -> None:
    state.events = [tail_event(i) for i in range(20)]
    path = tmp_path / "console.svg"
    words = [sys.executable, "-m", "console", "--home", str(fake.home), "--screenshot", str(path), "--size", "120x36"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    svg = path.read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert "degraded" in svg
    assert "revenue" in svg
