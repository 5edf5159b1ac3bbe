"""The import on trial: a year of a real gift shop, 541,909 lines, reconciled to the penny, by the command itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shop_stack.events import HistoryImported, PastOrderRecorded
from tests import needs
from tests.flows.shop_in_process import Shop, running_shop, wait_until
from tests.flows.test_import import prepare_home

pytestmark = pytest.mark.real

LINES = 541_909
CANCELLATIONS = 9_288
PRICE_NOT_ABOVE_ZERO = 2_517
NET_SALES = Decimal("9747747.93")
MEMORY_BYTES = 600_000_000


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, dict[str, Any], Path]]:
    """Catalog and inventory after the import, and the command's report."""
    path = needs.trial_data("online_retail.parquet")
    with running_shop(tmp_path_factory.mktemp("trial"), ("catalog", "inventory")) as shop:
        prepare_home(shop)
        yield shop, run_import(shop, path), path


def run_import(shop: Shop, path: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "shop_stack",
        "import",
        str(path),
        "--home",
        str(shop.settings.home.path),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_every_line_is_imported_or_counted_under_a_reason(imported: tuple[Shop, dict[str, Any], Path]):
    _, report, _ = imported
    assert report["lines_read"] == LINES == report["lines_imported"] + sum(report["reasons"].values())
    assert report["reasons"]["cancellation"] == CANCELLATIONS
    negative_ones = 2  # both are adjustments of bad debt
    assert report["reasons"]["zero_price"] + negative_ones == PRICE_NOT_ABOVE_ZERO


def test_the_money_reconciles_to_the_penny(imported: tuple[Shop, dict[str, Any], Path]):
    shop, report, _ = imported
    parts = report["imported_minor"] + sum(report["reason_money_minor"].values()) + report["rounding_minor"]
    assert parts == report["net_sales_minor"] == int(NET_SALES * 100)
    assert Decimal(str(report["net_sales"])) == NET_SALES
    assert Decimal(report["file_sum"]).quantize(Decimal("0.01")) == NET_SALES
    orders = [e.data for e in shop.events("shop.history") if isinstance(e.data, PastOrderRecorded)]
    assert len(orders) == report["orders"]
    assert sum(len(order.lines) for order in orders) == report["lines_imported"]
    assert sum(order.total_minor for order in orders) == report["imported_minor"]
    assert sum(line.quantity * line.unit_price_minor for order in orders for line in order.lines) == sum(
        order.total_minor for order in orders
    )
    assert sum(len(order.lines) for order in orders if order.customer_id is None) == report["anonymous_lines"]


def test_the_catalog_and_the_stock_hold_what_the_file_sold(imported: tuple[Shop, dict[str, Any], Path]):
    shop, report, _ = imported
    first = shop.get("catalog", "/v1/products?size=1").json()
    assert first["total"] == report["products"] == report["products_added"]
    assert first["items"][0]["name"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert (first["items"][0]["product_id"], first["items"][0]["list_price_minor"]) == ("85123A", 295)
    stock = wait_until(lambda: shop.get("inventory", "/v1/stock?ids=85123A").json()["items"], "the stock")
    assert stock[0]["available"] > 10_000


def test_it_stays_within_its_memory(imported: tuple[Shop, dict[str, Any], Path]):
    _, report, _ = imported
    assert 0 < report["peak_memory_bytes"] < MEMORY_BYTES


def test_importing_again_changes_nothing(imported: tuple[Shop, dict[str, Any], Path]):
    shop, report, path = imported
    topics = ("shop.history", "shop.catalog")
    before = [shop.log.ends(topic) for topic in topics]
    again = run_import(shop, path)
    assert again == report | {"already_imported": True}
    assert [shop.log.ends(topic) for topic in topics] == before
    assert sum(isinstance(e.data, HistoryImported) for e in shop.events("shop.history")) == 1
