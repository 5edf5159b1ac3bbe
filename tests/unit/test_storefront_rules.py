"""A cart is merged, compared and priced without losing a unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.events import Line, Quantity
from shop_stack.services.storefront import rules

pytestmark = pytest.mark.pure

CARTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50))


def test_a_product_named_twice_is_one_line_and_zero_takes_it_out():
    lines = [Quantity("b", 1), Quantity("a", 2), Quantity("b", 3), Quantity("c", 0)]
    assert rules.merged(lines) == {"b": 4, "a": 2}


@pytest.mark.parametrize(
    "lines",
    [
        [Quantity(f"p{n}", 1) for n in range(rules.MAX_LINES + 1)],
        [Quantity("a", rules.MAX_QUANTITY), Quantity("a", 1)],
    ],
)
def test_a_cart_has_bounds(lines: list[Quantity]):
    with pytest.raises(rules.CartRefused, match="at most"):
        rules.merged(lines)


@given(CARTS, CARTS)
def test_the_changes_lead_from_one_cart_to_the_other(before: dict[str, int], after: dict[str, int]):
    changed = rules.changes(before, after)
    reached = {product: units for product, units in (before | changed).items() if units}
    assert reached == after
    assert all(before.get(product, 0) != units for product, units in changed.items())


def test_a_cart_is_priced_and_what_is_not_sold_is_named():
    lines, unpriced = rules.priced({"a": 2, "gone": 1, "b": 1}, {"a": 150, "b": 99, "other": 1})
    assert lines == [Line("a", 2, 150), Line("b", 1, 99)]
    assert unpriced == ["gone"]
    assert rules.total_minor(lines) == 399
