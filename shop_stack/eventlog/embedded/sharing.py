"""How the partitions of a group are shared among its members: evenly, with as few moves as possible."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from shop_stack.eventlog.interface import TopicPartition


def share(
    members: Mapping[str, Set[str]],
    partitions: Sequence[TopicPartition],
    previous: Mapping[TopicPartition, str],
) -> dict[TopicPartition, str]:
    """The owner of each partition that any member subscribes.

    `members` maps a member to its topics. An owner keeps what it had; what nobody has goes to whom has least;
    then partitions move from the most to the least laden until they differ by one at most.
    """
    owners = {p: m for p, m in previous.items() if m in members and p[0] in members[m] and p in set(partitions)}
    load = Counter(dict.fromkeys(members, 0))
    load.update(owners.values())
    for partition in partitions:
        if partition not in owners:
            fitting = [m for m in sorted(members) if partition[0] in members[m]]
            if fitting:
                owner = min(fitting, key=lambda m: load[m])
                owners[partition] = owner
                load[owner] += 1
    while move := _next_move(members, owners, load):
        partition, taker = move
        load[owners[partition]] -= 1
        load[taker] += 1
        owners[partition] = taker
    return owners


def _next_move(
    members: Mapping[str, Set[str]], owners: Mapping[TopicPartition, str], load: Mapping[str, int]
) -> tuple[TopicPartition, str] | None:
    """A partition that should move, taken from the topic of which its owner has most, and who takes it."""
    for giver in sorted(members, key=lambda m: (-load[m], m)):
        for taker in sorted(members, key=lambda m: (load[m], m)):
            if load[giver] - load[taker] < 2:
                break
            movable = [p for p, owner in owners.items() if owner == giver and p[0] in members[taker]]
            if movable:
                held = Counter(topic for topic, _ in movable)
                return max(movable, key=lambda p: (held[p[0]], p)), taker
    return None
