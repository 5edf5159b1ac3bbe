"""What `shopfloor up` shows: progress while things start, then where they answer."""

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from shop_stack.commands.frame import typed
from shop_stack.settings import Settings
from shop_stack.stack import read_stack


class StartScreen:
    """The screen of one start. On a pipe it writes plain lines; `quiet` writes nothing (JSON is wanted)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=quiet, quiet=quiet and not sys.stderr.isatty())
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._started = False

    def hear(self, kind: str, text: str) -> None:
        """What the supervisor says."""
        if kind == "change" and not self._started:
            self._show_change(text)
        elif kind == "ready":
            self._started = True
            self.close()
            self._console.print(Text("ready", style="bold green"))
        elif kind in ("note", "moved"):
            self._console.print(Text(text, style="yellow"))
        elif kind == "stopping":
            self.close()
            self._console.print(Text("stopping: the door first, then the services"))

    def past(self, done: int, whole: int) -> None:
        """Progress of the demo's past, in days."""
        self._advance("making a past: simulated orders and samples", done, whole)

    def addresses(self, settings: Settings) -> None:
        """The last screen: where everything answers, and what to do next."""
        self.close()
        at = {part: f"http://127.0.0.1:{port}" for part, port in settings.ports.items()}
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_row("shop", Text(f"{_gateway(settings)}   {read_stack(settings.stack_file).name}"))
        if settings.dashboard:
            table.add_row("dashboard", Text(at["dashboard"]))
        table.add_row("console", Text(typed("console", settings.home), style="bold"))
        table.add_row("token", Text(f"{settings.home.token('operator')}"))
        table.add_row("stop", Text(f"Ctrl-C here, or: {typed('down', settings.home)}"))
        self._console.print(table)
        if settings.bind not in ("127.0.0.1", "::1"):
            self._console.print(Text(exposure_note(settings), style="yellow"))

    def close(self) -> None:
        """Take the progress bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show_change(self, text: str) -> None:
        count, _, waiting = text.partition(" ")
        done, _, whole = count.partition("/")
        self._advance(f"starting: waiting for {waiting}" if waiting else "started", int(done), int(whole))

    def _advance(self, what: str, done: int, whole: int) -> None:
        if not self._console.is_terminal:
            return
        if self._bar is None:
            columns = (SpinnerColumn(), BarColumn(20), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
            self._bar = Progress(*columns, TextColumn("{task.description}"), console=self._console, transient=True)
            self._task = self._bar.add_task("", total=whole)
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, description=what[:60], completed=done, total=whole)


def exposure_note(settings: Settings) -> str:
    """What an address beyond loopback means."""
    return (
        f"The gateway answers on {settings.bind} in plain HTTP: every route but the public ones needs a token, but "
        f"tokens travel readable; put TLS in front. The dashboard and everything else stay on loopback."
    )


def _gateway(settings: Settings) -> str:
    return f"http://{settings.bind}:{settings.ports['gateway']}"
