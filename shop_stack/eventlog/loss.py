"""Finding what a log has lost, before anything new is appended over the gap."""

from dataclasses import dataclass

from shop_stack.eventlog.interface import EventLog


@dataclass(frozen=True)
class LostTail:
    """A group has committed `position` in a partition that now ends at `end`: what lay between is gone."""

    group: str
    topic: str
    partition: int
    position: int
    end: int


def lost_tails(log: EventLog) -> list[LostTail]:
    """Every committed position beyond its partition's end.

    To be asked when a stack starts, before its relays append: later appends may fill the gap with other records.
    Raises LogUnavailable.
    """
    ends: dict[str, list[int]] = {}
    lost = []
    for group in log.groups():
        for (topic, partition), position in sorted(log.committed(group).items()):
            if topic not in log.topics():
                continue
            if topic not in ends:
                ends[topic] = log.ends(topic)
            if position > ends[topic][partition]:
                lost.append(LostTail(group, topic, partition, position, ends[topic][partition]))
    return lost
