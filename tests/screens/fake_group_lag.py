"""A consumer group that is behind, in the shape of the operations API."""

from typing import Any

import msgspec

from shop_stack.events import PartitionLag
from shop_stack.operations.drain import Drain, Rates
from shop_stack.operations.model import GroupLag


def group_lag(group: str, shares: dict[tuple[str, int], int], seconds: float = 12.0, **changes: Any) -> GroupLag:
    """A group that is behind by so many events of each partition, and does not drain."""
    lag = sum(shares.values())
    rows = [
        PartitionLag(topic=topic, partition=number, committed=0, end=records, lag=records, seconds=seconds,
                     share=records / lag)
        for (topic, number), records in shares.items()
    ]  # fmt: skip
    found = GroupLag(
        group=group, lag=lag, seconds=seconds, orders_waiting=40, waiting_minor=123456, orders_whole=True,
        rates=Rates(seconds=60, arrivals=55.0, processed=30.0, slope=25.0),
        drain=Drain(state="does_not_drain", over_s=60.0), hot=None, partitions=rows,
    )  # fmt: skip
    return msgspec.structs.replace(found, **changes)
