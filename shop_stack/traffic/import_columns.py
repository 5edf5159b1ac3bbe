"""Which columns of a file of past orders are which, and how their values become plain ones; a bad one names its row."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shop_stack.errors import ImportRefused

# Usual names, compared in lower case without anything but letters and digits; the first that is there is taken.
NAMES = {
    "invoice": ("invoice", "invoiceno", "invoicenumber", "invoiceid", "orderid", "orderno", "ordernumber", "order"),
    "stock_code": ("stockcode", "sku", "productid", "productcode", "itemcode", "itemid"),
    "description": ("description", "productname", "productdescription", "itemname", "name"),
    "quantity": ("quantity", "qty", "units"),
    "invoiced_at": ("invoicedat", "invoicedate", "orderdate", "orderedat", "datetime", "timestamp", "date"),
    "unit_price": ("unitprice", "price", "priceeach"),
    "customer_id": ("customerid", "customerno", "customernumber", "customer"),
    "country": ("country", "shipcountry"),
}
NEEDED = ("invoice", "stock_code", "quantity", "invoiced_at", "unit_price")
PRICE_DECIMALS = 6
_PRICE = pa.decimal128(18, PRICE_DECIMALS)
_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M",
    "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M", "%m/%d/%y %H:%M", "%Y-%m-%d",
)  # fmt: skip
_FIRST_TIME = pa.scalar("1970-01-02").cast(pa.timestamp("us"))
_LAST_TIME = pa.scalar("2100-01-01").cast(pa.timestamp("us"))


def find_columns(header: Sequence[str]) -> dict[str, str]:
    """The file's own name of each of our columns that it has. Raises ImportRefused when a needed one is missing."""
    plain = {"".join(c for c in name.casefold() if c.isalnum()): name for name in reversed(header)}
    found = {ours: plain[alias] for ours, aliases in NAMES.items() for alias in reversed(aliases) if alias in plain}
    for ours in NEEDED:
        if ours not in found:
            shown = ", ".join(repr(name) for name in header[:12])
            raise ImportRefused(
                f"row 0 (the header), column {ours}: the file has none; it has {shown}; "
                f"name one of them {ours} (or {', '.join(NAMES[ours][1:4])})"
            )
    return found


def whole_numbers(name: str, values: pa.Array, first_row: int) -> pa.Array:
    """Values as int64. Raises ImportRefused."""
    return _converted(name, values, first_row, lambda v: _trimmed(v).cast(pa.int64()), "a whole number")


def prices(name: str, values: pa.Array, first_row: int) -> pa.Array:
    """Prices as int64 millionths of the currency's unit, exactly. Raises ImportRefused."""
    return _converted(name, values, first_row, _millionths, f"a price of at most {PRICE_DECIMALS} decimals")


def _millionths(values: pa.Array) -> pa.Array:
    if pa.types.is_floating(values.type):
        # A float says nothing beyond its sixth decimal but noise: 2.5500000000000003 was meant as 2.55.
        return pc.round(pc.multiply(values.cast(pa.float64()), float(10**PRICE_DECIMALS))).cast(pa.int64())
    text = _trimmed(values)
    if pa.types.is_integer(text.type):
        text = text.cast(pa.string())
    million = pa.scalar(10**PRICE_DECIMALS, pa.decimal128(7, 0))
    return pc.multiply(text.cast(_PRICE), million).cast(pa.int64())


def texts(name: str, values: pa.Array, first_row: int) -> pa.Array:
    """Values as trimmed strings, empty ones null. A whole number kept as float loses its `.0`."""

    def convert(raw: pa.Array) -> pa.Array:
        if pa.types.is_floating(raw.type):
            raw = pc.if_else(pc.is_nan(raw), None, raw)
        text = _trimmed(raw.cast(pa.string()))
        text = pc.replace_substring_regex(text, r"^(\d+)\.0$", r"\1")
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)

    return _converted(name, values, first_row, convert, "text")


def times(name: str, values: pa.Array, first_row: int) -> pa.Array:
    """Times as timestamps in microseconds; texts stay texts until the whole column is known (see parse_times)."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _trimmed(values)
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    return _converted(name, values, first_row, lambda v: v.cast(pa.timestamp("us", zone)), "a time")


def parse_times(name: str, values: pa.Array) -> pa.Array:
    """The whole column as timestamps in microseconds, texts read in the first format that fits most of them.

    One format is used for all rows. Raises ImportRefused with the first row that does not fit it.
    """
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        texts_given = values
        values = _best_parse(values)
        _refuse_nulls(name, values, texts_given, f"a time such as {_TIME_FORMATS[0]}")
    plain = values.cast(pa.timestamp("us"))
    odd = pc.or_(pc.less(plain, _FIRST_TIME), pc.greater(plain, _LAST_TIME))
    if pc.any(odd).as_py():
        row = pc.index(odd, True).as_py()
        raise _refused(name, row + 1, plain[row].as_py(), "a time between 1970 and 2100")
    return values


def _best_parse(values: pa.Array) -> pa.Array:
    best = None
    for time_format in _TIME_FORMATS:
        read = pc.strptime(values, format=time_format, unit="us", error_is_null=True)
        if best is None or read.null_count < best.null_count:
            best = read
        if read.null_count == 0:
            break
    return best


def refuse_missing(name: str, values: pa.Array, first_row: int) -> None:
    """Raise ImportRefused when a value is missing; `first_row` is the number of the first."""
    if values.null_count:
        row = first_row + pc.index(pc.is_null(values), True).as_py()
        raise ImportRefused(f"row {row}, column {name}: the value is missing; mend the file and import it again")


def _refuse_nulls(name: str, values: pa.Array, given: pa.Array, wanted: str) -> None:
    if values.null_count:
        row = pc.index(pc.is_null(values), True).as_py()
        raise _refused(name, row + 1, given[row].as_py(), wanted)


def _trimmed(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return pc.utf8_trim_whitespace(values)
    return values


def _converted(
    name: str, values: pa.Array, first_row: int, convert: Callable[[pa.Array], pa.Array], wanted: str
) -> pa.Array:
    try:
        return convert(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        for at in range(len(values)):
            try:
                convert(values.slice(at, 1))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise _refused(name, first_row + at, values[at].as_py(), wanted) from error
        raise


def _refused(name: str, row: int, value: Any, wanted: str) -> ImportRefused:
    return ImportRefused(
        f"row {row}, column {name}: {str(value)[:80]!r} is not {wanted}; mend the file and import it again"
    )
