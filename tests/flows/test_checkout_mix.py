"""The outcome mix: hundreds of orders under faults, each of which must end as it should, so that most complete.

What should become of an order follows from what was done to it: the provider declines by its seed, scarce units go
to as many orders as there are, some shoppers call theirs off, and those whose payment is away for longer than a step
may take end by the deadline. All others have to complete, whatever was slow, lost, told twice or restarted.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shop_stack.provider.behaviour import Behaviour, decline_reason
from shop_stack.services.orders.handlers import pass_deadlines
from shop_stack.stack import Checkout, Provider
from tests.flows.shop_at_work import ENDS, Shop, gaps, until

pytestmark = pytest.mark.embedded
PLAIN, SCARCE, CALLED_OFF, LATE = 120, 30, 20, 30
UNITS = 12
DECLINES = Behaviour(decline_rate=0.1, seed=Provider().seed)
PATIENT = Checkout(step_deadline_s=300.0, reservation_s=3000.0)  # so that only LATE orders meet a deadline


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    running = Shop(tmp_path_factory.mktemp("mix"), "microservices", checkout=PATIENT)
    try:
        running.add_products({"tea": 10_000, "rare": UNITS})
        running.behave(decline_rate=0.1, slow_rate=0.1, slow_s=0.2, lost_rate=0.15)
        yield running
    finally:
        running.close()


def place(shop: Shop, product: str, count: int) -> list[str]:
    """So many orders at once."""
    with ThreadPoolExecutor(8) as shoppers:
        return list(shoppers.map(lambda _: shop.order({product: 1}), range(count)))


def ended(shop: Shop, orders: list[str]) -> dict[str, tuple[str, str | None]]:
    """(state, reason) of each once it has ended."""

    def all_ended() -> dict[str, tuple[str, str | None]] | None:
        shown = {order_id: shop.show(order_id) for order_id in orders}
        found = {order_id: (one["state"], one["reason"]) for order_id, one in shown.items() if one["state"] in ENDS}
        return found if len(found) == len(orders) else None

    return until(all_ended, 120, "the end of every order")  # type: ignore[return-value]


def by_the_provider(order_id: str) -> tuple[str, str | None]:
    """What becomes of an order of which nothing but the provider decides."""
    reason = decline_reason(DECLINES, order_id)
    if reason is None:
        return "completed", None
    return "rejected", "suspected_fraud" if reason == "suspected_fraud" else "declined"


def test_each_order_ends_as_it_should_and_most_complete(shop: Shop) -> None:
    for service in ("orders", "inventory"):
        shop.start(service)
    shop.until_ready()
    plain = place(shop, "tea", PLAIN // 2)
    for service in ("payments", "inventory", "orders", "shipping"):
        shop.stop(service)
        shop.start(service)
    plain += place(shop, "tea", PLAIN // 2)
    scarce = place(shop, "rare", SCARCE)
    called_off = call_off(shop)
    ends = ended(shop, plain + scarce + called_off)
    late = pay_too_late(shop)
    ends |= ended(shop, late)

    assert {order_id: ends[order_id] for order_id in plain} == {one: by_the_provider(one) for one in plain}
    assert {ends[order_id] for order_id in called_off} == {("cancelled", "customer")}
    assert {ends[order_id] for order_id in late} == {("cancelled", "deadline")}
    check_scarce(shop, {order_id: ends[order_id] for order_id in scarce})
    mix = Counter(state for state, _ in ends.values())
    assert mix["completed"] >= 0.5 * len(ends), mix
    check_books(shop, ends)


def call_off(shop: Shop) -> list[str]:
    """Orders that their shoppers call off before anything was paid."""
    shop.stop("payments")
    orders = place(shop, "tea", CALLED_OFF)
    with ThreadPoolExecutor(4) as shoppers:
        answers = shoppers.map(
            lambda one: shop.ask("orders", "POST", f"/v1/orders/{one}/cancellation", subject="shopper").status, orders
        )
        assert set(answers) == {202}
    shop.start("payments")
    return orders


def pay_too_late(shop: Shop) -> list[str]:
    """Orders whose payment is away for longer than a step may take."""
    shop.stop("payments")
    orders = place(shop, "tea", LATE)
    for order_id in orders:
        shop.until_state(order_id, "reserved")
    shop.clock.forward(PATIENT.step_deadline_s + 1)
    while pass_deadlines(shop.replica("orders").contexts["orders"]):
        pass
    shop.start("payments")
    return orders


def check_scarce(shop: Shop, ends: dict[str, tuple[str, str | None]]) -> None:
    """Never more than there are; all of them, but for units that an order held until it was declined."""
    declined = {order_id for order_id in ends if by_the_provider(order_id)[0] == "rejected"}
    completed = {order_id for order_id, end in ends.items() if end == ("completed", None)}
    assert completed.isdisjoint(declined)
    assert UNITS - len(declined) <= len(completed) <= UNITS
    others = {end for order_id, end in ends.items() if order_id not in completed | declined}
    assert others == {("rejected", "out_of_stock")}
    assert shop.levels(["rare"])["rare"] == {
        "available": UNITS - len(completed), "reserved": 0, "sold": len(completed),
    }  # fmt: skip


def check_books(shop: Shop, ends: dict[str, tuple[str, str | None]]) -> None:
    """The provider has the money of the completed orders and of no other, and no sequence has a gap."""
    accounts = shop.accounts()
    for order_id, (state, _) in ends.items():
        account = accounts.get(order_id, {"captured_minor": 0, "refunded_minor": 0, "state": "none"})
        kept = account["captured_minor"] - account["refunded_minor"]
        assert kept == (500 if state == "completed" else 0), (order_id, state, account)
        assert account["state"] != "authorised", order_id
    assert shop.levels(["tea"])["tea"]["reserved"] == 0
    until(lambda: not gaps(shop.events()), 60, "gapless sequences")
