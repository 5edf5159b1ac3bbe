"""What processes of a stack say is JSON lines on stdout, an error that nobody caught too; nothing goes to stderr."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shop_stack.settings import Home, Settings, to_environment

pytestmark = pytest.mark.embedded
ENDS_S = 60


def said(*words: str, settings: Settings | None = None) -> tuple[int, list[dict[str, Any]], str]:
    """A process's exit code, what it said on stdout line by line, and its stderr."""
    environment = {**os.environ, **(to_environment(settings) if settings is not None else {})}
    ours, theirs = os.pipe()  # a supervisor's, which stays open
    try:
        done = subprocess.run(
            [sys.executable, *words],
            env=environment, stdin=ours, capture_output=True, text=True, timeout=ENDS_S, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_analytics_says_why_it_cannot_begin(tmp_path: Path) -> None:
    settings = Settings(home=Home(tmp_path))
    settings.home.warehouse.mkdir(parents=True)
    code, lines, errors = said("-m", "analytics", settings=settings)
    assert (code, errors) == (1, "")
    assert (lines[-1]["replica"], lines[-1]["level"]) == ("analytics", "error")
    assert "cannot open the warehouse" in lines[-1]["message"]


def test_a_replica_says_that_its_group_is_none(tmp_path: Path) -> None:
    code, (line,), errors = said("-m", "shop_stack.hosting", "a\nb", settings=Settings(home=Home(tmp_path)))
    assert (code, errors) == (2, "")
    assert "has no group" in line["message"]


@pytest.mark.parametrize("where", ["process", "thread"])
def test_an_error_that_nobody_caught_is_a_line_without_its_words(where: str) -> None:
    script = (
        "import sys, threading\n"
        "from shop_stack.logs import write_json_lines\n"
        "def fail(): raise ValueError('jane@example.com')\n"
        "write_json_lines('orders-1')\n"
        "if sys.argv[1] == 'process': fail()\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
    )
    _, (line,), errors = said("-c", script, where)
    assert errors == ""
    assert (line["level"], line["error"]) == ("critical", "ValueError")
    assert where in line["message"]
    assert "jane" not in json.dumps(line)


def test_a_warning_of_pythons_is_a_line_too() -> None:
    script = (
        "import warnings\n"
        "from shop_stack.logs import write_json_lines\n"
        "write_json_lines('orders-1')\n"
        "warnings.warn('old\\nways', stacklevel=1)\n"
    )
    code, (line,), errors = said("-c", script)
    assert (code, errors, line["level"]) == (0, "", "warning")
    assert "UserWarning: old\nways" in line["message"]
