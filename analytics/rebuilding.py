"""Makes the whole warehouse again beside the old one, and swaps it in once it equals it.

The old file is only read. The new one lies in a folder of its own until it is whole, checkpointed and closed; then
one rename makes it the warehouse. Killed before the rename, nothing has changed and the next rebuild begins again.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from analytics.bounded_log import BoundedLog
from analytics.carrying import carry_over
from analytics.comparing import Measures, differences, measures
from analytics.durable import sync
from analytics.ingest import Ingest
from analytics.statements import statement
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.errors import ForeignLog, ShopfloorError
from shop_stack.eventlog.interface import EventLog, TopicPartition
from shop_stack.eventlog.opening import open_log
from shop_stack.runtime import lifeline
from shop_stack.settings import from_environment

_MOST_NAMED = 20


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `differences` from the old warehouse are named, at most 20 and then their number; `compared`
    is None, or why there was nothing to compare with. `carried` records were taken from the old one alone."""

    swapped: bool
    records: int
    carried: int
    differences: list[str]
    compared: str | None = None


def rebuild(
    path: Path, log: EventLog, *, accept: bool = False, before_swap: Callable[[], None] = lambda: None
) -> Rebuilt:
    """Make the warehouse at `path` again from what the old one alone still has and then the log.

    It is swapped in when it equals the old one, when there is none that can be read, or when `accept` says so.
    Nothing else may have the warehouse open. Raises WarehouseError, ForeignLog, LogUnavailable; the old one stays.
    """
    folder = path.parent / "rebuild"
    shutil.rmtree(folder, ignore_errors=True)
    fresh = folder / path.name
    with contextlib.closing(Warehouse(fresh, [path.parent])) as warehouse:
        why_not = attach_old(warehouse, path)
        known = why_not is None
        carried = carry_over(warehouse, log, raw_rows_from_before(warehouse, known), known)
        _ingest(warehouse, log, _positions(warehouse) if known else None)
        if known:
            warehouse.write("delete from delay_buckets")
            warehouse.write(statement("carrying/delays"))
            _carry_late(warehouse)
        found = _compared(warehouse) if known else []
        records = int(warehouse.write("select coalesce(sum(records), 0) from partition_positions")[0][0])
        if known:
            warehouse.write("detach old")
        warehouse.write("checkpoint")
    swapped = accept or not found
    if swapped:
        before_swap()
        swap(fresh, path)
    return Rebuilt(swapped=swapped, records=records, carried=carried, differences=found, compared=why_not)


def attach_old(warehouse: Warehouse, path: Path) -> str | None:
    """Attach the old warehouse as `old`, only to be read; None, or why it cannot be."""
    if not path.exists():
        return "there was no warehouse"
    try:
        if path.with_name(f"{path.name}.wal").exists():
            # what a killed process left in the write-ahead log belongs to this file and must not meet the next one
            warehouse.write(f"attach '{_quoted(path)}' as old")
            warehouse.write("checkpoint old")
            warehouse.write("detach old")
        warehouse.write(f"attach '{_quoted(path)}' as old (read_only)")
    except WarehouseError as error:
        if "lock" in str(error).lower():
            raise WarehouseError(f"another process has {path}; stop the stack first: shopfloor down") from error
        return f"the old warehouse cannot be read: {error}"
    return None


def raw_rows_from_before(warehouse: Warehouse, known: bool) -> str:
    """Where the raw rows from before lie: in the old warehouse and its archive, or in the archive's files alone."""
    if known:
        there = "select 1 from duckdb_views() where database_name = 'old' and view_name = 'every_event'"
        return "old.every_event" if warehouse.write(there) else "old.raw_events"
    archive = warehouse.archive.parent.parent / "archive"
    if not any(archive.glob("*/*.parquet")):
        return "raw_events"
    files = f"read_parquet('{_quoted(archive)}/*/*.parquet', hive_partitioning = false)"
    once = "qualify row_number() over (partition by topic, partition, position) = 1"
    return f"(select * from {files} {once})"  # noqa: S608 (a folder of the home)


def _carry_late(warehouse: Warehouse) -> None:
    warehouse.write("delete from late_events")
    there = "select 1 from duckdb_tables() where database_name = 'old' and table_name = 'late_events'"
    if warehouse.write(there):  # an older version did not count them
        warehouse.write(statement("carrying/late"))


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _positions(warehouse: Warehouse) -> dict[TopicPartition, int]:
    rows = warehouse.within("old", statement("questions/freshness")).rows
    return {(str(topic), int(partition)): int(position) for topic, partition, position, _ in rows}


def _ingest(warehouse: Warehouse, log: EventLog, bounds: dict[TopicPartition, int] | None) -> None:
    known = warehouse.within("old", "select log_id from log_identity").rows if bounds is not None else []
    if known and known[0][0] != log.log_id:
        raise ForeignLog(
            f"the warehouse was filled from log {known[0][0]}, and this log is {log.log_id}: bring the old log back, "
            f"or move the folder `analytics` out of the home to fill it anew"
        )
    ingest = Ingest(cast(EventLog, BoundedLog(log, bounds)), warehouse)
    while ingest.watermark.halted is None and ingest.step():
        ingest.roll_up_when_due()
    if ingest.watermark.halted is not None:
        raise WarehouseError(ingest.watermark.halted)
    ingest.roll_up()


def _compared(warehouse: Warehouse) -> list[str]:
    before: Measures = measures(warehouse, "old")
    found = list(differences(before, measures(warehouse, warehouse.name)))
    left = len(found) - _MOST_NAMED
    return [*found[:_MOST_NAMED], f"and {left} more"] if left > 0 else found


def swap(fresh: Path, path: Path) -> None:
    sync(fresh)
    wal = path.with_name(f"{path.name}.wal")
    if wal.exists():  # of an old warehouse that cannot be read: both are kept, for whoever wants to look
        os.replace(wal, path.with_name(f"unreadable-{wal.name}"))
        os.replace(path, path.with_name(f"unreadable-{path.name}"))
    os.replace(fresh, path)
    sync(path.parent)
    shutil.rmtree(fresh.parent, ignore_errors=True)


def main() -> int:
    """Rebuild the warehouse of the settings' home and print what came of it in JSON; exit code 1 when it failed."""
    lifeline.follow(0)
    settings = from_environment()
    try:
        with open_log(settings) as log:
            done = rebuild(settings.home.warehouse, log, accept="--accept-differences" in sys.argv)
    except ShopfloorError as error:
        print(error, file=sys.stderr)
        return 1
    print(msgspec.json.encode(done).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
