"""A process's log holds JSON lines, and no word of a foreign error."""

import json
import logging
import sys

import pytest

from shop_stack.errors import Conflict, ShopfloorError
from shop_stack.logs import JsonLines, words_of

pytestmark = pytest.mark.pure


def line_of(error: Exception) -> dict[str, object]:
    """What the log says of an error."""
    try:
        raise error
    except type(error):
        caught = sys.exc_info()
    record = logging.LogRecord("shop_stack.x", logging.ERROR, "x.py", 1, "%s failed", ("GET /v1/me",), caught)
    line: dict[str, object] = json.loads(JsonLines("orders-1").format(record))
    return line


def test_a_line_tells_replica_level_and_message() -> None:
    line = line_of(ValueError("jane@example.com"))
    assert (line["replica"], line["level"], line["message"]) == ("orders-1", "error", "GET /v1/me failed")
    assert str(line["at"]).endswith("+00:00")


def test_a_foreign_errors_words_stay_out() -> None:
    line = line_of(ValueError("jane@example.com"))
    assert line["error"] == "ValueError"
    assert "jane" not in json.dumps(line)
    assert "test_logs.py" in json.dumps(line["frames"])


def test_our_own_errors_speak() -> None:
    assert words_of(Conflict("the order has moved on")) == "Conflict: the order has moved on"
    assert issubclass(Conflict, ShopfloorError)


@pytest.mark.parametrize("word", ["two\nlines", "\x1b[2J", "\x9b31m", "\x7f\x00", "\u202ereversed", "half \udc80"])
def test_a_word_from_data_stays_on_its_line_and_moves_no_terminal(word: str) -> None:
    record = logging.LogRecord("shop_stack.x", logging.INFO, "x.py", 1, "%s", (word,), None)
    line = JsonLines("orders-1").format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == word
