"""`shopfloor audit`: holds the books against each other and says what is lost, doubled or left behind."""

import argparse
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from shop_stack.commands.frame import (
    Subparsers,
    asks_operations,
    home_of,
    left_to_compose,
    parser_of,
    plain,
    print_json,
    running_settings,
    takes_json,
)
from shop_stack.errors import NotRunning, SettingError
from shop_stack.settings import SQLITE, Home, Settings, settings_from

if TYPE_CHECKING:
    from shop_stack.operations.audit import Report

_EXAMPLES = """  shopfloor audit
  shopfloor audit --json | jq '.invariants[] | select(.status == "violated")'
  shopfloor audit --strict             after a drain: nothing counts as in flight any more"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "audit", "audit the books: nothing lost, nothing doubled", _EXAMPLES, run)
    parser.add_argument("--strict", action="store_true", help="count what is still in flight as violated")
    absent = "look in every file of the home for each line of this file: bytes of an erased person, which must be gone"
    parser.add_argument("--absent", metavar="FILE", help=absent)
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when nothing is violated, 1 when something is, 3 when nothing ever ran on the home."""
    report = _asked(arguments) if _is_locked_out(home_of(arguments)) else _made(arguments)
    if arguments.json:
        print_json(report)
    else:
        _show(report)
    return 0 if report.ok else 1


def _made(arguments: argparse.Namespace) -> "Report":
    from shop_stack.operations.audit_home import audit_home

    needles = _needles(arguments.absent) if arguments.absent else []
    return audit_home(_settings(arguments), strict=arguments.strict, needles=needles)


def _is_locked_out(home: Home) -> bool:
    """Whether the auditor's password is another container's: operations makes the audit, and is asked for it."""
    from shop_stack.postgres import AUDITOR

    return asks_operations(home) and home.secrets is not None and not (home.secrets / AUDITOR).exists()


def _asked(arguments: argparse.Namespace) -> "Report":
    from shop_stack.commands.containers import operations_of

    if arguments.absent:
        left_to_compose("docker compose exec operations shopfloor audit --absent FILE")
    with operations_of(home_of(arguments)) as operations:
        return operations.audit(strict=arguments.strict)


def _needles(name: str) -> list[bytes]:
    try:
        lines = Path(name).expanduser().read_bytes().splitlines()
    except OSError as error:
        raise SettingError(f"--absent: cannot read {name} ({error.strerror})") from error
    if not any(lines):
        raise SettingError(f"--absent: {name} names nothing to look for; write one text a line")
    return [line for line in lines if line]


def _settings(arguments: argparse.Namespace) -> Settings:
    home = home_of(arguments)
    try:
        return running_settings(home)
    except NotRunning:
        settings = settings_from({"home": home.path})
        if settings.stores_url == SQLITE and not home.store("orders").exists():
            raise
        return settings


def _show(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("invariant", "status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("rows", "in flight"):
        table.add_column(heading, no_wrap=True, justify="right")
    for found in report.invariants:
        style = {"violated": "bold red", "explained": "yellow", "skipped": "yellow"}.get(found.status, "green")
        table.add_row(
            Text(found.name), Text(found.status, style=style), f"{found.rows_checked:,}", f"{found.in_flight:,}"
        )
    console = Console()
    console.print(table)
    for found in report.invariants:
        for words in [found.because] * bool(found.because) + found.counter_examples:
            console.print(Text(f"{found.name}: {plain(words)}", style="dim" if found.status == "ok" else ""))
    console.print(Text(verdict(report)))


def verdict(report: "Report") -> str:
    """The audit in one sentence."""
    broken = [found.name for found in report.invariants if found.status == "violated"]
    said = f"violated: {', '.join(broken)}" if broken else "the books balance"
    until = f"{report.watermark.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{said}; {report.orders:,} orders and {report.records:,} records up to {until} in {report.seconds:.1f} s"
