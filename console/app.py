"""The console as a Textual app: its themes, its screens, and its feed."""

import gc
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen
from textual.theme import Theme

from console.feed import Feed
from console.screens.floor import Floor, ReadOnlyFloor
from console.screens.view import FloorView
from shop_stack.settings import Home

DARK = Theme(
    name="shopfloor-dark", primary="#7aa2f7", secondary="#73daca", accent="#7dcfff", success="#9ece6a",
    warning="#e0af68", error="#ff7a93", foreground="#d5d9e8", background="#14161c", surface="#14161c",
    panel="#242833", dark=True, variables={"quiet": "#8b93a8", "spark": "#5b78b0", "cursor-bg": "#2f3a56"},
)  # fmt: skip
LIGHT = Theme(
    name="shopfloor-light", primary="#1d4fa8", secondary="#00695c", accent="#00588a", success="#23691f",
    warning="#8a5300", error="#b3122f", foreground="#1c1f26", background="#fbfbfa", surface="#fbfbfa",
    panel="#e6e8ec", dark=False, variables={"quiet": "#5b6270", "spark": "#6d8fc9", "cursor-bg": "#cfdcf5"},
)  # fmt: skip
THEMES = {"dark": DARK.name, "light": LIGHT.name, "terminal": "ansi-dark"}


class ConsoleApp(App[None]):
    """Operates the stack of one home folder. `read_only` binds no key that changes it."""

    TITLE = "Shopfloor"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, home: Path, *, read_only: bool = False, role: str = "operator", theme: str = "dark") -> None:
        super().__init__()
        self._home = Home(home)
        self._read_only = read_only
        self._role = "viewer" if read_only and Home(home).token("viewer").exists() else role
        self._look = THEMES[theme]
        self.animation_level = "none"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The console's own colours in a theme that is not its own."""
        return {"quiet": "ansi_bright_black", "spark": "ansi_blue", "cursor-bg": "ansi_bright_black"}

    def get_default_screen(self) -> Screen[None]:
        """The floor."""
        return (ReadOnlyFloor if self._read_only else Floor)(self._feed_for)

    def _feed_for(self, floor: FloorView) -> Feed:
        return Feed(self._home, self._role, floor.post_message)

    def on_mount(self) -> None:
        """Put the theme on."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = self._look
        self.call_after_refresh(self._collect_again)

    def _collect_again(self) -> None:
        """The start ran without garbage collection (see __main__); what it made stays for good."""
        gc.freeze()
        gc.enable()
