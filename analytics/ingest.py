"""Reads every topic by own positions and keeps rows and positions in one transaction, then the marts."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from analytics.batches import EVENTS, REJECTED, TEXTS, Decoded, Rejected, decoded, rejected_table, texts
from analytics.linger import Rate, linger_s
from analytics.repeats import RecentIds
from analytics.statements import statement
from analytics.warehouse import MalformedData, Warehouse, WarehouseError
from shop_stack.errors import (
    ForeignLog,
    LogUnavailable,
    PositionBelowStart,
    PositionPastEnd,
)
from shop_stack.eventlog.interface import EventLog, StoredRecord, TopicPartition, check_position
from shop_stack.events.topics import HISTORY

_MOST_RECORDS = 10_000
_BULK = 1_000
_ROLL_ROWS = 5_000
_ROLL_ROWS_BEHIND = 50_000
_ROLL_S = 60.0
_WAIT_S = 1.0
_RETRY_S = 2.0
_LOOK_S = 30.0


@dataclass(frozen=True)
class Watermark:
    """How far the warehouse has read: the latest live event's time, and the next position of each partition.

    `halted` is None while ingestion goes on, else why it stopped for good.
    """

    at: datetime | None = None
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    halted: str | None = None
    trouble: str | None = None


class Ingest:
    """The writer of the warehouse. One thread calls `step` or `run`; `watermark` is for any."""

    def __init__(
        self,
        log: EventLog,
        warehouse: Warehouse,
        clock: Callable[[], float] = time.time,
        history_came: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to go on where the warehouse stands. Raises ForeignLog when it was filled from another log."""
        self._log = log
        self._warehouse = warehouse
        self._clock = clock
        self._history_came = history_came
        self._events = warehouse.feed("incoming_events", EVENTS)
        self._texts = warehouse.feed("incoming_texts", TEXTS)
        self._rejected = warehouse.feed("incoming_rejected", REJECTED)
        self._rate = Rate()
        self._committed: list[tuple[int, int]] = []
        self._fresh, self._fresh_since, self._behind = 1, clock(), False
        self._batch = self._last_batch = int(warehouse.write(statement("ingest/last_batch"))[0][0] or 0)
        self._recent = RecentIds(self._newest_id())
        self._positions, at = self._kept_positions()
        self.watermark = Watermark(at=at, positions=self._nested())
        self._check_log()
        self._looked_at = clock()

    def run(self, stop: threading.Event) -> None:
        """Ingest until `stop` is set; a transaction that began is finished.

        A foreign log or a lost tail halts ingestion and is said in the watermark; an unavailable log or a full
        disk is said there too and tried again.
        """
        while not stop.is_set() and self.watermark.halted is None:
            try:
                if self._log.wait(self._positions, _WAIT_S):
                    stop.wait(linger_s(self._rate.per_s))
                    self.step()
                    if self._behind:
                        self._catch_up(stop)
                self.roll_up_when_due()
                self._look_for_loss_when_due()
            except (ForeignLog, PositionPastEnd) as error:
                self.halt(str(error))
            except (LogUnavailable, WarehouseError) as error:
                self._say(trouble=str(error))
                stop.wait(_RETRY_S)

    def _catch_up(self, stop: threading.Event) -> None:
        while self._behind and not stop.is_set():
            self.roll_up_when_due()
            if not self.step():
                break
        self._behind = False
        self.roll_up()
        self._warehouse.settle()

    def step(self) -> int:
        """Read what there is, at most 10,000 records, and commit it; how many records were read."""
        records, skipped = self._read()
        if not records and not skipped:
            self._rate.count(0, self._clock())
            return 0
        self._keep(records, skipped)
        self._behind = len(records) >= _MOST_RECORDS
        return len(records)

    def roll_up_when_due(self) -> bool:
        """Add the fresh rows to the marts when they are many or old."""
        if not self._fresh:
            return False
        many = _ROLL_ROWS_BEHIND if self._behind else _ROLL_ROWS
        if self._fresh < many and self._clock() - self._fresh_since < _ROLL_S:
            return False
        self.roll_up()
        return True

    def roll_up(self) -> None:
        """Add the fresh rows to the marts, in one transaction."""
        with self._warehouse.transaction():
            self._count_delays()
            self._warehouse.roll_up(self._last_batch)
        self._committed.clear()
        self._fresh = 0

    def halt(self, reason: str) -> None:
        """Stop for good and say why, in the watermark of every answer."""
        self._say(halted=reason)

    def _say(self, halted: str | None = None, trouble: str | None = None) -> None:
        self.watermark = Watermark(self.watermark.at, self.watermark.positions, halted, trouble)

    def _newest_id(self, batch: int | None = None) -> str | None:
        found = self._warehouse.write(statement("ingest/newest_id"), {"batch": batch})
        return found[0][0] if found else None

    def _kept_positions(self) -> tuple[dict[TopicPartition, int], datetime | None]:
        positions: dict[TopicPartition, int] = {
            (topic, number): 0 for topic in self._log.topics() for number in range(self._log.partitions(topic))
        }
        latest: datetime | None = None
        for topic, partition, position, event_time in self._warehouse.write(statement("questions/freshness")):
            positions[(topic, int(partition))] = int(position)
            if event_time is not None and topic != HISTORY.name:
                at = event_time.replace(tzinfo=UTC)
                latest = at if latest is None else max(latest, at)
        return positions, latest

    def _look_for_loss_when_due(self) -> None:
        if self._clock() - self._looked_at >= _LOOK_S:
            self._looked_at = self._clock()
            self._look_for_loss()

    def _look_for_loss(self) -> None:
        """Raise PositionPastEnd where the log ends before what was read of it."""
        for topic in self._log.topics():
            for number, end in enumerate(self._log.ends(topic)):
                if self._positions[(topic, number)] > end:
                    check_position((topic, number), self._positions[(topic, number)], 0, end)

    def _check_log(self) -> None:
        known = self._warehouse.write("select log_id from log_identity")
        if not known:
            self._warehouse.write("insert into log_identity values ($log_id)", {"log_id": self._log.log_id})
        elif known[0][0] != self._log.log_id:
            self.halt(
                f"the warehouse was filled from log {known[0][0]}, and this log is {self._log.log_id}; "
                f"bring the old log back, or move the folder `analytics` out of the home to fill it anew"
            )
            return
        try:
            self._look_for_loss()
        except PositionPastEnd as error:
            self.halt(str(error))

    def _read(self) -> tuple[list[StoredRecord], list[Rejected]]:
        records: list[StoredRecord] = []
        skipped: list[Rejected] = []
        for (topic, number), end in self._log.news(self._positions).items():
            while len(records) < _MOST_RECORDS and self._positions[(topic, number)] != end:
                more = self._read_some(topic, number, _MOST_RECORDS - len(records), skipped)
                records += more
                if not more:
                    break
                self._positions[(topic, number)] = more[-1].position + 1
        return records, skipped

    def _read_some(self, topic: str, number: int, most: int, skipped: list[Rejected]) -> list[StoredRecord]:
        position = self._positions[(topic, number)]
        try:
            return self._log.read(topic, number, position, most)
        except PositionBelowStart:
            start = self._log.starts(topic)[number]
            reason = f"positions {position} to {start - 1} were removed by retention before they were read"
            skipped.append(Rejected(topic, number, start - 1, reason))
            self._positions[(topic, number)] = start
            return self._log.read(topic, number, start, most)

    def _keep(self, records: list[StoredRecord], skipped: list[Rejected]) -> None:
        kept = False
        try:
            keep = self._keep_bulk if len(records) >= _BULK else self._keep_decoded
            latest = keep(records, skipped)
            kept = True
        finally:
            if not kept:
                self._positions, _ = self._kept_positions()
        self._last_batch = self._batch
        now = self._clock()
        self._committed.append((self._batch, int(now * 1_000_000)))
        self._rate.count(len(records), now)
        self._fresh_since = now if not self._fresh else self._fresh_since
        self._fresh += len(records)
        at = max((t for t in (self.watermark.at, latest) if t is not None), default=None)
        self.watermark = Watermark(at=at, positions=self._nested())
        if any(record.topic == HISTORY.name for record in records):
            self._history_came()

    def _keep_bulk(self, records: list[StoredRecord], skipped: list[Rejected]) -> datetime | None:
        try:
            self._texts.table = texts(records)
            with self._warehouse.transaction():
                self._begin_batch(skipped)
                self._write("keep_texts")
                self._write("mark_repeats", {"ids": self._found_repeats()})
        except (ValueError, MalformedData):
            return self._keep_decoded(records, skipped)
        finally:
            self._texts.table = TEXTS.empty_table()
        self._recent.forget(self._newest_id(self._batch))
        return self._latest_time()

    def _keep_decoded(self, records: list[StoredRecord], skipped: list[Rejected]) -> datetime | None:
        batch = decoded(records)
        repeated, unknown = self._recent.sort_out(batch.ids)
        with self._warehouse.transaction():
            self._begin_batch(batch.rejected + skipped)
            repeated += self._look_up(unknown)
            self._write_events(batch)
            if repeated:
                self._write("mark_repeats", {"ids": repeated})
        self._recent.remember(batch.ids)
        return batch.latest

    def _write_events(self, batch: Decoded) -> None:
        self._events.table = batch.events
        self._write("keep_events")

    def _begin_batch(self, rejected: list[Rejected]) -> None:
        self._batch = self._last_batch + 1
        if rejected:
            self._rejected.table = rejected_table(rejected)
            self._write("keep_rejected")

    def _look_up(self, ids: list[str]) -> list[str]:
        if not ids:
            return []
        bounds = {"ids": ids, "low": min(ids), "high": max(ids)}
        return [row[0] for row in self._warehouse.write(statement("ingest/known_ids"), bounds)]

    def _found_repeats(self) -> list[str]:
        low, high = self._warehouse.write(
            "select min(id), max(id) from raw_events where batch = $batch", {"batch": self._batch}
        )[0]
        bounds = {"low": low, "high": high, "batch": self._batch}
        return [row[0] for row in self._warehouse.write(statement("ingest/find_repeats"), bounds)]

    def _write(self, name: str, parameters: dict[str, object] | None = None) -> None:
        sql = statement(f"ingest/{name}")
        given = {"batch": self._batch, **(parameters or {})}
        if "$log_id" in sql:
            given["log_id"] = self._log.log_id
        self._warehouse.write(sql, given)

    def _count_delays(self) -> None:
        if self._committed:
            numbers, times = zip(*self._committed, strict=True)
            given = {"batches": list(numbers), "times": list(times), "history": HISTORY.name}
            self._warehouse.write(statement("ingest/count_delays"), given)

    def _latest_time(self) -> datetime | None:
        found = self._warehouse.write(
            "select max(time) from raw_events where batch = $batch and topic <> $history",
            {"batch": self._batch, "history": HISTORY.name},
        )[0][0]
        return found.replace(tzinfo=UTC) if found else None

    def _nested(self) -> dict[str, dict[int, int]]:
        nested: dict[str, dict[int, int]] = {}
        for (topic, number), position in self._positions.items():
            nested.setdefault(topic, {})[number] = position
        return nested
