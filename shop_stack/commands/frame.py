"""What every command shares: its arguments' form, exit codes, the settings of the running stack, and its output."""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from shop_stack import errors
from shop_stack.errors import ActionRefused, NotRunning, ShopfloorError
from shop_stack.settings import Home, Settings, default_home, from_environment, home_at

Subparsers = Any
EXIT_CODES = """exit codes:
  0  done
  1  it failed; the sentence on standard error says why
  2  an argument or a setting is wrong
  3  nothing runs on this home (or a part of it does not answer)
  4  the home is in use by another supervisor
  5  refused: out of bounds, no permission, or a file that cannot be imported
  130  interrupted"""
_CODES: dict[type[ShopfloorError], int] = {
    errors.SettingError: 2,
    errors.NotRunning: 3,
    errors.HomeInUse: 4,
    errors.AccessDenied: 5,
    errors.ActionRefused: 5,
    errors.ImportRefused: 5,
}


def exit_code(error: ShopfloorError) -> int:
    """The documented exit code of an error."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)


def parser_of(subparsers: Subparsers, name: str, purpose: str, examples: str, run: Any) -> argparse.ArgumentParser:
    """A command's parser with `--home` and examples under its help; `run(arguments)` answers the exit code."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=f"examples:\n{examples}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--home", metavar="FOLDER", help=f"the stack's home folder (default: {default_home()})")
    parser.set_defaults(run=run)
    return parser


def takes_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="answer in JSON on standard output")


def home_of(arguments: argparse.Namespace) -> Home:
    """The home folder that the arguments, SHOPFLOOR_HOME or the platform name."""
    return home_at((Path(arguments.home).expanduser() if arguments.home else default_home()).resolve())


def running_settings(home: Home) -> Settings:
    """The settings of the stack that runs on this home, ports included. Raises NotRunning."""
    try:
        text = (home.path / "settings.json").read_text()
    except OSError:
        message = f"nothing has run on {home.path}; start it with: shopfloor up --home {home.path}"
        raise NotRunning(message) from None
    return replace(from_environment({"SHOPFLOOR_SETTINGS": text}), home=home)


def in_container(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is in a container of a stack that Compose runs."""
    return bool(environment.get("SHOPFLOOR_PLACES"))


def asks_operations(home: Home) -> bool:
    """Whether the runtime's socket is not shared with this container: operations, which has it, is asked instead."""
    return in_container() and not home.supervisor_socket.exists()


def left_to_compose(instead: str) -> None:
    """Raise ActionRefused in a container: `instead` is what is typed outside of it."""
    if in_container():
        raise ActionRefused(f"Compose runs this stack; outside of this container type: {instead}")


def typed(words: str, home: Home) -> str:
    """`shopfloor WORDS` as it can be typed where this command was: by its path when a shell would not find its name,
    with the home folder unless that is the default."""
    called = "shopfloor" if shutil.which("shopfloor") or Path(sys.argv[0]).name != "shopfloor" else sys.argv[0]
    folder = "" if home.path == default_home().resolve() else f" --home {shlex.quote(str(home.path))}"
    return f"{shlex.quote(called)} {words}{folder}"


def print_json(answer: Any) -> None:
    """Write an answer for programs."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")


def plain(text: str) -> str:
    """Text from logs and data without control characters, so that it cannot steer the terminal."""
    return "".join(c if c == "\t" or (c.isprintable()) else "�" for c in text)
