"""Which Kafka log a home belongs to: noted when it is first opened, so that a broker that lost its data is refused."""

import os
from pathlib import Path

from shop_stack.settings import Home


def noted_log(home: Home) -> str | None:
    """The log_id that was noted; None when no Kafka log was ever opened from this home."""
    try:
        return _file(home).read_text().strip() or None
    except FileNotFoundError:
        return None


def note_log(home: Home, log_id: str) -> None:
    """From now on the home belongs to this log, and every other is foreign. Raises OSError."""
    home.path.mkdir(parents=True, exist_ok=True)
    fresh = _file(home).with_name(f"kafka.log_id.{os.getpid()}")
    fresh.write_text(log_id + "\n")
    os.replace(fresh, _file(home))


def _file(home: Home) -> Path:
    return home.path / "kafka.log_id"
