"""A real terminal for the console: tmux, real keys, what is really on the screen."""

import subprocess
import time
import uuid
from collections.abc import Callable
from typing import Any


class Terminal:
    """One tmux server of its own, with one window."""

    def __init__(self, tmux: str, command: str, columns: int, lines: int) -> None:
        self._tmux = [tmux, "-L", f"shopfloor-test-{uuid.uuid4().hex[:8]}", "-f", "/dev/null"]
        self._run("new-session", "-d", "-x", str(columns), "-y", str(lines), command)

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    def screen(self, *options: str) -> str:
        """What is on the screen; `-e` with colours."""
        return self._run("capture-pane", "-p", *options)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names."""
        self._run("send-keys", *keys)

    def click(self, x: int, y: int) -> None:
        """Press and release the left button, as an SGR mouse report."""
        self._run("send-keys", "-l", f"\x1b[<0;{x + 1};{y + 1}M\x1b[<0;{x + 1};{y + 1}m")

    def until(self, *words: str, seconds: float = 20.0) -> str:
        """Wait until all these words are on the screen."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if all(word in screen for word in words):
                return screen
            assert time.monotonic() < deadline, f"{words} did not come:\n{screen}"
            time.sleep(0.05)

    def until_changed(self, tells: Callable[[str], Any], before: Any, seconds: float = 20.0) -> Any:
        """Wait until what `tells` reads off the screen is neither None nor what it was before."""
        deadline = time.monotonic() + seconds
        while (now := tells(self.screen())) in (None, before):
            assert time.monotonic() < deadline, f"still {before!r}:\n{self.screen()}"
            time.sleep(0.05)
        return now

    def close(self) -> None:
        """End this server and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=20, check=False)
