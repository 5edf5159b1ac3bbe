"""Takes over into a new warehouse what the log no longer keeps: all rows that lie below the log's start."""

from typing import Protocol

from analytics.statements import statement
from analytics.warehouse import Warehouse


class Starting(Protocol):
    """A log that tells where it starts."""

    def topics(self) -> list[str]: ...

    def starts(self, topic: str) -> list[int]:
        """The first position kept of each partition."""


def carry_over(warehouse: Warehouse, log: Starting) -> int:
    """Copy what the attached database `old` alone still has, a topic at a time; how many records.

    Each topic is a batch of its own, rolled up at once. Raises WarehouseError.
    """
    carried = 0
    for batch, topic in enumerate(log.topics(), 1):
        starts = log.starts(topic)
        if any(starts):
            carried += _carry(warehouse, topic, starts, batch)
    return carried


def _carry(warehouse: Warehouse, topic: str, starts: list[int], batch: int) -> int:
    given = {"topic": topic, "batch": batch, "partitions": list(range(len(starts))), "starts": starts}
    with warehouse.transaction():
        rows = sum(warehouse.write(statement(f"carrying/{name}"), given)[0][0] for name in _WHAT)
        warehouse.roll_up(batch)
    return int(rows)


_WHAT = ("rows_below", "rejected_below")
