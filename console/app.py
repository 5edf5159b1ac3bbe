"""The console as a Textual app: its themes, its screens, and its feed."""

import gc
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen
from textual.theme import Theme

from console.feed import Feed
from console.screens.floor import Floor, ReadOnlyFloor
from console.screens.view import FloorView
from console.widgets.lines import LOOKS
from shop_stack.settings import home_at

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
    COMPONENT_CLASSES: ClassVar[set[str]] = {*LOOKS}  # here rather than on each widget, which would style each anew
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, home: Path, *, read_only: bool = False, role: str = "operator", theme: str = "dark") -> None:
        super().__init__()
        self._home = home_at(home)
        self._read_only = read_only
        self._role = "viewer" if read_only and self._home.token("viewer").exists() else role
        self.animation_level = "none"
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.set_reactive(App.theme, THEMES[theme])  # before the first style is computed: none is computed twice
        self._looks: dict[str, Style] = {}

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The console's own colours in a theme that is not its own."""
        return {"quiet": "ansi_bright_black", "spark": "ansi_blue", "cursor-bg": "ansi_bright_black"}

    def get_default_screen(self) -> Screen[None]:
        """The floor."""
        return (ReadOnlyFloor if self._read_only else Floor)(self._feed_for)

    def _feed_for(self, floor: FloorView) -> Feed:
        return Feed(self._home, self._role, floor.post_message)

    def on_mount(self) -> None:
        """Collect garbage again once the first frame is drawn."""
        self.call_after_refresh(self._collect_again)

    def look(self, name: str) -> Style:
        """The style that the theme gives to a name of LOOKS: only what it sets itself; one for all widgets."""
        style = self._looks.get(name)
        if style is None:
            style = self._looks[name] = self.get_component_styles(name).partial_rich_style
        return style

    def refresh_css(self, animate: bool = True) -> None:
        """Another theme gives other styles."""
        self._looks.clear()
        super().refresh_css(animate)

    def _collect_again(self) -> None:
        """The start ran without garbage collection (see __main__); what it made stays for good."""
        gc.freeze()
        gc.enable()
