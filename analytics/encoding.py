"""An answer to an operator's statement as it is sent, in JSON or as an Arrow stream, bounded in rows and bytes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import msgspec
import pyarrow as pa

_LARGEST = 2**63


@dataclass(frozen=True)
class Encoded:
    """The answer's body and how many rows it has."""

    body: bytes
    rows: int


def json(
    names: list[str], types: list[str], batches: Iterable[pa.RecordBatch], rows: int, most: int, told: dict[str, Any]
) -> Encoded:
    """At most `rows` rows and `most` bytes of them as objects; `truncated` says that there were more."""
    names = distinct(names)
    kept: list[msgspec.Raw] = []
    size, truncated = 0, False
    for row in _rows(types, batches):
        one = msgspec.json.encode(dict(zip(names, row, strict=True)))
        size += len(one) + 1
        if len(kept) == rows or size > most:
            truncated = True
            break
        kept.append(msgspec.Raw(one))
    columns = [{"name": name, "type": kind.lower()} for name, kind in zip(names, types, strict=True)]
    answer = {"columns": columns, "rows": kept, "truncated": truncated, **_closing(told)}
    return Encoded(msgspec.json.encode(answer), len(kept))


def arrow(
    names: list[str], types: list[str], batches: Iterable[pa.RecordBatch], rows: int, most: int, told: dict[str, Any]
) -> Encoded:
    """The same as an Arrow stream; what JSON says beside the rows is in the schema's metadata."""
    kept: list[pa.RecordBatch] = []
    count, size, truncated = 0, 0, False
    for batch in batches:
        size += batch.nbytes
        if count == rows or size > most:
            truncated = truncated or batch.num_rows > 0
            break
        truncated = count + batch.num_rows > rows
        kept.append(batch.slice(0, rows - count))
        count += kept[-1].num_rows
        if truncated:
            break
    schema = kept[0].schema if kept else getattr(batches, "schema", pa.schema([]))
    fields = [field.with_name(name) for field, name in zip(schema, distinct(names), strict=True)]
    said = {"truncated": truncated, **_closing(told)}
    metadata = {name: value if isinstance(value, str) else msgspec.json.encode(value) for name, value in said.items()}
    schema = pa.schema(fields, metadata=metadata)
    sink = BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in kept:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return Encoded(sink.getvalue(), count)


def distinct(names: list[str]) -> list[str]:
    """The names with a number behind those that came before, as DuckDB names the columns of a subquery."""
    given: list[str] = []
    for name in names:
        new, number = name, 0
        while new in given or (number and new in names):
            number += 1
            new = f"{name}_{number}"
        given.append(new)
    return given


def _closing(told: dict[str, Any]) -> dict[str, Any]:
    """What is said beside the rows; `seconds` from the request's arrival to here."""
    said = {name: value for name, value in told.items() if name != "started"}
    return {**said, "seconds": round(time.monotonic() - told.get("started", 0.0), 4)}


def _rows(types: list[str], batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        columns = [_column(kind, column) for kind, column in zip(types, batch.columns, strict=True)]
        yield from zip(*columns, strict=True)


def _column(kind: str, column: pa.Array) -> list[Any]:
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):  # a time that Python has no date for
        values = column.cast(pa.string()).to_pylist()
    return [_document(value) for value in values] if kind == "JSON" else [_plain(value) for value in values]


def _document(text: str | None) -> Any:
    try:
        return None if text is None else _plain(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in UTC, whole numbers as numbers where JSON's readers take them exactly."""
    if value is None or isinstance(value, str | bool | float | bytes):
        return value
    if isinstance(value, int):
        return value if -_LARGEST <= value < 2 * _LARGEST else str(value)
    if isinstance(value, Decimal):
        return _plain(int(value)) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else value
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return str(value)
