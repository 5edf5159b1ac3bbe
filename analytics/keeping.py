"""Keeps batches of records: rows, rejects, and which event ids came before, all in one transaction a batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from analytics.batches import (
    EVENTS,
    REJECTED,
    TEXTS,
    Decoded,
    Rejected,
    decoded,
    records_at,
    rejected_table,
    texts,
)
from analytics.repeats import RecentIds, SeenIds
from analytics.statements import statement
from analytics.warehouse import Warehouse
from shop_stack.eventlog.interface import StoredRecord, Stretch
from shop_stack.events.topics import HISTORY

_TOGETHER = 10_240
_TOGETHER_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Kept:
    """A batch that was committed: how many records it had, their topics, and its latest live event's time."""

    records: int
    topics: frozenset[str]
    latest: datetime | None = None


class Keeper:
    """The writer of raw rows. `batch` is the number of the last one that was committed."""

    def __init__(self, warehouse: Warehouse, log_id: str) -> None:
        self._warehouse = warehouse
        self._log_id = log_id
        self._events = warehouse.feed("incoming_events", EVENTS)
        self._texts = warehouse.feed("incoming_texts", TEXTS)
        self._rejected = warehouse.feed("incoming_rejected", REJECTED)
        self.batch = int(warehouse.write(statement("ingest/last_batch"))[0][0] or 0)
        self._recent = RecentIds(warehouse.write(statement("ingest/newest_id"))[0][0])
        self._seen: SeenIds | None = None

    def keep_few(self, records: Sequence[StoredRecord], skipped: list[Rejected]) -> Kept:
        """Keep records decoded here: cheapest for a few. Raises WarehouseError, and nothing is kept then."""
        batch = decoded(records)
        repeated, unknown = self._recent.sort_out(batch.ids)
        with self._warehouse.transaction():
            repeated += self._look_up(unknown)
            self._write_decoded(batch, skipped)
            self._mark(repeated)
        self.batch += 1
        self._recent.remember(batch.ids)
        self._seen = None
        return Kept(len(records), frozenset(record.topic for record in records), batch.latest)

    def keep_much(
        self, stretches: Iterable[Stretch], skipped: list[Rejected], again: Callable[[Stretch], list[StoredRecord]]
    ) -> Kept:
        """Keep stretches parsed by DuckDB. `skipped` is read after them; `again` reads one record by record.

        Raises WarehouseError and what the reading raises; nothing is kept then.
        """
        seen, self._seen = self._seen or SeenIds(self._recent.newest, self._has_rows()), None
        records, topics = 0, set[str]()
        with self._warehouse.transaction():
            for together in _together(stretches):
                self._write_texts(together, again)
                records += sum(len(stretch.positions) for stretch in together)
                topics.update(stretch.topic for stretch in together)
            self._write_rejected(skipped)
            latest, newest = self._mark_repeats(seen)
        self.batch += 1
        self._recent.forget(newest)
        self._seen = None if seen.full else seen
        return Kept(records, frozenset(topics), latest)

    def settle(self) -> None:
        """Forget what only helps with the next bulk batch."""
        self._seen = None

    def _write_texts(self, together: list[Stretch], again: Callable[[Stretch], list[StoredRecord]]) -> None:
        plain: list[Stretch] = []
        parts: list[pa.RecordBatch] = []
        singly: list[StoredRecord] = []
        for stretch in together:
            part = texts(stretch)
            if part is None:
                singly += again(stretch)
            else:
                plain.append(stretch)
                parts.append(part)
        self._texts.table = pa.Table.from_batches(parts, schema=TEXTS)
        try:
            self._write("keep_texts")
        finally:
            self._texts.table = TEXTS.empty_table()
        unread = [(str(t), int(p), int(at)) for t, p, at in self._write("unread_texts")]
        if unread:
            self._write("drop_unread")
            singly += records_at(plain, unread)
        if singly:
            self._write_decoded(decoded(singly), [])

    def _mark_repeats(self, seen: SeenIds) -> tuple[datetime | None, str | None]:
        """Mark what came before in the batch; its latest live time and its largest time-ordered id."""
        given = {"floor": seen.floor, "history": HISTORY.name}
        latest, newest, low, high = self._write("batch_bounds", given)[0]
        ids: set[str] = set()
        twice = seen.add(self._warehouse.numbers(statement("ingest/id_hashes"), {"batch": self.batch + 1}))
        if twice:
            ids.update(row[0] for row in self._write("ids_by_hash", {"hashes": twice}))
        if low is not None and seen.others_before:
            bounds = {"floor": seen.floor, "low": low, "high": high}
            ids.update(row[0] for row in self._write("find_repeats", bounds))
        self._mark(list(ids))
        return latest.replace(tzinfo=UTC) if latest else None, newest

    def _mark(self, ids: list[str]) -> None:
        if ids:
            self._write("mark_repeats", {"ids": ids, "low": min(ids), "high": max(ids)})

    def _write_decoded(self, batch: Decoded, skipped: list[Rejected]) -> None:
        self._write_rejected(batch.rejected + skipped)
        self._events.table = batch.events
        self._write("keep_events")

    def _write_rejected(self, rejected: list[Rejected]) -> None:
        if rejected:
            self._rejected.table = rejected_table(rejected)
            self._write("keep_rejected")

    def _look_up(self, ids: list[str]) -> list[str]:
        if not ids:
            return []
        bounds = {"ids": ids, "low": min(ids), "high": max(ids)}
        return [row[0] for row in self._warehouse.write(statement("ingest/known_ids"), bounds)]

    def _has_rows(self) -> bool:
        return bool(self._warehouse.write("select 1 from every_event limit 1"))

    def _write(self, name: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        sql = statement(f"ingest/{name}")
        given: dict[str, object] = {"batch": self.batch + 1, **(parameters or {})}
        if "$log_id" in sql:
            given["log_id"] = self._log_id
        return self._warehouse.write(sql, given)


def _together(stretches: Iterable[Stretch]) -> Iterator[list[Stretch]]:
    """Stretches in groups of about 10,240 records or 8 MiB: each is worth a statement."""
    group: list[Stretch] = []
    records = size = 0
    for stretch in stretches:
        group.append(stretch)
        records += len(stretch.positions)
        size += len(stretch.lines)
        if records >= _TOGETHER or size >= _TOGETHER_BYTES:
            yield group
            group, records, size = [], 0, 0
    if group:
        yield group
