"""What goes with what: pairs counted once an order, bounded, and a cosine between 0 and 1."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.ids import imported_id
from shop_stack.services.recommendations import rules

pytestmark = pytest.mark.pure

BASKETS = st.lists(st.lists(st.sampled_from("abcde"), unique=True), max_size=20)


@given(BASKETS)
def test_neighbours_are_counted_both_ways_and_never_more_often_than_the_product(baskets: list[list[str]]):
    products, neighbours = rules.counted(baskets)
    for product, beside in neighbours.items():
        assert product not in beside
        for other, together in beside.items():
            assert together == neighbours[other][product] == sum({product, other} <= set(held) for held in baskets)
            assert 0 < rules.cosine(together, products[product], products[other]) <= 1


def test_a_pair_that_always_meets_comes_before_a_chance_meeting_of_two_rare_products():
    assert rules.cosine(50, 50, 50) > rules.cosine(1, 1, 1)
    assert rules.cosine(50, 50, 50) > rules.cosine(50, 50, 5000)


def test_a_large_order_is_sampled_the_same_way_each_time():
    products = [f"p{n}" for n in range(100)]
    first = rules.basket("order-1", products)
    assert len(first) == rules.MAX_PRODUCTS
    assert first == rules.basket("order-1", reversed(products)) == sorted(first)
    assert first != rules.basket("order-2", products)


def test_the_best_neighbours_stay_when_there_are_too_many():
    known = {f"rare{n}": 1 for n in range(2 * rules.KEPT_NEIGHBOURS)}
    kept = rules.best_neighbours(known, Counter({"often": 9, "rare0": 1}))
    assert len(kept) == rules.KEPT_NEIGHBOURS
    assert list(kept)[:2] == ["often", "rare0"]
    assert kept["rare0"] == 2


def test_one_simulated_order_in_eight_is_learnt_from_and_every_other_order():
    orders = [imported_id("f", str(n)) for n in range(4000)]
    share = sum(rules.learns_from(order, "simulated") for order in orders) / len(orders)
    assert share == pytest.approx(1 / rules.SIMULATED_ONE_IN, abs=0.03)
    assert all(rules.learns_from(order, "imported") for order in orders)


@pytest.mark.parametrize(
    ("waiting", "oldest_s", "newest_s", "due"),
    [
        (0, 100, 100, False),
        (1, 2, 2, True),  # quiet
        (500, 5, 0, False),  # more is coming
        (500, 31, 0, True),  # and has been for long
        (rules.MAX_FOLD, 0, 0, True),
    ],
)
def test_baskets_are_counted_many_at_once_or_in_a_quiet_moment(waiting: int, oldest_s: int, newest_s: int, due: bool):
    now = 1_000_000_000
    assert rules.fold_is_due(waiting, now - oldest_s * 1_000_000, now - newest_s * 1_000_000, now) is due
