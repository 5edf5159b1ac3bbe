"""A process's log: JSON lines on stdout, which hold no personal data and no tokens."""

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType

from shop_stack.errors import ShopfloorError

_OURS = ("shop_stack", "analytics", "dashboard", "__main__")
log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """One JSON object a record. Of a foreign error only its type and frames are told: its words may quote data."""

    def __init__(self, replica: str) -> None:
        super().__init__()
        self._replica = replica

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of ASCII, so that no word from data reaches a terminal as a control character."""
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
        return json.dumps(line, separators=(",", ":")).replace("\x7f", "\\u007f")


def words_of(error: BaseException) -> str:
    """An error's type, and its sentence when it is one of ours."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, ShopfloorError) else name


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)[-12:]]


def write_json_lines(replica: str) -> None:
    """Send this process's log to stdout as JSON lines, from INFO up (libraries from WARNING).

    An error that nobody caught, on whichever thread, is such a line too, and so is a warning of Python's.
    """
    logging.captureWarnings(True)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(replica))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_on_a_thread


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        log.critical("an error that nobody caught ends the process", exc_info=(kind, error, trace))


def _uncaught_on_a_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None and isinstance(told.exc_value, Exception):
        trace = (told.exc_type, told.exc_value, told.exc_traceback)
        log.critical("an error that nobody caught ends a thread", exc_info=trace)
