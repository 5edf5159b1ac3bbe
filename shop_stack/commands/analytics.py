"""`shopfloor analytics`: makes the warehouse again from the log, backs it up while it works, restores it."""

import argparse
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from shop_stack.commands.frame import Subparsers, home_of, parser_of, plain, print_json, running_settings, takes_json
from shop_stack.errors import NotRunning, SettingError, ShopfloorError
from shop_stack.runtime.home_lock import HomeLock
from shop_stack.settings import Home, Settings, read_endpoints, settings_from, to_environment

_PATIENCE_S = 600.0
_LOOK_S = 0.2
_EXAMPLES = """  shopfloor down && shopfloor analytics rebuild && shopfloor up
  shopfloor analytics rebuild --accept-differences    keep the new warehouse although it differs from the old one
  shopfloor analytics backup /mnt/safe/monday.duckdb  while the stack runs
  shopfloor down && shopfloor analytics restore /mnt/safe/monday.duckdb && shopfloor up

`rebuild` works on a stopped stack. It makes a second warehouse beside the first, compares the two (records of every
partition, positions, sums of every mart) and swaps the new one in only when nothing differs; broken off at any moment
it has changed nothing, and begins again the next time. A backup is one moment of the warehouse, archive included, in
one file. `restore` works on a stopped stack; what happened since is then read from the log again."""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(
        subparsers, "analytics", "tend the warehouse: make it again, back it up, restore it", _EXAMPLES, run
    )
    parser.add_argument("what", choices=("rebuild", "backup", "restore"))
    parser.add_argument("file", metavar="FILE", nargs="?", help="the backup's file, for `backup` and `restore`")
    differs = "swap the new warehouse in even if it differs from the old one"
    parser.add_argument("--accept-differences", action="store_true", help=differs)
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once it is done; 1 when a new warehouse differs or it fails, 3 or 4 when the stack must (not) run."""
    home = home_of(arguments)
    if (arguments.file is None) != (arguments.what == "rebuild"):
        raise SettingError(f"{arguments.what} takes {'no file' if arguments.file else 'the name of a file'}")
    if arguments.what == "backup":
        done = _back_up(home, Path(arguments.file).absolute())
    elif arguments.what == "restore":
        done = _alone(home, "analytics.restoring", [str(Path(arguments.file).absolute())])
    else:
        done = _alone(home, "analytics.rebuilding", ["--accept-differences"] * arguments.accept_differences)
    if arguments.json:
        print_json(done)
    else:
        _SHOW[arguments.what](done)
    return 0 if done.get("swapped", True) else 1


def _alone(home: Home, module: str, words: list[str]) -> dict[str, Any]:
    """Run a program of analytics while no stack runs on the home. Raises HomeInUse."""
    settings = _settings(home)
    lock = HomeLock(home)
    lock.take()
    try:
        return _run(module, words, settings)
    finally:
        lock.release()


def _back_up(home: Home, target: Path) -> dict[str, Any]:
    """Ask the warehouse's owner for a backup and put it at `target`, by one rename."""
    read_endpoints(home)  # raises NotRunning
    if target.exists():
        raise SettingError(f"{target} is there already; name another file")
    folder = home.warehouse.parent / "backup"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    request = folder / f"{uuid.uuid4().hex}.wanted"
    made, failed = request.with_suffix(".duckdb"), request.with_suffix(".failed")
    request.touch()
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while not made.exists() and not failed.exists():
            if time.monotonic() > deadline:
                raise ShopfloorError(f"analytics has not made a backup within {_PATIENCE_S:g} s; see its log")
            time.sleep(_LOOK_S)
        if failed.exists():
            raise ShopfloorError(f"no backup: {failed.read_text()}")
        unfinished = target.with_name(f"{target.name}.unfinished")
        shutil.move(made, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        for path in (request, made, failed):
            path.unlink(missing_ok=True)
    return {"file": str(target), "bytes": target.stat().st_size}


def _settings(home: Home) -> Settings:
    try:
        return running_settings(home)
    except NotRunning:
        if not home.log.exists():
            raise
        return settings_from({"home": home.path})


def _run(module: str, words: list[str], settings: Settings) -> dict[str, Any]:
    """What a program of analytics answers, in a process of its own that ends with this one."""
    environment = os.environ | to_environment(settings)
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        said, complained = child.stdout.read(), child.stderr.read()
    if child.returncode != 0:
        lines = complained.decode(errors="replace").strip().splitlines()
        raise ShopfloorError(lines[-1] if lines else f"{module} ended with {child.returncode}")
    answer: dict[str, Any] = msgspec.json.decode(said)
    return answer


def _show_rebuilt(done: dict[str, Any]) -> None:
    for difference in done["differences"]:
        print(plain(difference))
    held = done["compared"] or ("it differs from the old one" if done["differences"] else "it equals the old one")
    kept = "it is in place" if done["swapped"] else "the old one stays (swap it in with --accept-differences)"
    print(f"a warehouse of {done['records']:,} records was made: {plain(held)}; {kept}")


def _show_backup(done: dict[str, Any]) -> None:
    print(f"{plain(done['file'])}: {done['bytes'] / 1e6:.1f} MB")


def _show_restored(done: dict[str, Any]) -> None:
    carried = f", and {done['carried']:,} that the log no longer keeps" if done["carried"] else ""
    print(f"restored: {done['records']:,} records{carried}; the rest is read from the log when the stack starts")


_SHOW = {"rebuild": _show_rebuilt, "backup": _show_backup, "restore": _show_restored}
