"""Answers kept for a while: one of a state of the warehouse is made once however many ask, and its pages agree."""

import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from analytics.ingest import Watermark

MOST_BYTES = 32 * 1024 * 1024  # of one answer
_KEPT_BYTES = 48 * 1024 * 1024
_KEPT = 200
_KEPT_S = 120.0


class Pages(Protocol):
    """All rows of an answer, as they are sent."""

    @property
    def rows(self) -> int: ...

    @property
    def size(self) -> int: ...


class JsonRows:
    """Rows as JSON objects, one behind the other; `size` in bytes."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q", [0])

    @property
    def rows(self) -> int:
        """How many."""
        return len(self._ends) - 1

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self._text) + len(self._ends) * 8

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        self._text += msgspec.json.encode(row)
        self._text += b","
        self._ends.append(len(self._text))

    def page(self, first: int, number: int) -> msgspec.Raw:
        """The rows from `first` on, at most `number`, as a JSON array."""
        last = min(self.rows, first + number)
        begin, end = self._ends[first], self._ends[last]
        return msgspec.Raw(b"[" + bytes(self._text[begin : max(begin, end - 1)]) + b"]")


class ArrowRows:
    """Rows as an Arrow table; `size` in bytes."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.rows: int = table.num_rows
        self.size: int = table.nbytes

    def page(self, first: int, number: int, told: dict[str, bytes | str]) -> bytes:
        """The rows from `first` on, at most `number`, as an Arrow stream with `told` in its schema's metadata."""
        table = self._table.slice(first, number).replace_schema_metadata(told)
        sink = BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()


@dataclass
class Kept:
    """An answer: its columns by name and DuckDB type, its rows, and how far the warehouse had read before it was made.

    `values` are those that its statement was run with.
    """

    key: str
    question: str
    columns: list[tuple[str, str]]
    pages: Pages
    watermark: Watermark
    values: dict[str, object]
    used_at: float = field(default_factory=time.monotonic)


class Answers:
    """The newest answers, at most 200 and 48 MiB, each for two minutes after it was last asked for. Thread-safe."""

    def __init__(self, most: int = _KEPT, most_bytes: int = _KEPT_BYTES, kept_s: float = _KEPT_S) -> None:
        self._most, self._most_bytes, self._kept_s = most, most_bytes, kept_s
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._under_way: dict[str, Future[Kept]] = {}
        self._forgotten = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        with self._lock:
            return sum(one.pages.size for one in self._kept.values())

    def find(self, key: str) -> Kept | None:
        """The answer, if it is kept."""
        with self._lock:
            self._drop()
            found = self._kept.get(key)
            if found is not None:
                found.used_at = time.monotonic()
                self._kept.move_to_end(key)
            return found

    def make(self, key: str, make: Callable[[], Kept], threads: Executor) -> Future[Kept]:
        """The answer to come; one that is being made already is not made again."""
        with self._lock:
            if key not in self._under_way:
                self._under_way[key] = threads.submit(self._make, key, make, self._forgotten)
            return self._under_way[key]

    def forget(self) -> None:
        """Drop every answer, and keep none that is being made: what they were made from may not be told any more."""
        with self._lock:
            self._forgotten += 1
            self._kept.clear()
            self._under_way.clear()

    def _make(self, key: str, make: Callable[[], Kept], since: int) -> Kept:
        made = None
        try:
            made = make()
            return made
        finally:
            with self._lock:
                if since == self._forgotten:
                    del self._under_way[key]
                    if made is not None:
                        self._kept[key] = made
                    self._drop()

    def _drop(self) -> None:
        oldest = time.monotonic() - self._kept_s
        for key in [key for key, one in self._kept.items() if one.used_at < oldest]:
            del self._kept[key]
        while len(self._kept) > self._most or sum(one.pages.size for one in self._kept.values()) > self._most_bytes:
            self._kept.popitem(last=False)
