"""Which event ids may have come before: time-ordered ids are known from memory, all others are looked up."""

from collections.abc import Sequence

_KEPT = 20_000


class RecentIds:
    """The time-ordered ids (UUIDv7) kept since `floor`; an id below it, or of another kind, must be looked up.

    `floor` is the largest time-ordered id in the warehouse when it was opened: every one above it that is kept
    later passes through here.
    """

    def __init__(self, floor: str | None) -> None:
        self._floor = floor or ""
        self._ids: set[str] = set()

    def sort_out(self, ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """Of a batch's ids: those that certainly came before or come twice in it, and those to look up."""
        seen: set[str] = set()
        repeated, unknown = [], []
        for identifier in ids:
            if identifier in seen or identifier in self._ids:
                repeated.append(identifier)
            elif not is_time_ordered(identifier) or identifier <= self._floor:
                unknown.append(identifier)
            seen.add(identifier)
        return repeated, unknown

    def remember(self, ids: Sequence[str]) -> None:
        """Take in the ids of a batch that was committed."""
        self._ids.update(i for i in ids if i > self._floor and is_time_ordered(i))
        if len(self._ids) > _KEPT:
            ordered = sorted(self._ids)
            self._floor = ordered[_KEPT // 2]
            self._ids = set(ordered[_KEPT // 2 + 1 :])

    def forget(self, newest: str | None) -> None:
        """Start again after a bulk batch, whose ids did not pass through here."""
        self._floor = max(self._floor, newest or "")
        self._ids.clear()


def is_time_ordered(identifier: str) -> bool:
    """Whether an id has the form of a UUIDv7: it then sorts by the millisecond in which it was made."""
    return len(identifier) == 36 and identifier[14] == "7" and identifier[8] == "-"
