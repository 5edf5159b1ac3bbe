"""Takes over into a new warehouse what the log no longer keeps: all rows that lie below the log's start."""

from typing import Protocol

from analytics.statements import statement
from analytics.warehouse import Warehouse


class Starting(Protocol):
    """A log that tells where it starts."""

    def topics(self) -> list[str]: ...

    def starts(self, topic: str) -> list[int]:
        """The first position kept of each partition."""


def carry_over(warehouse: Warehouse, log: Starting, source: str, rejected: bool) -> int:
    """Copy the raw rows of `source`, a relation in SQL, that were not read and the log no longer keeps; how many.

    `rejected` says whether those of the attached database `old` that are no events are taken too. Each topic is a
    batch of its own, rolled up at once. Raises WarehouseError.
    """
    rows = warehouse.write(statement("questions/freshness"))
    read = {(str(topic), int(partition)): int(position) for topic, partition, position, _ in rows}
    last = warehouse.write(statement("ingest/last_batch"))[0][0] or 0
    carried = 0
    for batch, topic in enumerate(log.topics(), last + 1):
        starts = log.starts(topic)
        if any(starts):
            known = [read.get((topic, number), 0) for number in range(len(starts))]
            carried += _carry(warehouse, topic, (known, starts), batch, source, rejected)
    return carried


def _carry(
    warehouse: Warehouse, topic: str, span: tuple[list[int], list[int]], batch: int, source: str, rejected: bool
) -> int:
    read, starts = span
    given = {"topic": topic, "batch": batch, "partitions": list(range(len(starts))), "read": read, "starts": starts}
    with warehouse.transaction():
        rows = warehouse.write(statement("carrying/rows_below").replace("{source}", source), given)[0][0]
        if rejected:
            rows += warehouse.write(statement("carrying/rejected_below"), given)[0][0]
        warehouse.roll_up(batch)
    return int(rows)
