"""How much a bulk batch takes of each partition: so that what happened together comes to lie together."""

from collections.abc import Mapping
from typing import TypeVar

_Partition = TypeVar("_Partition")


def shares(missing: Mapping[_Partition, int], most: int) -> dict[_Partition, int]:
    """Of the records that each partition is behind by: how many to take now, at most `most` in all, at least 1 of each.

    Every partition gives the same part of what it has, so that a long log is read along its time and not topic after
    topic: the events of an order, an effect and its cause are then in neighbouring rows, and the bounds of a part of
    the table tell whether any of them is there. `most` is at least the number of partitions.
    """
    total = sum(missing.values())
    if total <= most:
        return dict(missing)
    spread = most - len(missing)
    return {partition: 1 + (records - 1) * spread // total for partition, records in missing.items()}
