"""Backs the warehouse up while it works: its owner copies one moment of it into a file that needs no other.

A request is a file `NAME.wanted` in the folder `backup` beside the warehouse, the answer `NAME.duckdb`, whole and
fsynced, or `NAME.failed` with the reason. Nobody but the owner opens the warehouse's own file.
"""

import contextlib
import logging
import os
import threading
from pathlib import Path

from analytics.durable import sync
from analytics.statements import statement
from analytics.warehouse import Warehouse, WarehouseError

_LOOK_S = 1.0
_TIMEOUT_S = 600.0
log = logging.getLogger(__name__)


class Backups:
    """Answers requests for backups of one warehouse. `run` and `answer` belong to one thread."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._folder = warehouse.backup
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """Answer requests until stopped; one that broke off with its process is answered by the next."""
        while not self._stopping.wait(_LOOK_S):
            self.answer()

    def answer(self) -> int:
        """Answer every request that lies there; how many."""
        wanted = sorted(self._folder.glob("*.wanted"))
        for request in wanted:
            unfinished = request.with_suffix(".unfinished")
            try:
                self._copy(unfinished)
                os.replace(unfinished, request.with_suffix(".duckdb"))
            except (WarehouseError, OSError) as error:
                log.warning("no backup: %s", error)
                request.with_suffix(".failed").write_text(str(error))
            request.unlink(missing_ok=True)
        return len(wanted)

    def _copy(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        tend = self._warehouse.tend
        quoted = str(path).replace("'", "''")
        tend(f"attach '{quoted}' as backup", {}, _TIMEOUT_S)
        try:
            with self._warehouse.tending():
                tend(f"copy from database {self._warehouse.name} to backup", {}, _TIMEOUT_S)
                tend("delete from backup.raw_events", {}, _TIMEOUT_S)
                tend(statement("backup/take_archived_in"), {}, _TIMEOUT_S)
                tend("delete from backup.archived_files", {}, _TIMEOUT_S)
            tend("checkpoint backup", {}, _TIMEOUT_S)
        finally:
            with contextlib.suppress(WarehouseError):
                tend("detach backup", {}, _TIMEOUT_S)
        sync(path)
