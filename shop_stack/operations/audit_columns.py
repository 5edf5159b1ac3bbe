"""Rows of the log, the outboxes and the inboxes as columns: millions of ids compared without an object for each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[np.bytes_]
Numbers = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
_WORD = 8
NO_TEXTS: Texts = np.empty(0, dtype="S1")
NO_KEYS: Keys = np.empty(0, dtype=np.uint64)
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


class _Codes(dict[str, int]):
    """A number for each text, in the order in which they come."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


class _Head(msgspec.Struct, gc=False):
    id: str
    type: str
    source: str = ""
    subject: str = ""
    sequence: int | None = None
    causationid: str | None = None


_head = msgspec.json.Decoder(_Head)


@dataclass(frozen=True)
class Records:
    """The events of one topic, by partition and position; `kind` and `source` index `kinds` and `sources`.

    `sequence` is 0 where an event has none. `unreadable` are the (partition, position) of what is no event.
    """

    topic: str
    partition: Numbers
    position: Numbers
    event_id: Texts
    subject: Texts
    cause: Texts
    kind: Numbers
    source: Numbers
    sequence: Numbers
    kinds: list[str]
    sources: list[str]
    unreadable: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.position)

    @cached_property
    def keys(self) -> Keys:
        """The keys of the event ids."""
        return keys(self.event_id)

    @cached_property
    def subject_keys(self) -> Keys:
        """The keys of the subjects."""
        return keys(self.subject)

    @cached_property
    def first(self) -> Mask:
        """Which are the first of their event id."""
        return first_occurrences(self.keys)

    def from_sources(self, names: Iterable[str]) -> Mask:
        """Which events came from one of these sources."""
        return np.isin(self.source, [at for at, name in enumerate(self.sources) if name in set(names)])

    def of_kinds(self, names: Iterable[str]) -> Mask:
        """Which events are of one of these types."""
        return np.isin(self.kind, [at for at, name in enumerate(self.kinds) if name in set(names)])

    def below(self, positions: dict[int, int]) -> Mask:
        """Which events lie before these positions of their partitions (a partition without one: none)."""
        bounds = np.zeros(1 + int(self.partition.max(initial=0)), dtype=np.int64)
        for partition, position in positions.items():
            if partition < len(bounds):
                bounds[partition] = position
        return np.asarray(self.position < bounds[self.partition], dtype=np.bool_)


@dataclass(frozen=True)
class Ids:
    """Event ids, and the keys of them, made once."""

    texts: Texts

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def keys(self) -> Keys:
        """One of each id."""
        return keys(self.texts)


class Reading:
    """Collects the records of one topic, in order within each partition, and makes columns of them."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._parts: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in _COLUMNS}
        self._kinds = _Codes()
        self._sources = _Codes()
        self._unreadable: list[tuple[int, int]] = []

    def add(
        self, partition: int, positions: Sequence[int], lines: bytes, one_by_one: Callable[[], Sequence[bytes]]
    ) -> None:
        """Some records of one partition, by position: their values as lines, and a way to each by itself."""
        heads, positions = self._heads(partition, positions, lines, one_by_one)
        if not heads:
            return
        kinds, number = self._kinds, len(heads)
        made: dict[str, npt.NDArray[np.generic]] = {
            "partition": np.full(number, partition, dtype=np.int64),
            "position": _positions(positions),
            "event_id": column([head.id for head in heads]),
            "subject": column([head.subject for head in heads]),
            "cause": column([head.causationid or "" for head in heads]),
            "kind": np.array([kinds[head.type] for head in heads], dtype=np.int64),
            "source": self._sources_of([head.source for head in heads]),
            "sequence": np.array([head.sequence or 0 for head in heads], dtype=np.int64),
        }
        for name, part in made.items():
            self._parts[name].append(part)

    def records(self) -> Records:
        """All that was added."""
        columns = {name: np.concatenate(parts) if parts else _EMPTY[name] for name, parts in self._parts.items()}
        return Records(
            topic=self._topic,
            kinds=list(self._kinds),
            sources=list(self._sources),
            unreadable=self._unreadable,
            **columns,  # type: ignore[arg-type]  # each of its own kind, by _COLUMNS
        )

    def _sources_of(self, names: list[str]) -> Numbers:
        sources = self._sources
        if len(set(names)) == 1:
            return np.full(len(names), sources[names[0]], dtype=np.int64)
        return np.array([sources[name] for name in names], dtype=np.int64)

    def _heads(
        self, partition: int, positions: Sequence[int], lines: bytes, one_by_one: Callable[[], Sequence[bytes]]
    ) -> tuple[list[_Head], Sequence[int]]:
        try:
            heads = _head.decode_lines(lines)
            if len(heads) == len(positions):
                return heads, positions
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass  # one of them is no event: each by itself
        kept: list[tuple[_Head, int]] = []
        for position, value in zip(positions, one_by_one(), strict=True):
            try:
                kept.append((_head.decode(value), position))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._unreadable.append((partition, position))
        return [head for head, _ in kept], [position for _, position in kept]


_COLUMNS = ("partition", "position", "event_id", "subject", "cause", "kind", "source", "sequence")
_NO_NUMBERS: Numbers = np.empty(0, dtype=np.int64)
_EMPTY: dict[str, npt.NDArray[np.generic]] = {
    name: NO_TEXTS if name in ("event_id", "subject", "cause") else _NO_NUMBERS for name in _COLUMNS
}


def column(texts: Sequence[str]) -> Texts:
    """Texts as one array of UTF-8."""
    if not texts:
        return NO_TEXTS
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    width, joined = max(1, int(lengths.max())), "".join(texts)
    if not joined.isascii():
        return np.array([text.encode() for text in texts], dtype=np.bytes_)
    if len(joined) == width * len(texts):
        return np.frombuffer(joined.encode(), dtype=f"S{width}")
    if len(joined) == width * int((lengths == width).sum()):  # the others are empty
        found: Texts = np.zeros(len(texts), dtype=f"S{width}")
        found[lengths == width] = np.frombuffer(joined.encode(), dtype=f"S{width}")
        return found
    return np.frombuffer("".join([text.ljust(width, "\0") for text in texts]).encode(), dtype=f"S{width}")


def _positions(positions: Sequence[int]) -> Numbers:
    """Mostly without a gap."""
    first, last = positions[0], positions[-1]
    if last - first + 1 == len(positions):
        return np.arange(first, last + 1, dtype=np.int64)
    return np.array(positions, dtype=np.int64)


def split(joined: bytes, number: int) -> Texts:
    """`number` texts that were joined by line feeds, as one array; fast when all are of one length."""
    if number == 0:
        return NO_TEXTS
    width = (len(joined) + 1) // number - 1
    if width > 0 and len(joined) == number * (width + 1) - 1:
        table = np.frombuffer(joined + b"\n", dtype=np.uint8).reshape(number, width + 1)
        if bool((table[:, width] == 10).all()) and int((table == 10).sum()) == number:
            return np.ascontiguousarray(table[:, :width]).view(f"S{width}").reshape(number)
    return np.array(joined.split(b"\n"), dtype=np.bytes_)


def joined_texts(parts: Sequence[Texts]) -> Texts:
    """Several columns one after another."""
    return np.concatenate(parts) if parts else NO_TEXTS


def keys(texts: Texts) -> Keys:
    """A 64-bit key of each text: equal texts have equal keys, and among a million others two meet once in 10^7 runs.

    Multiply-and-shift over eight bytes at a time.
    """
    width = max(_WORD, -(-texts.dtype.itemsize // _WORD) * _WORD)
    words = np.ascontiguousarray(texts.astype(f"S{width}", copy=False)).view(np.uint64)
    words = words.reshape(len(texts), width // _WORD)
    mixed = np.full(len(texts), _MIX[1], dtype=np.uint64)
    for at in range(words.shape[1]):
        word = words[:, at]
        stirred = _stirred(mixed ^ word)
        # Padding adds nothing, so that a text has one key in columns of any width.
        mixed = stirred if word.all() else np.where(word != 0, stirred, mixed)
    return mixed


def _stirred(mixed: Keys) -> Keys:
    once = mixed * _MIX[0]
    once ^= once >> np.uint64(29)
    once *= _MIX[1]
    return np.asarray(once ^ (once >> np.uint64(32)), dtype=np.uint64)


def paired(one: Keys, other: npt.NDArray[np.integer]) -> Keys:
    """A key of each pair of a key and a number."""
    return _stirred(one ^ (other.astype(np.uint64) + np.uint64(1)) * _MIX[1])


def missing(wanted: Keys, there: Keys, is_sorted: bool = False) -> Mask:
    """Which of `wanted` are not in `there` (`is_sorted`: it rises)."""
    if len(there) == 0 or len(wanted) == 0:
        return np.ones(len(wanted), dtype=np.bool_)
    ordered, order = there if is_sorted else np.sort(there), np.argsort(wanted)
    rising = wanted[order]  # looked up in order: ten times as fast as across the whole of memory
    at = np.searchsorted(ordered, rising)
    at[at == len(ordered)] = 0
    absent = np.empty(len(wanted), dtype=np.bool_)
    absent[order] = ordered[at] != rising
    return absent


def first_occurrences(found: Keys) -> Mask:
    """Which are the first of their key."""
    first = np.zeros(len(found), dtype=np.bool_)
    if len(found):
        ordered = np.sort(found)
        if bool((ordered[1:] != ordered[:-1]).all()):
            first[:] = True
        else:
            first[np.unique(found, return_index=True)[1]] = True
    return first


def texts_of(column_: Texts, most: int) -> list[str]:
    """The first texts of a column, for a person to read."""
    return [bytes(text).decode(errors="replace") for text in column_[:most]]
