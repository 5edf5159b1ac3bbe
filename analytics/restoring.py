"""Puts a backup in the warehouse's place; ingestion then goes on from the backup's own positions.

What the log has dropped since the backup was made is taken from the warehouse that is there and its archive.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import msgspec

from analytics.carrying import carry_over
from analytics.ingest import Ingest
from analytics.rebuilding import attach_old, raw_rows_from_before, swap
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.interface import EventLog
from shop_stack.eventlog.opening import open_log
from shop_stack.runtime import lifeline
from shop_stack.settings import from_environment


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """Records in the backup, and those `carried` over that lay between it and the log's start."""

    records: int
    carried: int


def restore(path: Path, backup: Path, log: EventLog) -> Restored:
    """Make a copy of `backup` the warehouse at `path`, by one rename; nothing else may have the warehouse open.

    Raises WarehouseError when the backup cannot be read, is of another log or lies beyond its end; the old one stays.
    """
    folder = path.parent / "restore"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fresh = folder / path.name
    try:
        shutil.copyfile(backup, fresh)
    except OSError as error:
        raise WarehouseError(f"cannot read the backup {backup}: {error.strerror}") from error
    with contextlib.closing(Warehouse(fresh, [path.parent])) as warehouse:
        if not warehouse.write("select log_id from log_identity"):
            raise WarehouseError(f"{backup} is no backup of a warehouse, or of an empty one")
        halted = Ingest(log, warehouse).watermark.halted
        if halted is not None:
            raise WarehouseError(f"{backup} does not fit this log: {halted}")
        records = int(warehouse.write("select coalesce(sum(records), 0) from partition_positions")[0][0])
        known = attach_old(warehouse, path) is None
        carried = carry_over(warehouse, log, raw_rows_from_before(warehouse, known), known)
        if known:
            warehouse.write("detach old")
        warehouse.write("checkpoint")
    swap(fresh, path)
    return Restored(records=records, carried=carried)


def main() -> int:
    """Restore the file named, print what came of it in JSON; exit code 1 when it failed."""
    lifeline.follow(0)
    settings = from_environment()
    try:
        with open_log(settings) as log:
            done = restore(settings.home.warehouse, Path(os.path.abspath(sys.argv[1])), log)
    except ShopfloorError as error:
        print(error, file=sys.stderr)
        return 1
    print(msgspec.json.encode(done).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
