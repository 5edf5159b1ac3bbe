"""The inventory's rules: what is short, and that units only change their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.events import Quantity
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
