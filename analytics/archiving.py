"""Moves raw rows older than a limit out of the database into Parquet files by day, and loses and doubles none.

Those of orders, which a journey reads, have files of their own with an order's rows together: the many others, of
sessions and samples, are then not even looked at.

A file is written under another name, fsynced, renamed and counted before one transaction takes its rows out of the
database and enters the file: what `archived_files` names is the archive, any other file is of a turn that broke off.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from analytics.coarsening import coarsen
from analytics.durable import sync
from analytics.lying_together import write_together
from analytics.statements import statement
from analytics.warehouse import ORDERS, Warehouse, WarehouseError, views_of_raw
from shop_stack.events.topics import HISTORY
from shop_stack.stack import Retention

_FIRST_S = 90.0
_EVERY_S = 3600.0
_TIMEOUT_S = 600.0
_MOST_ROWS = 500_000
_MOST_SORTED = 32_000_000  # bytes of the events' data, and one batch
_UNFINISHED = ".unfinished"
# A group is held in memory while it is written, and samples are large; to read one order is to read a few of them.
_FORMAT = "format parquet, compression zstd, row_group_size 8192"
_DAY = timedelta(days=1)
log = logging.getLogger(__name__)


class Archive:
    """The archive of one warehouse, in the folder beside it. `run` and `turn` belong to one thread.

    `between` is called with the name of each step that was done.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        retention: Retention,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        between: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._warehouse = warehouse
        self._retention = retention
        self._now = now
        self._between = between
        self._folder = warehouse.archive
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """A turn every hour until stopped; what fails is tried again in the next."""
        pause_s = _FIRST_S
        while not self._stopping.wait(pause_s):
            pause_s = _EVERY_S
            try:
                self.turn()
            except (WarehouseError, OSError) as error:
                log.warning("raw events wait to be archived: %s", error)

    def turn(self) -> int:
        """Archive the days before the limit, and younger ones while the database is too large; how many rows.

        Minutes before their own limit become hours.

        Raises WarehouseError while another statement writes the same, OSError when the disk is full.
        """
        self._sweep()
        midnight = self._now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        moved = 0
        for days in range(self._retention.raw_days, -1, -1):
            if days < self._retention.raw_days and not self._too_large():
                break
            moved += self._archive(midnight - days * _DAY)
        coarsen(self._warehouse, midnight - self._retention.minute_days * _DAY)
        if moved and self._too_large():
            log.warning("the warehouse is larger than %d MB without raw events", self._retention.database_mb)
        return moved

    def _too_large(self) -> bool:
        size = self._warehouse.ask(statement("archiving/size"), {}, _TIMEOUT_S).rows[0][0]
        return int(size) > self._retention.database_mb * 1_000_000

    def _archive(self, before: datetime) -> int:
        limits = {"before": before, "history": HISTORY.name}
        most = {"most": _MOST_ROWS, "most_sorted": _MOST_SORTED}
        moved = 0
        while not self._stopping.is_set():
            due = self._warehouse.ask(statement("archiving/due"), {**limits, **most}, _TIMEOUT_S).rows
            if not due:
                break
            for day, part, batch, records in due:
                self._move({**limits, "day": day, "part": part, "batch": batch}, int(records))
                moved += int(records)
            self._give_back()
        return moved

    def _give_back(self) -> None:
        """Let the file use again what the rows have left; refused while another statement writes, so later then."""
        with contextlib.suppress(WarehouseError):
            self._warehouse.tend("checkpoint", {}, _TIMEOUT_S)

    def _move(self, which: dict[str, object], records: int) -> None:
        """A day's rows of one part, up to a batch, leave the database once their file is written, fsynced, counted."""
        day, part = str(which["day"]), str(which["part"])
        path = self._free(day, part, which["batch"])
        unfinished = path.with_name(path.name + _UNFINISHED)
        if part == ORDERS:
            with self._warehouse.snapshot(_TIMEOUT_S) as read:
                write_together(read(statement("archiving/rows"), which), unfinished, _FORMAT)
        else:
            target = f"copy ({statement('archiving/rows')}) to '{_quoted(unfinished)}'"
            self._warehouse.tend(f"{target} ({_FORMAT})", which, _TIMEOUT_S)
        self._between("written")
        sync(unfinished)
        self._between("fsynced")
        os.replace(unfinished, path)
        for folder in (path.parent, self._folder, self._folder.parent):
            sync(folder)
        self._between("renamed")
        with self._warehouse.tending():
            file = str(path.relative_to(self._folder))
            named = {"file": file, "day": day, "part": part, "path": str(path)}
            self._warehouse.tend(statement("archiving/enter"), named, _TIMEOUT_S)
            entered = self._warehouse.ask("select records from archived_files where file = $file", {"file": file})
            self._between("counted")
            left = self._warehouse.tend(statement("archiving/leave"), which, _TIMEOUT_S).rows[0][0]
            if not entered.rows[0][0] == left == records:
                raise WarehouseError(f"{path} has {entered.rows[0][0]} rows of {records}, and {left} would leave")
            self._between("deleted")
            files = self._warehouse.ask("select file, part from archived_files order by file", {}).rows
            for view in views_of_raw(self._folder, files):
                self._warehouse.tend(view, {})
            self._between("viewed")
        self._between("committed")

    def _free(self, day: str, part: str, batch: object) -> Path:
        folder = self._folder / day
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while (path := folder / f"{part}-{batch}-{number}.parquet").exists():
            number += 1
        return path

    def _sweep(self) -> None:
        """Remove what broken turns have left: unfinished files, and whole ones whose rows are all in the database."""
        entered = {row[0] for row in self._warehouse.ask("select file from archived_files", {}).rows}
        for path in sorted(self._folder.glob(f"*/*{_UNFINISHED}")):
            path.unlink()
        for path in sorted(self._folder.glob("*/*.parquet")):
            if str(path.relative_to(self._folder)) in entered:
                continue
            only_there = statement("archiving/only_there")
            if self._warehouse.ask(only_there, {"path": str(path)}, _TIMEOUT_S).rows[0][0]:
                log.warning("%s has events that the warehouse has not: run shopfloor analytics rebuild", path)
            else:
                path.unlink()


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
