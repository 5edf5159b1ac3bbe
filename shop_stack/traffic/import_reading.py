"""A file of past orders (Parquet or CSV) read whole into compact columns, or refused before anything is sent."""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from shop_stack.errors import ImportRefused
from shop_stack.traffic import import_columns as columns

_BATCH_ROWS = 65_536
_BLOCK = 1 << 20
_LARGEST_SUM = 9e18  # millionths; beyond it a 64-bit sum is not exact
_READERS = {
    "invoice": columns.texts,
    "stock_code": columns.texts,
    "description": columns.texts,
    "quantity": columns.whole_numbers,
    "invoiced_at": columns.times,
    "unit_price": columns.prices,
    "customer_id": columns.texts,
    "country": columns.texts,
}


@dataclass(frozen=True)
class Coded:
    """A text column: `codes[row]` is an index into `texts`, -1 where the value is missing."""

    codes: np.ndarray[Any, np.dtype[np.int64]]
    texts: list[str]


@dataclass(frozen=True)
class InvoiceLines:
    """A file's lines, one entry a row in each array; prices in millionths, times in microseconds.

    Times are local to `zone`, or UTC when it is None.
    """

    invoice: Coded
    stock_code: Coded
    description: Coded
    customer_id: Coded
    country: Coded
    quantity: np.ndarray[Any, np.dtype[np.int64]]
    price_millionths: np.ndarray[Any, np.dtype[np.int64]]
    at_us: np.ndarray[Any, np.dtype[np.int64]]
    zone: ZoneInfo | None

    def __len__(self) -> int:
        return len(self.quantity)


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 of a file's bytes (hexadecimal), and whether they are UTF-8 all through."""

    file_hash: str
    utf8: bool


def fingerprint(path: Path) -> Fingerprint:
    """Hash a file. Raises ImportRefused when it cannot be read."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    utf8 = True
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                utf8 = utf8 and _decodes(decoder, block)
    except OSError as error:
        raise ImportRefused(f"cannot read {path}: {error.strerror}; nothing was imported") from error
    return Fingerprint(digest.hexdigest(), utf8)


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes) -> bool:
    try:
        decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def read_lines(path: Path, zone: ZoneInfo, utf8: bool = True) -> InvoiceLines:
    """Read and check every row. Raises ImportRefused naming the row (from 1, the header not counted) and column."""
    parts: dict[str, list[pa.Array]] = {name: [] for name in columns.NAMES}
    row = 1
    try:
        for batch in _batches(path, utf8):
            found = columns.find_columns(batch.schema.names)
            for ours, theirs in found.items():
                values = _READERS[ours](theirs, _plain(batch.column(theirs)), row)
                if ours in columns.NEEDED:
                    columns.refuse_missing(theirs, values, row)
                parts[ours].append(values)
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ImportRefused(f"{path.name}, after row {row - 1}: the file is broken ({reason})") from error
    if row == 1:
        raise ImportRefused(f"{path.name} has no rows; nothing was imported")
    return _assembled(parts, row - 1, zone)


def _batches(path: Path, utf8: bool) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        file_read = pa.parquet.ParquetFile(path, memory_map=False, pre_buffer=False)
        wanted = list(columns.find_columns(file_read.schema_arrow.names).values())
        yield from file_read.iter_batches(batch_size=_BATCH_ROWS, columns=wanted)
    elif path.suffix.lower() in (".parquet", ".xlsx", ".xls", ".zip", ".gz"):
        raise ImportRefused(f"{path.name} is no Parquet file; save it as Parquet or CSV and import that")
    else:
        yield from _csv_batches(path, utf8)


def _csv_batches(path: Path, utf8: bool) -> Iterator[pa.RecordBatch]:
    bad: list[Any] = []

    def note(row: Any) -> str:
        bad.append(row)
        return "skip"

    reading = pa.csv.ReadOptions(encoding="utf8" if utf8 else "iso-8859-1", use_threads=False, block_size=_BLOCK)
    header = _csv_header(path, reading.encoding)
    as_text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=["", "NA", "NaN", "nan"]
    )
    parsing = pa.csv.ParseOptions(invalid_row_handler=note, newlines_in_values=True)
    with pa.csv.open_csv(path, read_options=reading, convert_options=as_text, parse_options=parsing) as reader:
        for batch in reader:
            _refuse_bad_row(bad, len(header))
            yield batch
        _refuse_bad_row(bad, len(header))


def _csv_header(path: Path, encoding: str) -> list[str]:
    one_block = pa.csv.ReadOptions(encoding=encoding, use_threads=False, block_size=_BLOCK)
    lenient = pa.csv.ParseOptions(invalid_row_handler=lambda row: "skip", newlines_in_values=True)
    with pa.csv.open_csv(path, read_options=one_block, parse_options=lenient) as reader:
        names: list[str] = reader.schema.names
    return names


def _refuse_bad_row(bad: list[Any], expected: int) -> None:
    if bad:
        # The parser counts the header as row 1.
        number = bad[0].number - 1 if bad[0].number is not None else "?"
        raise ImportRefused(
            f"row {number}, column {min(bad[0].actual_columns, expected) + 1}: the row has {bad[0].actual_columns} "
            f"columns, the header {expected}; mend the file and import it again"
        )


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _assembled(parts: dict[str, list[pa.Array]], rows: int, zone: ZoneInfo) -> InvoiceLines:
    at = columns.parse_times("invoiced_at", _joined(parts.pop("invoiced_at")))
    lines = InvoiceLines(
        invoice=_coded(parts.pop("invoice"), rows),
        stock_code=_coded(parts.pop("stock_code"), rows),
        description=_coded(parts.pop("description"), rows),
        customer_id=_coded(parts.pop("customer_id"), rows),
        country=_coded(parts.pop("country"), rows),
        quantity=_joined(parts.pop("quantity")).to_numpy(),
        price_millionths=_joined(parts.pop("unit_price")).to_numpy(),
        at_us=at.cast(pa.int64()).to_numpy(),
        zone=None if at.type.tz else zone,
    )
    return _refuse_too_large(lines)


def _refuse_too_large(lines: InvoiceLines) -> InvoiceLines:
    worth = np.abs(lines.quantity.astype(np.float64) * lines.price_millionths.astype(np.float64))
    if worth.sum() > _LARGEST_SUM:
        row = int(worth.argmax()) + 1
        raise ImportRefused(f"row {row}, column quantity: quantity and price are too large to add up; mend the file")
    return lines


def _joined(parts: list[pa.Array]) -> pa.Array:
    return pa.concat_arrays(parts)


def _coded(parts: list[pa.Array], rows: int) -> Coded:
    if not parts:
        return Coded(np.full(rows, -1, dtype=np.int64), [])
    encoded = _joined(parts).dictionary_encode()
    codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return Coded(codes, encoded.dictionary.to_pylist())
