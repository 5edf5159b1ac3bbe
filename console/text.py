"""Makes data safe to show: the one function through which every word from outside reaches the screen.

Text from data is untrusted. Three things can go wrong with it in a terminal: Textual reads `[...]` as markup
that may carry an action, control characters drive the terminal itself, and bidirectional or invisible
characters make text look like other text. `safe` removes the last two; the screens draw plain segments (or
`content`), which are never parsed for markup.
"""

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from textual.content import Content

_SPACES = re.compile("[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: escapes, bells, cursor moves
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, overrides and isolates
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff9-\uffff\ud800-\udfff"  # interlinear marks, non-characters, lone surrogates
    "\U000e0000-\U000e0fff"  # tags
    "]"
)
_MARK = "·"
_PILED = re.compile("([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{2})"
                    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")  # fmt: skip


def safe(data: object, limit: int = 4000) -> str:
    """`data` as one line of at most `limit` characters: no control, bidirectional or invisible character.

    White space of several lines becomes one blank, every other unsafe character a visible `·`.
    """
    text = str(data)[:limit]
    if text.isascii() and text.isprintable():
        return text
    return _PILED.sub(r"\1", _UNSAFE.sub(_MARK, _SPACES.sub(" ", text)))


def content(data: object) -> "Content":
    """`data` for a widget that would otherwise parse markup: safe, and taken literally."""
    from textual.content import Content

    return Content(safe(data))


def fit(text: str, width: int, align: str = "left") -> str:
    """`text` in exactly `width` cells: padded on one side, or cut with an ellipsis. `align`: left or right."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    padding = " " * (width - length)
    return padding + text if align == "right" else text + padding
