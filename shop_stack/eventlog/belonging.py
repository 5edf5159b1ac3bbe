"""Which Kafka log a home belongs to: noted when it is first opened, so that a broker that lost its data is refused.

And which empty one is being filled from the home's outboxes, so that a start that was killed meanwhile is gone on with.
"""

import os
from pathlib import Path

from shop_stack.settings import Home


def noted_log(home: Home) -> str | None:
    """The log_id that was noted; None when no Kafka log was ever opened from this home."""
    return _read(_file(home))


def note_log(home: Home, log_id: str) -> None:
    """From now on the home belongs to this log, and every other is foreign. Raises OSError."""
    _write(_file(home), log_id)
    _rebuild_file(home).unlink(missing_ok=True)


def noted_rebuild(home: Home) -> str | None:
    """The log_id of the log that is being filled from the outboxes; None when none is."""
    return _read(_rebuild_file(home))


def note_rebuild(home: Home, log_id: str) -> None:
    """This log, empty until now, is being filled from the outboxes, until it is noted as the home's. Raises OSError."""
    _write(_rebuild_file(home), log_id)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def _write(path: Path, log_id: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(log_id + "\n")
    os.replace(fresh, path)


def _file(home: Home) -> Path:
    return home.path / "kafka.log_id"


def _rebuild_file(home: Home) -> Path:
    return home.path / "kafka.rebuilding"
