"""The inventory's rules: what is short, and that units only change their place."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.events import Quantity, ReservationRejected, ReservationReleased, StockReserved, StockSold
from shop_stack.services.inventory import rules

pytestmark = pytest.mark.pure

lines = st.lists(st.builds(Quantity, st.sampled_from(["a", "b", "c"]), st.integers(1, 9)), min_size=1, max_size=8)
shelves = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 20))


@given(lines)
def test_merging_keeps_the_units_and_orders_the_products(wanted: list[Quantity]) -> None:
    merged = rules.merged(wanted)
    assert [line.product_id for line in merged] == sorted({line.product_id for line in wanted})
    assert sum(line.quantity for line in merged) == sum(line.quantity for line in wanted)


@given(lines, shelves)
def test_what_is_short_is_exactly_what_is_missing(wanted: list[Quantity], shelf: dict[str, int]) -> None:
    wanted = rules.merged(wanted)
    missing = {line.product_id: line.quantity for line in rules.short(wanted, shelf)}
    for line in wanted:
        assert missing.get(line.product_id, 0) == max(0, line.quantity - shelf.get(line.product_id, 0))


def test_an_unknown_product_is_short() -> None:
    assert rules.short([Quantity("a", 2)], {}) == [Quantity("a", 2)]


@given(lines)
def test_moves_neither_make_nor_lose_units(wanted: list[Quantity]) -> None:
    ways = [rules.holding(wanted), rules.giving_back(wanted), rules.selling(wanted, True), rules.selling(wanted, False)]
    for moves in ways:
        assert all(move.available + move.reserved + move.sold == 0 for move in moves)


@given(lines)
def test_holding_then_giving_back_or_selling_leaves_nothing_held(wanted: list[Quantity]) -> None:
    held = sum(move.reserved for move in rules.holding(wanted))
    assert held + sum(move.reserved for move in rules.giving_back(wanted)) == 0
    assert held + sum(move.reserved for move in rules.selling(wanted, True)) == 0


ID, TWO, LATER = "order-1", [Quantity("a", 2)], datetime(2026, 11, 22, 12, tzinfo=UTC)
REQUESTED = ReservationReleased(order_id=ID, reason="requested")
SOLD = StockSold(order_id=ID, customer_id="customer-1")


def reserved(units: int = 2) -> rules.Change:
    return rules.reserve(ID, TWO, {"a": units}, LATER)


def sold(held: rules.Reservation | None, units: int = 0) -> rules.Change:
    return rules.sell(held, ID, TWO, {"a": units}, "customer-1")


def test_all_units_are_held_or_none() -> None:
    assert (reserved().event, reserved().moves) == (StockReserved(order_id=ID, expires_at=LATER), rules.holding(TWO))
    short = reserved(1)
    assert (short.reservation.state, short.moves) == ("rejected", [])
    assert short.event == ReservationRejected(order_id=ID, short=[Quantity("a", 1)])


def test_what_is_held_is_given_back_once_and_a_repeat_is_answered_again() -> None:
    held = reserved().reservation
    first = rules.release(held, ID)
    assert first is not None
    assert (first.event, first.moves, first.reservation.version) == (REQUESTED, rules.giving_back(TWO), 2)
    again = rules.release(first.reservation, ID)
    assert again is not None
    assert (again.event, again.moves, again.reservation.version) == (REQUESTED, [], 3)
    assert rules.expire(held).event == ReservationReleased(order_id=ID, reason="expired")


def test_a_release_that_overtakes_leaves_a_mark_and_one_of_a_refused_order_is_answered() -> None:
    mark = rules.release(None, ID)
    assert mark is not None
    assert (mark.reservation.state, mark.reservation.lines, mark.reservation.version) == ("released", [], 1)
    refused = rules.release(reserved(0).reservation, ID)
    assert refused is not None
    assert (refused.reservation.state, refused.event, refused.moves) == ("rejected", REQUESTED, [])


def test_what_is_held_is_sold_once_and_a_repeat_is_answered_again() -> None:
    first = sold(reserved().reservation)
    assert (first.event, first.moves) == (SOLD, rules.selling(TWO, held=True))
    again = sold(first.reservation)
    assert (again.event, again.moves, again.reservation.version) == (SOLD, [], 3)
    assert rules.release(first.reservation, ID) is None


def test_what_has_run_out_is_sold_from_the_shelf_or_refused_for_good() -> None:
    for gone in (rules.expire(reserved().reservation).reservation, None):
        assert sold(gone, 2).moves == rules.selling(TWO, held=False)
        refused = sold(gone, 1)
        assert (refused.reservation.state, refused.moves) == ("rejected", [])
        assert refused.event == ReservationRejected(order_id=ID, short=[Quantity("a", 1)])
        again = sold(refused.reservation, 9)
        assert (again.event, again.moves) == (ReservationRejected(order_id=ID, short=TWO), [])
