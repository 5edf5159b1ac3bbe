"""Rows of the log, the outboxes and the inboxes as columns: millions of ids compared without an object for each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[np.bytes_]
Numbers = npt.NDArray[np.integer]
Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
_WORD = 8
_BLOCK = 8192
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

NO_KEY = _MIX[1]
"""The key of the empty text."""


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

    `sequence` is 0 where an event has none. `keys` are those of the event ids, `subject_keys` and `cause_keys` likewise
    (NO_KEY where there is no cause); `texts` has what they are keys of in parts, joined when somebody asks for them.
    `unreadable` are the (partition, position) of what is no event.
    """

    topic: str
    partition: Numbers
    position: Numbers
    kind: Numbers
    source: Numbers
    sequence: Numbers
    keys: Keys
    subject_keys: Keys
    cause_keys: Keys
    kinds: list[str]
    sources: list[str]
    texts: Mapping[str, list[Texts]]
    unreadable: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.position)

    @cached_property
    def event_id(self) -> Texts:
        """The event ids."""
        return joined_texts(self.texts["event_id"])

    @cached_property
    def subject(self) -> Texts:
        """The subjects: which aggregate, or which thing, each event is about."""
        return joined_texts(self.texts["subject"])

    @cached_property
    def cause(self) -> Texts:
        """The ids of the events or requests that led to each; empty where an event has none."""
        return joined_texts(self.texts["cause"])

    @cached_property
    def first(self) -> Mask:
        """Which are the first of their event id."""
        return first_occurrences(self.keys)

    def from_sources(self, names: Iterable[str]) -> Mask:
        """Which events came from one of these sources."""
        return _named(self.source, self.sources, names)

    def of_kinds(self, names: Iterable[str]) -> Mask:
        """Which events are of one of these types."""
        return _named(self.kind, self.kinds, names)

    def below(self, positions: dict[int, int]) -> Mask:
        """Which events lie before these positions of their partitions (a partition without one: none)."""
        bounds = np.zeros(1 + int(self.partition.max(initial=0)), dtype=np.int64)
        for partition, position in positions.items():
            if partition < len(bounds):
                bounds[partition] = position
        return np.asarray(self.position < bounds[self.partition], dtype=np.bool_)


def _named(codes: Numbers, known: Sequence[str], names: Iterable[str]) -> Mask:
    wanted = np.isin(np.array(known, dtype=object), list(names)) if known else np.zeros(0, dtype=np.bool_)
    return np.ones(len(codes), dtype=np.bool_) if wanted.all() else np.asarray(wanted[codes], dtype=np.bool_)


class Reading:
    """Collects the records of one topic, in order within each partition, and makes columns of them."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._parts: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in _EMPTY}
        self._texts: dict[str, list[Texts]] = {name: [] for name in _TEXTS}
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
        texts = {
            "event_id": column([head.id for head in heads]),
            "subject": column([head.subject for head in heads]),
            "cause": column([head.causationid or "" for head in heads]),
        }
        for name, some in texts.items():
            self._texts[name].append(some)
        made: dict[str, npt.NDArray[np.generic]] = {
            "partition": np.full(len(heads), partition, dtype=np.int16),
            "position": _positions(positions),
            "kind": _coded([head.type for head in heads], self._kinds),
            "source": _coded([head.source for head in heads], self._sources),
            "sequence": np.array([head.sequence or 0 for head in heads], dtype=np.int64),
            "keys": keys(texts["event_id"]),
            "subject_keys": keys(texts["subject"]),
            "cause_keys": keys(texts["cause"]),
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
            texts=self._texts,
            **columns,  # type: ignore[arg-type]  # each of its own kind, by _EMPTY
        )

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


_TEXTS = ("event_id", "subject", "cause")
NO_TEXTS: Texts = np.empty(0, dtype="S1")
NO_KEYS: Keys = np.empty(0, dtype=np.uint64)
_NO_NUMBERS: Numbers = np.empty(0, dtype=np.int64)
_EMPTY: dict[str, npt.NDArray[np.generic]] = {
    **dict.fromkeys(("partition", "position", "kind", "source", "sequence"), _NO_NUMBERS),
    **dict.fromkeys(("keys", "subject_keys", "cause_keys"), NO_KEYS),
}


def _coded(names: list[str], codes: _Codes) -> Numbers:
    if len(set(names)) == 1:
        return np.full(len(names), codes[names[0]], dtype=np.int16)
    return np.fromiter(map(codes.__getitem__, names), dtype=np.int16, count=len(names))


def column(texts: Sequence[str]) -> Texts:
    """Texts as one array of UTF-8."""
    if not texts:
        return NO_TEXTS
    joined = "".join(texts)
    if not joined.isascii():
        return np.array([text.encode() for text in texts], dtype=np.bytes_)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    width = max(1, int(lengths.max()))
    if len(joined) == width * len(texts):
        return np.frombuffer(joined.encode(), dtype=f"S{width}")
    begins = np.zeros(len(texts), dtype=np.int64)
    np.cumsum(lengths[:-1], out=begins[1:])
    windows: Texts = np.ndarray(
        (len(joined) + 1,), dtype=f"S{width}", buffer=joined.encode() + bytes(width), strides=(1,)
    )
    table = windows[begins].view(np.uint8).reshape(len(texts), width)
    table[np.arange(width) >= lengths[:, None]] = 0
    return table.view(f"S{width}").reshape(len(texts))


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
    some = [part for part in parts if len(part)]
    return some[0] if len(some) == 1 else np.concatenate(some) if some else NO_TEXTS


def keys(texts: Texts) -> Keys:
    """A 64-bit key of each text: equal texts have equal keys, and among a million others two meet once in 10^7 runs.

    Multiply-and-shift over eight bytes at a time, for as many texts at once as the processor's caches hold.
    """
    width = max(_WORD, -(-texts.dtype.itemsize // _WORD) * _WORD)
    found = np.full(len(texts), _MIX[1], dtype=np.uint64)
    for begin in range(0, len(texts), _BLOCK):
        some = texts[begin : begin + _BLOCK].astype(f"S{width}")
        _mix_in(found[begin : begin + _BLOCK], some.view(np.uint64).reshape(len(some), width // _WORD))
    return found


def _mix_in(mixed: Keys, words: Keys) -> None:
    """Mix each row's words into its key; padding adds nothing, so that a text has one key in columns of any width."""
    for at in range(words.shape[1]):
        word = np.ascontiguousarray(words[:, at])
        if word.all():
            mixed ^= word
            mixed[:] = _stirred(mixed)
        elif word.any():
            np.copyto(mixed, _stirred(mixed ^ word), where=word != 0)


def _stirred(mixed: Keys) -> Keys:
    once = mixed * _MIX[0]
    once ^= once >> np.uint64(29)
    once *= _MIX[1]
    once ^= once >> np.uint64(32)
    return once


def paired(one: Keys, other: npt.NDArray[np.integer]) -> Keys:
    """A key of each pair of a key and a number."""
    number = other.astype(np.uint64)
    number += np.uint64(1)
    number *= _MIX[1]
    number ^= one
    return _stirred(number)


def missing(wanted: Keys, there: Keys, is_sorted: bool = False) -> Mask:
    """Which of `wanted` are not in `there` (`is_sorted`: it rises)."""
    if len(there) == 0 or len(wanted) == 0:
        return np.ones(len(wanted), dtype=np.bool_)
    ordered = there if is_sorted else np.sort(there)
    rising = np.sort(wanted)  # to look up what rises goes through memory once, and sorting costs less than jumping
    if np.array_equal(rising, ordered) or not _absent(rising, ordered).any():
        return np.zeros(len(wanted), dtype=np.bool_)
    return _absent(wanted, ordered)


def _absent(wanted: Keys, ordered: Keys) -> Mask:
    at = np.searchsorted(ordered, wanted)
    at[at == len(ordered)] = 0
    return np.asarray(ordered[at] != wanted, dtype=np.bool_)


def first_occurrences(found: Keys) -> Mask:
    """Which are the first of their key."""
    ordered = np.sort(found)
    if bool((ordered[1:] != ordered[:-1]).all()):
        return np.ones(len(found), dtype=np.bool_)
    first = np.zeros(len(found), dtype=np.bool_)
    first[np.unique(found, return_index=True)[1]] = True
    return first


def grouped(found: Keys) -> npt.NDArray[np.int64]:
    """The order that brings equal keys together, each key's in the order in which they come.

    Sorts numbers that are the key's upper bits and the place in one: several times as fast as sorting places by keys.
    Where two keys share their upper bits it sorts the places instead.
    """
    bits = np.uint64(max(1, len(found)).bit_length())
    places = np.sort(found >> bits << bits | np.arange(len(found), dtype=np.uint64))
    places &= (np.uint64(1) << bits) - np.uint64(1)
    order = places.astype(np.int64)
    ordered = found[order]
    same_above = (ordered[1:] ^ ordered[:-1]) >> bits == 0
    if bool((same_above & (ordered[1:] != ordered[:-1])).any()):
        return np.argsort(found, kind="stable")
    return order


def texts_of(column_: Texts, most: int) -> list[str]:
    """The first texts of a column, for a person to read."""
    return [bytes(text).decode(errors="replace") for text in column_[:most]]
