"""How far behind a service is, as the console says it: seconds in its line, and what waits in the replicas' panel."""

import msgspec
import pytest
from rich.cells import cell_len

from console.rows import behind, figures, plain, replicas, services
from shop_stack.operations.drain import Drain
from tests.screens.fake_group_lag import group_lag
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_operations import service

pytestmark = pytest.mark.pure
EVEN = {("shop.orders", 3): 500, ("shop.orders", 1): 400, ("shop.payments", 2): 100, ("shop.payments", 0): 90}
SOME = Drain(state="drains", seconds=35.0, low_s=20.0, high_s=130.0, over_s=60.0)


def lines(**changes: object) -> list[str]:
    view = service("payments", behind=group_lag("payments", EVEN, **changes))
    return [plain(row.line) for row in behind.rows(view, "GBP")]


def test_the_cell_has_seconds_while_events_wait_and_a_count_while_they_flow() -> None:
    late = service("payments", lag=1090, behind=group_lag("payments", EVEN))
    flowing = service("payments", lag=37, behind=group_lag("payments", EVEN, seconds=0.0))
    assert behind.cell(late)[:2] == ("12s", "warn")
    assert behind.cell(service("payments", behind=group_lag("payments", EVEN, seconds=2.0)))[:2] == ("2.0s", "plain")
    assert behind.cell(flowing)[:2] == ("37", "plain")
    assert behind.cell(service("payments"))[:2] == ("0", "dim")
    assert "12s" in plain(services.table([late], 79)[0].line)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4s"), (9.94, "9.9s"), (9.96, "10s"), (599, "599s"), (599.6, "10m"), (5900, "98m"), (5999, "2h"),
     (3600 * 99, "99h"), (86400 * 9, "9d")],
)  # fmt: skip
def test_an_age_fits_its_column(seconds: float, text: str) -> None:
    assert figures.age(seconds) == text


def test_the_panel_says_what_waits_when_it_is_done_and_where_it_lies() -> None:
    assert lines() == [
        "behind 12 s: 1.1k events, 40 orders worth GBP 1,234",
        "  55.0/s come, 30.0/s are done: does not drain",
        "  most in shop.orders/3 46%, shop.orders/1 37%, shop.payments/2 9.2%",
    ]
    assert lines(orders_waiting=1, waiting_minor=500, orders_whole=False, drain=SOME, rates=None)[:2] == [
        "behind 12 s: 1.1k events, 1 order worth GBP 5.00 or more",
        "  drained in about 35 s (80%: 20 s to 2 min)",
    ]
    assert "or longer, perhaps never" in lines(drain=msgspec.structs.replace(SOME, high_s=None))[1]
    assert lines(drain=Drain(state="unknown"), orders_waiting=0)[:2] == [
        "behind 12 s: 1.1k events",
        "  55.0/s come, 30.0/s are done: how long it takes is not known yet",
    ]
    assert behind.rows(service("payments", behind=group_lag("payments", EVEN, seconds=0.0)), "GBP") == []


def test_a_hot_partition_is_named_before_someone_scales_in_vain() -> None:
    hot = group_lag("payments", {("shop.orders", 3): 900, ("shop.orders", 1): 100}, hot="shop.orders/3")
    view = service("payments", behind=hot)
    said = [plain(row.line) for row in replicas.replica_rows(view, "GBP")]
    assert "  90% in shop.orders/3: only one replica reads it, more do not help" in said
    assert all(cell_len(line) <= 71 for line in said[:3])
    assert behind.brief(view) == "12 s behind, does not drain, most in shop.orders/3"
    assert "12 s behind" in plain(services.why(view, 120)[0])
    assert behind.brief(service("payments", behind=group_lag("payments", EVEN, seconds=2.0))) == ""


def test_names_from_the_log_drive_no_terminal() -> None:
    view = service("payments", behind=group_lag("payments", {(EXPLOIT, 0): 90}, hot=f"{EXPLOIT}/0"))
    assert not any("\x1b" in plain(row.line) for row in behind.rows(view, "GBP"))
