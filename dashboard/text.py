"""Text from data made safe for a page: no markdown, no control characters, bounded in length."""

import re
import unicodedata

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:@&])")
_MOST = 400


def clean(text: object) -> str:
    """Plain text without control or direction characters, at most 400 characters: for tables and charts."""
    visible = "".join(c for c in str(text) if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs"))
    return visible if len(visible) <= _MOST else visible[: _MOST - 1] + "…"


def escaped(text: object) -> str:
    """`clean`, with markdown's special characters escaped: for every place where Streamlit reads markdown."""
    return _MARKDOWN.sub(r"\\\1", clean(text))
