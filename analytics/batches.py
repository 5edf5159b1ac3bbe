"""A batch of the log's records as Arrow columns: decoded here when small, as JSON text for DuckDB when large."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from shop_stack.eventlog.interface import StoredRecord, Stretch
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
    ]
)
_NEWLINE = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Wire(msgspec.Struct):
    id: str
    source: str
    type: str
    time: datetime
    data: msgspec.Raw
    subject: str | None = None
    sequence: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    correlationid: str | None = None
    causationid: str | None = None


class Rejected(msgspec.Struct, frozen=True):
    """A record that is no event, or a stretch of the log that was removed before it was read.

    Its content is not kept: it may be anything, a person's name too, and lies in the log at its position.
    """

    topic: str
    partition: int
    position: int
    reason: str


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
            rejected.append(Rejected(record.topic, record.partition, record.position, str(error)))
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


def texts(stretch: Stretch) -> pa.RecordBatch | None:
    """The values as text for DuckDB to parse, in columns of TEXTS; None when they are not UTF-8, one a line.

    The lines stay as they lie, each with the newline at its end, which is white space in JSON.
    """
    number = len(stretch.positions)
    ends = np.flatnonzero(np.frombuffer(stretch.lines, np.uint8) == _NEWLINE)
    if len(ends) != number - 1 or not _is_utf8(stretch.lines):
        return None
    offsets = np.empty(number + 1, np.int32)
    offsets[0], offsets[-1] = 0, len(stretch.lines)
    offsets[1:-1] = ends + 1
    values = pa.StringArray.from_buffers(number, pa.py_buffer(offsets), pa.py_buffer(stretch.lines))
    topics = pa.repeat(pa.scalar(stretch.topic, pa.string()), number)
    partitions = pa.repeat(pa.scalar(stretch.partition, pa.int16()), number)
    positions = pa.array(np.asarray(stretch.positions, np.int64))
    return pa.record_batch([topics, partitions, positions, values], schema=TEXTS)


def _is_utf8(lines: bytes) -> bool:
    if lines.isascii():
        return True
    try:
        lines.decode()
    except UnicodeDecodeError:
        return False
    return True


def records_at(stretches: Sequence[Stretch], places: Sequence[tuple[str, int, int]]) -> list[StoredRecord]:
    """The records at these topics, partitions and positions, taken from the lines of stretches that are text."""
    wanted = set(places)
    return [
        StoredRecord(stretch.topic, stretch.partition, position, None, value, {}, 0)
        for stretch in stretches
        for position, value in zip(stretch.positions, stretch.lines.split(b"\n"), strict=True)
        if (stretch.topic, stretch.partition, position) in wanted
    ]


def rejected_table(rejected: Sequence[Rejected]) -> pa.Table:
    """What was no event, in columns of REJECTED."""
    rows = [msgspec.structs.asdict(r) for r in rejected]
    return pa.Table.from_pylist(rows, schema=REJECTED)
