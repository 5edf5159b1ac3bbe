"""What the tests of analytics share: a log to write to, a warehouse to read from, and events made briefly."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from analytics.binding import bind
from analytics.checks import all_checks
from analytics.ingest import Ingest
from analytics.questions import find
from analytics.warehouse import Warehouse
from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.events import Event, Line, OrderPlaced, PastMinute, PastOrderRecorded
from shop_stack.ids import uuid7

NOW = datetime(2026, 11, 18, 12, 0, 30, tzinfo=UTC)  # a Wednesday
ZONE = ZoneInfo("Europe/London")


class Stand:
    """A log and a warehouse in one folder; `now` is the time of what is put and asked."""

    def __init__(self, folder: Path, log: EventLog | None = None) -> None:
        self.folder = folder
        self.log = log if log is not None else EmbeddedLog(folder / "log")
        if not (file := folder / "warehouse.duckdb").exists():
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_empty_warehouse())
        self.warehouse = Warehouse(file)
        self.ingest = Ingest(self.log, self.warehouse)
        self.now = NOW

    def put(self, *events: Event, at: datetime | None = None, identifier: str | None = None) -> None:
        """Append events, each with its first field as subject."""
        for event in events:
            self.log.append(event.topic.name, [record(event, at or self.now, identifier)])

    def catch_up(self) -> None:
        """Ingest all there is."""
        while self.ingest.step():
            pass

    def ask(self, name: str, **given: str) -> list[dict[str, Any]]:
        """The rows of a question at `now`."""
        question = find(name)
        return self.warehouse.ask(question.sql, bind(question, given, self.now, ZONE)).dictionaries()

    def check(self, at: datetime | None = None) -> None:
        """Every check returns nothing, `now` or at a time when the newest sample was fresh."""
        for check in all_checks():
            assert self.warehouse.ask(check.sql, check.bound(at or self.now)).rows == [], check.name

    def close(self) -> None:
        self.warehouse.close()
        self.log.close()

    def reopen(self) -> "Stand":
        """Close, and open again on the same folder."""
        self.close()
        return Stand(self.folder)


@cache
def _empty_warehouse() -> bytes:
    """The file of a warehouse without events: to make its marts takes longer than most tests of them."""
    folder = Path(tempfile.mkdtemp())
    try:
        with closing(Warehouse(folder / "warehouse.duckdb")) as warehouse:
            warehouse.settle()
        return (folder / "warehouse.duckdb").read_bytes()
    finally:
        shutil.rmtree(folder)


@contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    """A stand that is closed at the end."""
    made = Stand(folder)
    try:
        yield made
    finally:
        made.close()


def record(event: Event, at: datetime, identifier: str | None = None) -> Record:
    """An event as a record; its first field is its subject, and its order its correlation."""
    subject = str(getattr(event, event.__struct_fields__[0]))
    envelope = Envelope(
        id=identifier or uuid7(at),
        source="/tests",
        subject=subject,
        time=at,
        correlationid=getattr(event, "order_id", None),
        data=event,
    )
    return Record(key=subject, value=encode(envelope))


def placed(order_id: str, total_minor: int = 500, cart_id: str = "cart", product: str = "p1") -> OrderPlaced:
    """An order of one line."""
    lines = [Line(product, 1, total_minor)]
    return OrderPlaced(order_id=order_id, customer_id="c", cart_id=cart_id, lines=lines, total_minor=total_minor)


def past_order(order_id: str, total_minor: int = 500, origin: str = "simulated") -> PastOrderRecorded:
    """A past order of one line."""
    return PastOrderRecorded(
        order_id=order_id,
        customer_id=None,
        country=None,
        lines=[Line("p1", 1, total_minor)],
        total_minor=total_minor,
        origin=origin,
        file_hash="",
    )


def past_minute(requests: float, sessions: float = 4.0) -> PastMinute:
    """A simulated minute of one service."""
    return PastMinute(
        requests={"orders": requests},
        errors={"orders": 0.0},
        p95_ms={"orders": 12.0},
        sessions=sessions,
        origin="simulated",
    )


def midday(day: date) -> datetime:
    """Noon UTC of a day."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def days_before(number: int) -> datetime:
    """The same time `number` days before NOW."""
    return NOW - timedelta(days=number)
