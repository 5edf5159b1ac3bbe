"""The books' invariant over erased people: nothing of them is left in any store, and no byte of them in any file."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from shop_stack.ids import uuid7
from shop_stack.moments import moment
from shop_stack.operations.audit import Invariant, Tally, Watermark
from shop_stack.operations.audit_books import Book

_AT_ONCE = 4 * 1024 * 1024


class ErasedRow(NamedTuple):
    """A person who was erased (microseconds since 1970), under one of their ids."""

    customer_id: str
    erased_us: int


class RemainRow(NamedTuple):
    """Rows that a store still has of an id: how many of what, and where."""

    customer_id: str
    place: str
    what: str
    rows: int


class Trace(NamedTuple):
    """Bytes that were to be gone, found in a file: which of those looked for (counted from 1), at which offset."""

    file: str
    needle: int
    offset: int


def erased_people_absent(
    erased: Iterable[ErasedRow], remains: Iterable[RemainRow], traces: Iterable[Trace], files: int, watermark: Watermark
) -> Invariant:
    """No store keeps anything of an erased person, and none of the bytes looked for lie in any of so many files."""
    tally = Tally("erased_people_absent")
    when = {row.customer_id: row.erased_us for row in erased}
    tally.rows = len(when) + files
    for customer_id, place, what, rows in remains:
        settled = watermark.settled(when.get(customer_id, 0))
        tally.difference(customer_id, f"is erased and {place} keeps {rows} {what}", settled)
    for trace in traces:
        tally.difference(trace.file, f"has bytes number {trace.needle} of those that must be gone, at {trace.offset}")
    return tally.result("" if files else "no bytes were given to look for in the files")


def files_below(folder: Path, without: Sequence[Path] = ()) -> list[Path]:
    """Every file of a home: stores and their write-ahead logs, the event log, the warehouse, exports and logs."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in without]


def find_bytes(files: Iterable[Path], needles: Sequence[bytes]) -> Iterator[Trace]:
    """Where any of these byte strings lie, each once a file; read in pieces, whatever the file's size.

    A file that goes while it is looked for has nothing in it.
    """
    overlap = max((len(needle) for needle in needles), default=1) - 1
    for path in files:
        try:
            with path.open("rb") as file:
                yield from _in_file(file, path, needles, overlap)
        except FileNotFoundError:
            continue


def _in_file(file: BinaryIO, path: Path, needles: Sequence[bytes], overlap: int) -> Iterator[Trace]:
    wanted = dict(enumerate(needles, 1))
    tail, read = b"", 0
    while wanted and (piece := file.read(_AT_ONCE)):
        window = tail + piece
        for number, needle in list(wanted.items()):
            at = window.find(needle)
            if at >= 0:
                yield Trace(str(path), number, read - len(tail) + at)
                del wanted[number]
        read += len(piece)
        tail = window[-overlap:] if overlap else b""


# What each store must no longer keep: ?1 is the id, ?2 when it was erased, ?3 the smallest id made after that. Whoever
# comes again with an old token begins anew.
_REMAINS = (
    ("customers", "people", "profiles", "customer_id = ?1 AND (sealed IS NOT NULL OR email_mark IS NOT NULL)"),
    ("customers", "person_keys", "keys", "customer_id = ?1"),
    ("customers", "guests", "links to guests", "customer_id = ?1"),
    ("storefront", "carts", "carts", "subject = ?1 AND changed_us < ?2"),
    ("shipping", "shipments", "parcels under the id", "customer_id = ?1 AND order_id < ?3"),
    ("orders", "idempotency_keys", "kept answers", "subject = ?1 AND at < ?2"),
    ("storefront", "idempotency_keys", "kept answers", "subject = ?1 AND at < ?2"),
)


def remains_of(erased: Iterable[ErasedRow], place: str, store: Book) -> Iterator[RemainRow]:
    """What one store still keeps of these people."""
    there = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    asked = [(table, what, where) for of, table, what, where in _REMAINS if of == place and table in there]
    for person in erased:
        values = (person.customer_id, person.erased_us, uuid7(moment(person.erased_us), bytes(10)))
        for table, what, where in asked:
            sql = f"SELECT count(*) FROM {table} WHERE ?2 > 0 AND ?3 > '' AND {where}"  # noqa: S608 (of the constant)
            rows = int(store.execute(sql, values).fetchone()[0])
            if rows:
                yield RemainRow(person.customer_id, place, what, rows)


PLACES = tuple(dict.fromkeys(place for place, *_ in _REMAINS))
"""The services whose stores are looked at."""
