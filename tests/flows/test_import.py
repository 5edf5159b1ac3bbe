"""An import into running services: every line accounted for, once, also when it is killed and started again."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shop_stack.access import read_token
from shop_stack.errors import ImportRefused, NotRunning
from shop_stack.eventlog.interface import MAX_RECORD_BYTES
from shop_stack.events import HistoryImported, PastOrderRecorded
from shop_stack.settings import Endpoints, Home, to_environment
from shop_stack.traffic import import_progress
from shop_stack.traffic.imports import import_file
from tests.flows.shop_in_process import Shop, records, running_shop, wait_until

pytestmark = pytest.mark.embedded

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,Customer ID,Country"
MIXED = (
    "1001,20725,LUNCH BAG,10,7/1/2011 10:00,1.65,12345,United Kingdom",
    "1001,20726,LUNCH BOX,2,7/1/2011 10:00,2.005,12345,United Kingdom",
    "1001,POST,POSTAGE,1,7/1/2011 10:00,18,12345,United Kingdom",
    "1002,20725,LUNCH BAG,1,7/2/2011 9:30,1.65,,EIRE",
    "1003,20725,LUNCH BAG,1,7/3/2011 9:30,1.95,12346,EIRE",
    "C1004,20725,LUNCH BAG,-3,7/3/2011 9:30,1.65,12345,United Kingdom",
    "1005,20725,,5,7/3/2011 9:30,0,,United Kingdom",
    "A1006,B,Adjust bad debt,1,7/4/2011 9:30,-11062.06,,United Kingdom",
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Catalog and inventory, with the catalog in the gateway's place and the home as `up` leaves it."""
    with running_shop(tmp_path, ("catalog", "inventory")) as running:
        prepare_home(running)
        yield running


def prepare_home(shop: Shop) -> None:
    catalog = f"http://127.0.0.1:{shop.groups['catalog'].port}"
    home = shop.settings.home
    home.endpoints.write_bytes(
        msgspec.json.encode(
            Endpoints(gateway=catalog, trial="", mesh="", operations="", analytics="", provider="", dashboard=None)
        )
    )
    (home.path / "settings.json").write_text(to_environment(shop.settings)["SHOPFLOOR_SETTINGS"])
    assert read_token(home)


def write(folder: Path, *rows: str) -> Path:
    path = folder / "past.csv"
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def many(folder: Path, invoices: int) -> Path:
    """A file of many small invoices over few products."""
    return write(
        folder,
        *(
            f"{5000 + n},{20000 + n % 7},THING {n % 7},{1 + n % 3},2011-07-01 10:{n % 60:02d},1.25,{n % 40},"
            for n in range(invoices)
        ),
    )


def past_orders(shop: Shop) -> list[PastOrderRecorded]:
    return [e.data for e in shop.events("shop.history") if isinstance(e.data, PastOrderRecorded)]


def test_every_line_is_imported_or_counted_and_the_money_reconciles(shop: Shop, tmp_path: Path):
    said: list[tuple[int, int]] = []
    report = import_file(
        shop.settings.home, write(tmp_path, *MIXED), progress=lambda done, total: said.append((done, total))
    )
    assert (report.lines_read, report.lines_imported) == (8, 4)
    assert report.reasons == {"cancellation": 1, "bad_debt_adjustment": 1, "zero_price": 1, "postage": 1}
    assert report.reason_money_minor == {
        "cancellation": -495, "bad_debt_adjustment": -1106206, "zero_price": 0, "postage": 1800,
    }  # fmt: skip
    assert report.imported_minor == 1650 + 401 + 165 + 195
    assert report.file_sum == "-11024.9"
    assert report.net_sales == -11024.9
    parts = report.imported_minor + sum(report.reason_money_minor.values()) + report.rounding_minor
    assert parts == report.net_sales_minor == -1102490
    assert (report.orders, report.products, report.customers, report.anonymous_lines) == (3, 2, 2, 1)
    assert said[-1] == (5, 5)


def test_orders_come_with_their_lines_at_their_own_times_and_no_customer_is_named(shop: Shop, tmp_path: Path):
    report = import_file(shop.settings.home, write(tmp_path, *MIXED))
    history = shop.events("shop.history")
    orders = [e for e in history if isinstance(e.data, PastOrderRecorded)]
    assert [e.time.isoformat() for e in orders] == [
        "2011-07-01T09:00:00+00:00", "2011-07-02T08:30:00+00:00", "2011-07-03T08:30:00+00:00",
    ]  # fmt: skip
    assert [[(line.product_id, line.quantity) for line in e.data.lines] for e in orders] == [
        [("20725", 10), ("20726", 2)], [("20725", 1)], [("20725", 1)],
    ]  # fmt: skip
    assert [e.data.total_minor for e in orders] == [1650 + 401, 165, 195]
    assert [e.data.customer_id is None for e in orders] == [False, True, False]
    assert all(e.subject == e.data.order_id and e.sequence is None for e in orders)
    assert not any(b"12345" in record.value for record in records(shop.log, "shop.history"))
    (ended,) = [e.data for e in history if isinstance(e.data, HistoryImported)]
    assert (ended.reasons, ended.net_sales_minor) == (report.reasons, report.net_sales_minor)


def test_products_reach_catalog_and_inventory_and_known_ones_stay_as_they_are(shop: Shop, tmp_path: Path):
    own = {"product_id": "20726", "name": "Ours", "category": "c", "list_price_minor": 777, "opening_stock": 3}
    assert shop.post("catalog", "/v1/products", own, subject="operator", key="k").status_code == 201
    report = import_file(shop.settings.home, write(tmp_path, *MIXED))
    assert (report.products_added, report.products_kept) == (1, 1)
    bag = shop.get("catalog", "/v1/products/20725").json()
    assert (bag["name"], bag["list_price_minor"]) == ("LUNCH BAG", 165)
    assert bag["popularity"] == 1.5  # in three orders, where the mean of the two products is two
    assert shop.get("catalog", "/v1/products/20726").json()["list_price_minor"] == 777
    stock = wait_until(lambda: shop.get("inventory", "/v1/stock?ids=20725").json()["items"], "the opening stock")
    assert stock[0]["available"] == 100


def test_a_second_import_changes_nothing_and_says_so(shop: Shop, tmp_path: Path):
    path = write(tmp_path, *MIXED)
    first = import_file(shop.settings.home, path)
    ends = [shop.log.ends(topic) for topic in ("shop.history", "shop.catalog")]
    path = path.rename(tmp_path / "same file, other name.csv")
    second = import_file(shop.settings.home, path)
    assert second.already_imported
    assert not first.already_imported
    assert msgspec.structs.replace(second, already_imported=False) == first
    assert [shop.log.ends(topic) for topic in ("shop.history", "shop.catalog")] == ends


def test_a_very_large_invoice_fits_the_log(shop: Shop, tmp_path: Path):
    rows = (f"7,ITEM-{'X' * 45}{n % 30},A THING,1000000,2011-07-01 10:00,1.25,1," for n in range(12_000))
    report = import_file(shop.settings.home, write(tmp_path, *rows))
    orders = past_orders(shop)
    assert report.orders == len(orders) == 3
    assert sum(order.total_minor for order in orders) == report.imported_minor == 12_000 * 125_000_000
    assert sum(len(order.lines) for order in orders) == 12_000
    assert max(len(record.value) for record in records(shop.log, "shop.history")) < MAX_RECORD_BYTES


@pytest.mark.parametrize("moment", ["after some products", "before an append is noted", "before the end is noted"])
def test_a_killed_import_goes_on_and_nothing_comes_twice(shop: Shop, tmp_path: Path, moment: str):
    path = many(tmp_path, 1200)
    process = multiprocessing.get_context("spawn").Process(
        target=import_and_die, args=(shop.settings.home, path, moment)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    report = import_file(shop.settings.home, path)
    assert not report.already_imported
    assert report.orders == 1200
    orders = past_orders(shop)
    assert len(orders) == len({order.order_id for order in orders}) == 1200
    assert sum(order.total_minor for order in orders) == report.imported_minor == report.net_sales_minor
    added = Counter(e.subject for e in shop.events("shop.catalog"))
    assert added == dict.fromkeys((str(20000 + n) for n in range(7)), 1)
    assert import_file(shop.settings.home, path).already_imported


def import_and_die(home: Home, path: Path, moment: str) -> None:
    """Import until the moment named, then die as by kill -9."""
    saves = {"after some products": 1, "before an append is noted": 3, "before the end is noted": 5}[moment]
    save, seen = import_progress.save, 0

    def save_or_die(*arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == saves:
            os.kill(os.getpid(), signal.SIGKILL)
        save(*arguments)

    import_progress.save = save_or_die
    import_file(home, path)


def test_a_broken_file_is_refused_before_anything_is_sent(shop: Shop, tmp_path: Path):
    path = write(tmp_path, *MIXED, "1007,20725,LUNCH BAG,many,7/4/2011 9:30,1.65,1,EIRE")
    with pytest.raises(ImportRefused, match="row 9, column Quantity: 'many' is not a whole number"):
        import_file(shop.settings.home, path)
    assert shop.log.ends("shop.history") == [0]
    assert shop.get("catalog", "/v1/products").json()["total"] == 0


def test_only_one_import_runs_at_a_time(shop: Shop, tmp_path: Path):
    with import_progress.alone(shop.settings.home), pytest.raises(ImportRefused, match="another import runs"):
        import_file(shop.settings.home, write(tmp_path, *MIXED))


def test_without_a_running_stack_it_says_what_to_start(tmp_path: Path):
    with pytest.raises(NotRunning, match="shopfloor up"):
        import_file(Home(tmp_path), write(tmp_path, *MIXED))
