"""An archiving process that kills itself with -9 at a step: `python -m tests.flows.archive_process FOLDER STEP NUMBER`.

It archives the warehouse of a folder down to today, and dies when the step is done for the NUMBERth time.
"""

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from analytics.archiving import Archive
from analytics.warehouse import Warehouse
from shop_stack.stack import Retention
from tests.analytics_stand import NOW


def main() -> None:
    """Archive, and die on the way."""
    folder, fatal, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def between(step: str) -> None:
        nonlocal left
        left -= step == fatal
        if step == fatal and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    warehouse = Warehouse(folder / "warehouse.duckdb")
    Archive(warehouse, Retention(raw_days=0), lambda: NOW + timedelta(days=1), between).turn()


if __name__ == "__main__":
    main()
