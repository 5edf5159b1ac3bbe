"""Reads every topic by own positions and keeps rows and positions in one transaction, then the marts."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from analytics.batches import Rejected
from analytics.keeping import Keeper, Kept
from analytics.linger import Rate, linger_s
from analytics.shares import shares
from analytics.statements import statement
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.errors import (
    ForeignLog,
    LogUnavailable,
    PositionBelowStart,
    PositionPastEnd,
)
from shop_stack.eventlog.interface import EventLog, StoredRecord, Stretch, TopicPartition, check_position
from shop_stack.events.topics import HISTORY
from shop_stack.telemetry.tracing import within

_MOST_RECORDS = 122_880  # a row group of DuckDB's: a transaction that fills one is written once, past its WAL
_MOST_BYTES = 64 * 1024 * 1024
_AT_ONCE = 10_240
_BULK = 1_000
_ROLL_ROWS = 5_000
_ROLL_ROWS_BEHIND = 300_000
_ROLL_S = 60.0
_COMPACT_ROWS = 2_000
_COMPACT_S = 86_400.0
_WAIT_S = 1.0
_RETRY_S = 2.0
_LOOK_S = 30.0
_Read = TypeVar("_Read")


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
        self._keeper = Keeper(warehouse, log.log_id)
        self._rate = Rate()
        self._committed: list[tuple[int, int]] = []
        self._turns: dict[TopicPartition, int] = {}  # the last bulk batch that read of a partition
        self._fresh, self._fresh_since, self._behind = 1, clock(), False
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
            except (LogUnavailable, PositionBelowStart, WarehouseError) as error:
                self._say(trouble=str(error))
                stop.wait(_RETRY_S)

    def _catch_up(self, stop: threading.Event) -> None:
        while self._behind and not stop.is_set():
            self.roll_up_when_due()
            if not self.step():
                break
        self._behind = False
        self.roll_up()
        self._keeper.settle()
        self._warehouse.settle()

    def step(self) -> int:
        """Read what there is, at most 122,880 records, and commit it; how many records were read."""
        news = self._log.news(self._positions)
        if not news:
            self._rate.count(0, self._clock())
            return 0
        missing = sum(end - self._positions[partition] for partition, end in news.items())
        kept = False
        try:
            with within("analytics", "ingest", "consumer", None, {}) as span:
                batch = self._keep_much(news) if missing >= _BULK else self._keep_few(news)
                if span is not None and batch is not None:
                    span.attributes["messaging.batch.message_count"] = batch.records
            kept = True
        finally:
            if not kept:
                self._positions, _ = self._kept_positions()
        if batch is not None:
            self._note(batch)
        self._behind = batch is not None and missing - batch.records >= _BULK
        return batch.records if batch is not None else 0

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
        with within("analytics", "roll up", "internal", None, {}), self._warehouse.transaction():
            self._count_delays()
            self._warehouse.roll_up(self._keeper.batch)
        self._committed.clear()
        self._fresh = 0
        self._compact_when_due()

    def _compact_when_due(self) -> None:
        """Every rollup appends to the marts; now and then the rows of the last day are added up."""
        if self._warehouse.rows_to_compact() > _COMPACT_ROWS:
            since = datetime.fromtimestamp(self._clock() - _COMPACT_S, UTC).replace(
                tzinfo=None, second=0, microsecond=0
            )
            with self._warehouse.transaction():
                self._warehouse.compact(since)

    def halt(self, reason: str) -> None:
        """Stop for good and say why, in the watermark of every answer."""
        self._say(halted=reason)

    def _say(self, halted: str | None = None, trouble: str | None = None) -> None:
        self.watermark = Watermark(self.watermark.at, self.watermark.positions, halted, trouble)

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

    def _keep_few(self, news: Mapping[TopicPartition, int]) -> Kept | None:
        records: list[StoredRecord] = []
        skipped: list[Rejected] = []
        for partition, end in news.items():
            while len(records) < _MOST_RECORDS and self._positions[partition] != end:
                more = self._from_start(self._log.read, partition, _AT_ONCE, skipped)
                records += more
                if not more:
                    break
                self._positions[partition] = more[-1].position + 1
        return self._keeper.keep_few(records, skipped) if records or skipped else None

    def _keep_much(self, news: Mapping[TopicPartition, int]) -> Kept:
        skipped: list[Rejected] = []
        return self._keeper.keep_much(self._stretches(news, skipped), skipped, self._read_singly)

    def _stretches(self, news: Mapping[TopicPartition, int], skipped: list[Rejected]) -> Iterator[Stretch]:
        """A share of what is new in each partition, the positions moved beyond it.

        Where the batch is full before all had their turn, those that had none come first in the next one.
        """
        behind = {partition: max(1, end - self._positions[partition]) for partition, end in news.items()}
        share = shares(behind, _MOST_RECORDS)
        room = _MOST_BYTES
        for partition in sorted(news, key=lambda partition: self._turns.get(partition, 0)):
            left = share[partition]
            while left > 0 and room > 0 and self._positions[partition] != news[partition]:
                more = self._from_start(self._log.read_lines, partition, min(left, _AT_ONCE), skipped)
                if not more.positions:
                    break
                self._turns[partition] = self._keeper.batch + 1
                self._positions[partition] = more.positions[-1] + 1
                left -= len(more.positions)
                room -= len(more.lines)
                yield more

    def _from_start(
        self, read: Callable[[str, int, int, int], _Read], where: TopicPartition, most: int, skipped: list[Rejected]
    ) -> _Read:
        topic, number = where
        position = self._positions[where]
        try:
            return read(topic, number, position, most)
        except PositionBelowStart:
            start = self._log.starts(topic)[number]
            reason = f"positions {position} to {start - 1} were removed by retention before they were read"
            skipped.append(Rejected(topic, number, start - 1, reason))
            self._positions[where] = start
            return read(topic, number, start, most)

    def _read_singly(self, stretch: Stretch) -> list[StoredRecord]:
        found: list[StoredRecord] = []
        position, last = stretch.positions[0], stretch.positions[-1]
        while position <= last and (more := self._log.read(stretch.topic, stretch.partition, position, _AT_ONCE)):
            found += [record for record in more if record.position <= last]
            position = more[-1].position + 1
        return found

    def _note(self, batch: Kept) -> None:
        now = self._clock()
        self._committed.append((self._keeper.batch, int(now * 1_000_000)))
        self._rate.count(batch.records, now)
        self._fresh_since = now if not self._fresh else self._fresh_since
        self._fresh += batch.records
        at = max((t for t in (self.watermark.at, batch.latest) if t is not None), default=None)
        self.watermark = Watermark(at=at, positions=self._nested())
        if HISTORY.name in batch.topics:
            self._history_came()

    def _count_delays(self) -> None:
        if self._committed:
            numbers, times = zip(*self._committed, strict=True)
            given = {"batches": list(numbers), "times": list(times), "history": HISTORY.name}
            self._warehouse.write(statement("ingest/count_delays"), given)
            self._warehouse.write(statement("ingest/count_late"), given)

    def _nested(self) -> dict[str, dict[int, int]]:
        nested: dict[str, dict[int, int]] = {}
        for (topic, number), position in self._positions.items():
            nested.setdefault(topic, {})[number] = position
        return nested
