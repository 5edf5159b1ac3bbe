"""How far analytics has read of a log, told while it does not run: `python -m analytics.positions`."""

import contextlib
import sys

import msgspec

from analytics.statements import statement
from analytics.warehouse import Warehouse
from shop_stack.errors import ShopfloorError
from shop_stack.settings import from_environment


def main() -> int:
    """Print `{"log_id": ..., "positions": [[topic, partition, position], ...]}`; an empty id when nothing was read."""
    try:
        with contextlib.closing(Warehouse(from_environment().home.warehouse)) as warehouse:
            known = warehouse.write("select log_id from log_identity")
            rows = warehouse.write(statement("questions/freshness"))
    except ShopfloorError as error:
        print(error, file=sys.stderr)
        return 1
    positions = [[topic, int(partition), int(position)] for topic, partition, position, _ in rows]
    print(msgspec.json.encode({"log_id": known[0][0] if known else "", "positions": positions}).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
