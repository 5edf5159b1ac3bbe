"""Writes rows to Parquet with an order's together, in memory of its own: a sort would starve ingestion and questions.

DuckDB sorts wide rows in memory alone (2.0.0: beyond its limit it fails instead of using the disk), so that whoever
calls bounds what is sorted.
"""

import contextlib
from pathlib import Path

import duckdb
import pyarrow as pa

from analytics.warehouse import WarehouseError

_LIMITS: dict[str, str | bool | int | float | list[str]] = {"threads": 1, "memory_limit": "256MB"}


def write_together(rows: pa.RecordBatchReader, path: Path, parquet: str) -> None:
    """Write raw rows to a file at `path`, sorted by order; `parquet` are the options of COPY.

    Raises WarehouseError when they do not fit into 256 MB or cannot be written.
    """
    quoted = str(path).replace("'", "''")
    with contextlib.closing(duckdb.connect(config=_LIMITS)) as apart:
        apart.register("rows", rows)
        try:
            apart.execute(f"copy (from rows order by coalesce(correlation_id, subject)) to '{quoted}' ({parquet})")
        except duckdb.Error as error:
            raise WarehouseError(f"cannot write {path}: {str(error).splitlines()[0]}") from error
