"""A replica's log: JSON lines on stderr, which hold no personal data and no tokens."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

import msgspec

from shop_stack.errors import ShopfloorError


class JsonLines(logging.Formatter):
    """One JSON object a record. Of a foreign error only its type and frames are told: its words may quote data."""

    def __init__(self, replica: str) -> None:
        super().__init__()
        self._replica = replica

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "replica": self._replica,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = words_of(record.exc_info[1])
            line["frames"] = _frames(record.exc_info[2])
        return msgspec.json.encode(line).decode()


def words_of(error: BaseException) -> str:
    """An error's type, and its sentence when it is one of ours."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, ShopfloorError) else name


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)[-12:]]


def write_json_lines(replica: str) -> None:
    """Send this process's log to stderr as JSON lines, from INFO up (libraries from WARNING)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(replica))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("shop_stack").setLevel(logging.INFO)
