"""A batch of the log's records as Arrow columns: decoded here when small, as JSON text for DuckDB when large."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from shop_stack.eventlog.interface import StoredRecord
from shop_stack.events.topics import HISTORY

EVENTS = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int16()),
        ("position", pa.int64()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("type", pa.string()),
        ("subject", pa.string()),
        ("time_us", pa.int64()),
        ("sequence", pa.int64()),
        ("correlation_id", pa.string()),
        ("causation_id", pa.string()),
        ("data", pa.string()),
    ]
)
TEXTS = pa.schema([("topic", pa.string()), ("partition", pa.int16()), ("position", pa.int64()), ("value", pa.string())])
REJECTED = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int16()),
        ("position", pa.int64()),
        ("reason", pa.string()),
        ("value", pa.binary()),
    ]
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Wire(msgspec.Struct):
    id: str
    source: str
    type: str
    time: datetime
    data: msgspec.Raw
    subject: str | None = None
    sequence: int | None = None
    correlationid: str | None = None
    causationid: str | None = None


class Rejected(msgspec.Struct, frozen=True):
    """A record that is no event, or a stretch of the log that was removed before it was read (`value` None)."""

    topic: str
    partition: int
    position: int
    reason: str
    value: bytes | None = None


@dataclass
class Decoded:
    """The events of a batch in columns of EVENTS, their ids, the latest live one's time, and what was no event."""

    events: pa.Table
    ids: list[str]
    latest: datetime | None = None
    rejected: list[Rejected] = field(default_factory=list)


_decode = msgspec.json.Decoder(_Wire).decode


def decoded(records: Sequence[StoredRecord]) -> Decoded:
    """Decode each record. Nothing is raised: a record that is no CloudEvent is among the rejected, with the reason."""
    columns: list[list[Any]] = [[] for _ in EVENTS]
    ids: list[str] = []
    rejected: list[Rejected] = []
    for record in records:
        try:
            row = _row(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            rejected.append(Rejected(record.topic, record.partition, record.position, str(error), record.value))
            continue
        ids.append(str(row[3]))
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    arrays = [pa.array(column, type_.type) for column, type_ in zip(columns, EVENTS, strict=True)]
    latest = max((us for topic, us in zip(columns[0], columns[7], strict=True) if topic != HISTORY.name), default=None)
    at = None if latest is None else _EPOCH + timedelta(microseconds=latest)
    return Decoded(events=pa.table(arrays, schema=EVENTS), ids=ids, latest=at, rejected=rejected)


def _row(record: StoredRecord) -> tuple[object, ...]:
    wire = _decode(record.value)
    if wire.time.tzinfo is None:
        raise ValueError("the event's time has no time zone")
    since = wire.time - _EPOCH
    return (
        record.topic,
        record.partition,
        record.position,
        wire.id,
        wire.source,
        wire.type,
        wire.subject,
        (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds,
        wire.sequence,
        wire.correlationid,
        wire.causationid,
        bytes(wire.data).decode(),
    )


def texts(records: Sequence[StoredRecord]) -> pa.Table:
    """The records' values as text, for DuckDB to parse. Raises ValueError when one is not UTF-8."""
    return pa.table(
        [
            pa.array([r.topic for r in records], pa.string()),
            pa.array([r.partition for r in records], pa.int16()),
            pa.array([r.position for r in records], pa.int64()),
            pa.array([r.value for r in records], pa.string()),
        ],
        schema=TEXTS,
    )


def rejected_table(rejected: Sequence[Rejected]) -> pa.Table:
    """What was no event, in columns of REJECTED."""
    rows = [msgspec.structs.asdict(r) for r in rejected]
    return pa.Table.from_pylist(rows, schema=REJECTED)
