"""Every line has one reason or none, and money is rounded as money.py rounds it."""

from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.money import minor_units
from shop_stack.traffic import import_rules as rules

pytestmark = pytest.mark.pure


@given(st.lists(st.integers(-(10**13), 10**13), min_size=1), st.sampled_from(["GBP", "JPY", "KWD"]))
def test_amounts_are_rounded_half_even(millionths: list[int], currency: str):
    rounded = rules.to_minor(np.array(millionths), rules.minor_per_unit(currency))
    assert rounded.tolist() == [minor_units(Decimal(m) / rules.MILLION, currency) for m in millionths]


@pytest.mark.parametrize(
    ("invoice", "code", "quantity", "price", "reason"),
    [
        ("536365", "85123A", 6, 2_550_000, None),
        ("C536365", "85123A", -6, 2_550_000, "cancellation"),
        ("C536365", "POST", -1, 0, "cancellation"),
        ("A563185", "B", 1, 11062_060_000, "bad_debt_adjustment"),
        ("563185", "B", 1, 11062_060_000, "bad_debt_adjustment"),
        ("536365", "85123A", 6, 0, "zero_price"),
        ("536365", "85123A", -6, 0, "zero_price"),
        ("536365", "POST", 1, 0, "zero_price"),
        ("536365", "85123A", 1, -1, "negative_price"),
        ("536365", "POST", 1, 18_000_000, "postage"),
        ("536365", "dot", 1, 18_000_000, "postage"),
        ("536365", "m", 1, 18_000_000, "manual_entry"),
        ("536365", "BANK CHARGES", 1, 15_000_000, "fee_or_donation"),
        ("536365", "85123A", -1, 2_550_000, "quantity_not_positive"),
        ("536365", "85123A", 0, 2_550_000, "quantity_not_positive"),
        ("536365", "PADS", 1, 1_000, "below_minor_unit"),
        ("CASH-1", "85123A", 1, 2_550_000, None),
    ],
)
def test_the_reason_of_a_line(invoice: str, code: str, quantity: int, price: int, reason: str | None):
    found = rules.reasons_of_lines(
        rules.reason_numbers([rules.reason_of_invoice(invoice)]),
        rules.reason_numbers([rules.reason_of_code(code)]),
        np.array([quantity]),
        np.array([price]),
        100,
    )
    assert found.tolist() == [-1 if reason is None else rules.REASONS.index(reason)]


def test_every_service_code_has_a_reason_that_is_listed():
    assert set(rules.SERVICE_CODES.values()) <= set(rules.REASONS)


def test_stock_codes_become_ids_that_are_safe_in_paths_and_stay_different():
    assert rules.product_id(" 85123a ") == "85123A"
    odd = [rules.product_id(code) for code in ("A B", "A/B", "A,B", "É", "../x", "x" * 300, "x" * 301)]
    assert len(set(odd)) == len(odd)
    assert all(set(name) <= rules._ID_SIGNS and len(name) <= 64 for name in odd)


def test_the_value_met_most_often_wins_and_the_smallest_of_equals():
    counts: Counter[tuple[int, int]] = Counter({(1, 250): 3, (1, 195): 5, (2, 99): 2, (2, 88): 2})
    assert rules.best(counts) == {1: 195, 2: 88}


def test_names_lose_what_would_steer_a_terminal():
    assert rules.product_name(" RED\x1b[31m\tBAG\n ") == "RED [31m BAG"


def test_categories_are_words_that_many_names_end_with():
    names = [f"COLOUR{n} LANTERNS" for n in range(6)] + [f"BIG{n} LANTERN" for n in range(6)] + ["ODD THING", "12"]
    found = rules.categories(names)
    assert found["COLOUR1 LANTERNS"] == found["BIG1 LANTERN"] == "lantern"
    assert found["ODD THING"] == found["12"] == "other"
