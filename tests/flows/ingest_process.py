"""An ingesting process for the tests to kill: reads the log of a folder into its warehouse until it dies."""

import sys
from pathlib import Path

from analytics.ingest import Ingest
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog


def main() -> None:
    """Ingest, rolling up all the time, and say when it begins."""
    folder = Path(sys.argv[1])
    ingest = Ingest(EmbeddedLog(folder / "log"), Warehouse(folder / "warehouse.duckdb"))
    print("ready", flush=True)
    while True:
        if ingest.step():
            ingest.roll_up()


if __name__ == "__main__":
    main()
