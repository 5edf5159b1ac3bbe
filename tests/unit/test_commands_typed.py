"""The command that a screen tells to type can be typed as it stands."""

import sys
from pathlib import Path

import pytest

from shop_stack.commands.frame import typed
from shop_stack.settings import Home, default_home

pytestmark = pytest.mark.pure


def test_a_command_that_the_shell_does_not_find_is_told_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/shopfloor", "up"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert typed("console", Home(Path("/tmp/my shop"))) == ".venv/bin/shopfloor console --home '/tmp/my shop'"


def test_a_command_on_the_path_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "shopfloor"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [".venv/bin/shopfloor", "up"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert typed("down", Home(default_home().resolve())) == "shopfloor down"


def test_a_module_that_was_run_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/site/shop_stack/__main__.py", "up"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert typed("console", Home(default_home().resolve())) == "shopfloor console"
