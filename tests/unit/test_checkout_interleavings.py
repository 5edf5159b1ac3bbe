"""Every interleaving of one checkout, explored to the end: no order is lost, no money and no units are kept wrongly."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest

from shop_stack.events import ReservationRejected
from shop_stack.services.inventory import rules as inventory
from shop_stack.services.orders import rules as orders
from shop_stack.services.payments import rules as payments
from tests.unit.checkout_model import UNITS, Shop, Troubles, moves, opening

pytestmark = pytest.mark.pure

TROUBLES = {"deadline", "cancellation", "expiry", "someone buys"}
EVERYTHING = Troubles(deadlines=1, cancellations=1, expiries=1, buyers=1, declines=1, lost=1, overtakings=1)


class Explored:
    """All moments that can be reached from the placing, and those at which nothing is under way any more."""

    def __init__(self, left: Troubles) -> None:
        first = opening(left)
        self.came_by: dict[str, tuple[str, str]] = {repr(first): ("", "placed")}
        self.ends: list[tuple[str, Shop]] = []
        queue = deque([(repr(first), first)])
        while queue:
            name, shop = queue.popleft()
            ahead = list(moves(shop))
            if all(what in TROUBLES for what, _ in ahead):
                self.ends.append((name, shop))
            for what, following in ahead:
                following_name = repr(following)
                if following_name not in self.came_by:
                    self.came_by[following_name] = (name, what)
                    queue.append((following_name, following))

    def wrong(self) -> list[str]:
        """What is wrong with each bad end, and how it came about."""
        return [f"{trouble}: {self.way_to(name)}" for name, end in self.ends if (trouble := wrong_with(end))]

    def way_to(self, at: str) -> str:
        """How a moment came about."""
        steps = []
        while at:
            at, what = self.came_by[at]
            steps.append(what)
        return " > ".join(reversed(steps))


def wrong_with(shop: Shop) -> str | None:
    """What is wrong with a moment at which nothing is under way any more."""
    state, is_bought = shop.order.state, shop.order.state == "completed"
    if state not in orders.ENDS or orders.is_open(shop.order):
        return f"the order is left {state}"
    if shop.shelf < 0 or shop.shelf + shop.sold + shop.bought != UNITS:
        return f"{shop.shelf} units on the shelf, {shop.sold} sold and {shop.bought} bought by others are not {UNITS}"
    if (shop.sold > 0, shop.shipment is not None) != (is_bought, is_bought):
        return f"the order is {state} with {shop.sold} units sold and the parcel {shop.shipment}"
    if (shop.account == "captured") != is_bought or shop.account == "authorised":
        return f"the order is {state} and the provider says {shop.account}"
    return None


@pytest.mark.parametrize(
    ("left", "outcomes"),
    [
        (Troubles(), {"completed"}),
        (Troubles(lost=3), {"completed"}),
        (Troubles(expiries=1), {"completed", "cancelled"}),
        (Troubles(declines=1), {"completed", "rejected"}),
        (Troubles(deadlines=4, cancellations=1), {"completed", "cancelled"}),
        (Troubles(deadlines=1, expiries=1, buyers=1), {"completed", "cancelled", "rejected"}),
        (EVERYTHING, {"completed", "cancelled", "rejected"}),
    ],
    ids=repr,
)
def test_every_interleaving_ends_well(left: Troubles, outcomes: set[str]) -> None:
    explored = Explored(left)
    assert explored.wrong() == []
    found = Counter(end.order.state for _, end in explored.ends)
    assert set(found) == outcomes, "every outcome that may come of these troubles, and no other"


def _forgets_the_mark(release: Callable[..., Any]) -> Callable[..., Any]:
    return lambda held, order_id: release(held, order_id) if held else None


def _sells_what_is_gone(sell: Callable[..., Any]) -> Callable[..., Any]:
    return lambda held, order_id, lines, available, customer: sell(held, order_id, lines, {"tea": UNITS}, customer)


def _keeps_what_was_not_heard(undoing: Callable[..., Any]) -> Callable[..., Any]:
    return lambda payment: undoing(payment) if payment.attempts == 0 else None


def _pays_again(authorise: Callable[..., Any]) -> Callable[..., Any]:
    return lambda payment, order_id, amount: authorise(None, order_id, amount)


@pytest.mark.parametrize(
    ("where", "name", "bug", "left"),
    [
        (inventory, "release", _forgets_the_mark, Troubles(cancellations=1, overtakings=1)),
        (inventory, "sell", _sells_what_is_gone, Troubles(expiries=1, buyers=1)),
        (payments, "_undoing", _keeps_what_was_not_heard, Troubles(deadlines=1, lost=1)),
        (payments, "authorise", _pays_again, Troubles(deadlines=1, overtakings=1)),
    ],
    ids=("no tombstone", "oversell", "lost answer believed", "no mark of a void"),
)
def test_a_bug_in_the_rules_is_found(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, bug: Any, left: Troubles
) -> None:
    monkeypatch.setattr(where, name, bug(getattr(where, name)))
    assert Explored(left).wrong()


def test_an_order_that_is_not_refunded_when_its_units_are_gone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = orders._RULES[ReservationRejected]
    deaf = lambda order, *rest: None if order.state == "captured" else rule(order, *rest)  # noqa: E731
    monkeypatch.setitem(orders._RULES, ReservationRejected, deaf)
    assert any("left captured" in wrong for wrong in Explored(Troubles(expiries=1, buyers=1)).wrong())
