"""Which replicas are of the newest edition, the others' successors, in a rolling upgrade."""

from collections.abc import Collection, Sequence

from shop_stack.runtime.compose.docker import Container


def newest(containers: Sequence[Container]) -> list[Container]:
    """Those of the same image and configuration as the container made last, in the order of their numbers."""
    if not containers:
        return []
    last = max(containers, key=lambda one: (one.created, one.number))
    return sorted((one for one in containers if one.edition == last.edition), key=lambda one: one.number)


def pattern(containers: Sequence[Container], ready: Collection[str]) -> Container:
    """After which the next replica is made: the first of the newest edition that has a ready one, else of the newest.

    `ready` are ids. Raises IndexError when there are no containers.
    """
    serving = [one for one in containers if one.id in ready]
    return newest(serving or containers)[0]


def leaving_order(containers: Sequence[Container], ready: Collection[str]) -> list[Container]:
    """All, the first to leave first: whoever is not ready, so that a new edition that fails costs no old one.

    Of both: those of older editions by age, then the newest edition's highest number. `ready` are ids.
    """
    staying = newest(containers)
    kept = {one.id for one in staying}
    older = sorted((one for one in containers if one.id not in kept), key=lambda one: (one.created, one.number))
    return sorted([*older, *reversed(staying)], key=lambda one: one.id in ready)
