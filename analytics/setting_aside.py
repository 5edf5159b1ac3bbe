"""Sets a warehouse aside that another log filled, while it does not run: `python -m analytics.setting_aside LOG_ID`."""

import contextlib
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from analytics.statements import statement
from analytics.warehouse import Warehouse
from shop_stack.errors import ShopfloorError
from shop_stack.settings import from_environment


def main() -> int:
    """Print `{"folder": ..., "records": {topic: records}}`; an empty folder when the warehouse is of this log."""
    try:
        folder, records = set_aside(from_environment().home.warehouse, sys.argv[1])
    except ShopfloorError as error:
        print(error, file=sys.stderr)
        return 1
    print(msgspec.json.encode({"folder": str(folder or ""), "records": records}).decode())
    return 0


def set_aside(path: Path, log_id: str) -> tuple[Path | None, Counter[str]]:
    """Rename the warehouse's folder unless it was filled from this log; the new folder, and what was read by topic.

    Repeats are not counted. Whoever is erased later is not looked for there. Raises WarehouseError.
    """
    records = Counter[str]()
    with contextlib.closing(Warehouse(path)) as warehouse:
        known = warehouse.write("select log_id from log_identity")
        if not known or known[0][0] == log_id:
            return None, records
        for topic, _, _, taken, repeats in warehouse.write(statement("questions/records_counted")):
            records[topic] += int(taken) - int(repeats)
    aside = path.parent.with_name(f"{path.parent.name}-until-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    path.parent.rename(aside)
    return aside, records


if __name__ == "__main__":
    sys.exit(main())
