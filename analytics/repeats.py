"""Which event ids may have come before: time-ordered ids are known from memory, all others are looked up."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_KEPT = 20_000
_FIRST_SLOTS = 1 << 17
_MOST_IDS = 1_800_000  # in 32 MiB, at most half filled

Hashes = npt.NDArray[np.uint64]


class RecentIds:
    """The time-ordered ids (UUIDv7) kept since `floor`; an id below it, or of another kind, must be looked up.

    `floor` is the largest time-ordered id in the warehouse when it was opened: every one above it that is kept
    later passes through here.
    """

    def __init__(self, floor: str | None) -> None:
        self._floor = floor or ""
        self._ids: set[str] = set()

    @property
    def newest(self) -> str:
        """The largest time-ordered id that was kept; empty when none was."""
        return max(self._floor, max(self._ids, default=""))

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


class SeenIds:
    """The 64-bit hashes of all ids kept by bulk batches that follow each other, in open addressing.

    `floor` is the largest time-ordered id kept before the first of them. One that is larger came before only if
    its hash is here; any other id may be among the rows from before, if there were any (`others_before`).
    """

    def __init__(self, floor: str, others_before: bool) -> None:
        self.floor = floor
        self.others_before = others_before
        self._table: Hashes = np.zeros(_FIRST_SLOTS, np.uint64)
        self._used = 0

    @property
    def full(self) -> bool:
        """Whether it takes no more: start another one."""
        return self._used >= _MOST_IDS

    def add(self, hashes: Hashes) -> list[int]:
        """Take in the hashes of a batch; those that came before, or come more than once in it."""
        once, counts = np.unique(np.maximum(hashes, np.uint64(1)), return_counts=True)  # 0 is an empty slot
        while (self._used + len(once)) * 2 > len(self._table):
            self._grow()
        known = self._place(once)
        self._used += len(once) - len(known)
        return [int(number) for number in np.union1d(once[counts > 1], known)]

    def _grow(self) -> None:
        kept = self._table[self._table != 0]
        self._table = np.zeros(len(self._table) * 2, np.uint64)
        self._place(kept)

    def _place(self, hashes: Hashes) -> Hashes:
        """Put each hash into the first free slot from its own on; those that were found there already."""
        known: list[Hashes] = []
        mask = np.uint64(len(self._table) - 1)
        slots = hashes & mask
        while len(hashes):
            there = self._table[slots]
            known.append(hashes[there == hashes])
            free = there == 0
            self._table[slots[free]] = hashes[free]  # of several that want one slot the last gets it
            left = (there != hashes) & (self._table[slots] != hashes)
            hashes, slots = hashes[left], (slots[left] + np.uint64(1)) & mask
        return np.concatenate(known) if known else np.zeros(0, np.uint64)


def is_time_ordered(identifier: str) -> bool:
    """Whether an id has the form of a UUIDv7: it then sorts by the millisecond in which it was made."""
    return len(identifier) == 36 and identifier[14] == "7" and identifier[8] == "-"
