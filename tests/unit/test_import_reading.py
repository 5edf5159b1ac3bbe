"""A file is read exactly, whatever its form; a broken one is refused with the row and the column."""

from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shop_stack.errors import ImportRefused
from shop_stack.traffic.import_reading import InvoiceLines, fingerprint, read_lines
from shop_stack.traffic.past_orders import utc

pytestmark = pytest.mark.pure

LONDON = ZoneInfo("Europe/London")
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
GOOD = '536365,85123A,"WHITE, HANGING",6,12/1/2010 8:26,2.55,17850,United Kingdom'


def csv(folder: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    path = folder / "orders.csv"
    path.write_bytes("\r\n".join([header, *rows, ""]).encode(encoding))
    return path


def read(path: Path) -> InvoiceLines:
    return read_lines(path, LONDON, fingerprint(path).utf8)


def first_time(lines: InvoiceLines) -> str:
    return utc(int(lines.at_us[0]), lines).isoformat()


def test_a_csv_as_spreadsheets_write_it(tmp_path: Path):
    rows = (GOOD, "536366,22423,,-2,1/31/2011 17:05,0.1,17850.0,", "536366,22423,CAFÉ £5,1,1/31/2011 17:05,10,,EIRE")
    lines = read(csv(tmp_path, *rows, encoding="iso-8859-1"))
    assert lines.quantity.tolist() == [6, -2, 1]
    assert lines.price_millionths.tolist() == [2_550_000, 100_000, 10_000_000]
    assert lines.description.codes.tolist() == [0, -1, 1]
    assert lines.description.texts == ["WHITE, HANGING", "CAFÉ £5"]
    assert lines.customer_id.texts == ["17850"]
    assert lines.customer_id.codes.tolist() == [0, 0, -1]
    assert lines.country.codes.tolist() == [0, -1, 1]
    assert first_time(lines) == "2010-12-01T08:26:00+00:00"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2011-07-01 10:00:00", "2011-07-01T09:00:00+00:00"),
        ("2011-07-01 10:00", "2011-07-01T09:00:00+00:00"),
        ("2011-07-01T10:00:00", "2011-07-01T09:00:00+00:00"),
        ("7/1/2011 10:00", "2011-07-01T09:00:00+00:00"),
        ("25/07/2011 10:00", "2011-07-25T09:00:00+00:00"),
        ("2011-10-30 01:30", "2011-10-30T00:30:00+00:00"),
        ("2011-03-27 01:30", "2011-03-27T01:30:00+00:00"),
    ],
)
def test_local_times_become_utc(tmp_path: Path, given: str, expected: str):
    assert first_time(read(csv(tmp_path, f"1,a,b,1,{given},1,,"))) == expected


def test_one_format_is_used_for_the_whole_column(tmp_path: Path):
    lines = read(csv(tmp_path, "1,a,b,1,01/02/2011 10:00,1,,", "2,a,b,1,25/02/2011 10:00,1,,"))
    assert first_time(lines) == "2011-02-01T10:00:00+00:00"


@pytest.mark.parametrize("price", [pa.decimal128(10, 3), pa.float64(), pa.string()])
def test_a_parquet_file_of_any_price_type_is_read_exactly(tmp_path: Path, price: pa.DataType):
    amounts = [Decimal("2.550"), Decimal("0.001"), Decimal("-11062.060")]
    path = tmp_path / "orders.parquet"
    table = pa.table(
        {
            "invoice": pa.array(["1", "2", "A3"]).dictionary_encode(),
            "stock_code": ["a", "b", "B"],
            "quantity": pa.array([1, 2, 1], pa.int32()),
            "invoiced_at": pa.array(["2011-07-01 10:00:00"] * 3).cast(pa.timestamp("us")),
            "unit_price": pa.array(amounts, pa.decimal128(10, 3)).cast(price),
            "customer_id": pa.array([17850.0, None, float("nan")]),
        }
    )
    pq.write_table(table, path)
    lines = read(path)
    assert lines.price_millionths.tolist() == [int(amount * 1_000_000) for amount in amounts]
    assert lines.customer_id.codes.tolist() == [0, -1, -1]
    assert (lines.description.texts, lines.description.codes.tolist()) == ([], [-1, -1, -1])


def test_times_with_a_zone_are_taken_at_their_word(tmp_path: Path):
    path = tmp_path / "orders.parquet"
    at = pa.array(["2011-07-01 10:00:00Z"]).cast(pa.timestamp("ms", "UTC"))
    pq.write_table(
        pa.table({"order_id": [7], "sku": ["a"], "qty": [1], "order_date": at, "price": [1.5]}),
        path,
    )
    lines = read(path)
    assert first_time(lines) == "2011-07-01T10:00:00+00:00"
    assert lines.invoice.texts == ["7"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD.replace(",6,", ",six,"), "row 2, column Quantity: 'six' is not a whole number"),
        (GOOD.replace(",6,", ",6.5,"), "row 2, column Quantity: '6.5' is not a whole number"),
        (GOOD.replace(",6,", ",99999999999999999999,"), "row 2, column Quantity"),
        (GOOD.replace("2.55", "£2.55"), "row 2, column UnitPrice: '£2.55' is not a price"),
        (GOOD.replace("2.55", "2.5512345"), "row 2, column UnitPrice: '2.5512345' is not a price of at most 6"),
        (GOOD.replace("2.55", ""), "row 2, column UnitPrice: the value is missing"),
        (GOOD.replace("536365", ""), "row 2, column InvoiceNo: the value is missing"),
        (GOOD.replace("85123A", "  "), "row 2, column StockCode: the value is missing"),
        (GOOD.replace("12/1/2010 8:26", "yesterday"), "row 2, column invoiced_at: 'yesterday' is not a time"),
        (GOOD.replace("12/1/2010", "12/1/1066"), "row 2, column invoiced_at"),
        (GOOD + ",more", "row 2, column 9: the row has 9 columns, the header 8"),
        ("536365,85123A", "row 2, column 3: the row has 2 columns, the header 8"),
    ],
)
def test_a_bad_value_names_its_row_and_column(tmp_path: Path, row: str, said: str):
    with pytest.raises(ImportRefused) as refused:
        read(csv(tmp_path, GOOD, row, GOOD))
    assert said in str(refused.value)


def test_a_bad_value_far_down_has_the_right_row(tmp_path: Path):
    rows = [GOOD] * 70_000
    rows[65_999] = GOOD.replace(",6,", ",x,")
    with pytest.raises(ImportRefused, match="row 66000, column Quantity: 'x'"):
        read(csv(tmp_path, *rows))


def test_a_missing_column_is_named_with_what_there_is(tmp_path: Path):
    with pytest.raises(ImportRefused, match=r"column quantity: the file has none; it has .*'Pieces'"):
        read(csv(tmp_path, GOOD, header=HEADER.replace("Quantity", "Pieces")))


def test_sums_that_do_not_fit_are_refused_not_wrapped(tmp_path: Path):
    with pytest.raises(ImportRefused, match=r"row 2, column quantity: .*too large"):
        read(csv(tmp_path, GOOD, GOOD.replace(",6,", f",{10**10},").replace("2.55", "999999999999")))


@pytest.mark.parametrize("content", [b"PAR1 and then nothing", b"", b"PAR1" + bytes(100) + b"PAR1"])
@pytest.mark.parametrize("name", ["orders.parquet", "orders.csv"])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes, name: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportRefused):
        read(path)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path):
    whole, torn = tmp_path / "whole.parquet", tmp_path / "torn.parquet"
    pq.write_table(pa.table({"invoice": [str(n) for n in range(1000)]}), whole)
    torn.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(ImportRefused, match="broken"):
        read(torn)


def test_a_file_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(ImportRefused, match="No such file"):
        fingerprint(tmp_path / "none.csv")
