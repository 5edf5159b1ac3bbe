"""Which replicas are of the newest edition, the others' successors, in a rolling upgrade."""

from collections.abc import Sequence

from shop_stack.runtime.compose.docker import Container


def newest(containers: Sequence[Container]) -> list[Container]:
    """Those of the same image and configuration as the container made last, in the order of their numbers."""
    if not containers:
        return []
    last = max(containers, key=lambda one: (one.created, one.number))
    return sorted((one for one in containers if one.edition == last.edition), key=lambda one: one.number)


def leaving_order(containers: Sequence[Container]) -> list[Container]:
    """All, the first to leave first: those of older editions by age, then the newest edition's highest number."""
    staying = newest(containers)
    kept = {one.id for one in staying}
    older = sorted((one for one in containers if one.id not in kept), key=lambda one: (one.created, one.number))
    return [*older, *reversed(staying)]
