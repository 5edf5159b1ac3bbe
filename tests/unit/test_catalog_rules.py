"""Adding again is harmless, a conflict is seen, and a query is only ever words."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.services.catalog.rules import (
    MAX_QUERY_WORDS,
    Product,
    Verdict,
    judge_addition,
    product_words,
    query_words,
    words,
)

pytestmark = pytest.mark.pure

LAMP = Product("L1", "Blue Table-Lamp", "lighting", 1999, 1.5, 10)


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        (LAMP, Verdict.SAME),
        (replace(LAMP, list_price_minor=1899), Verdict.NEW_PRICE),
        (replace(LAMP, name="Red Table-Lamp"), Verdict.DIFFERENT),
        (replace(LAMP, name="Red Table-Lamp", list_price_minor=1), Verdict.DIFFERENT),
        (replace(LAMP, opening_stock=11), Verdict.DIFFERENT),
        (replace(LAMP, popularity=2.0), Verdict.DIFFERENT),
    ],
)
def test_what_adding_again_comes_to(asked: Product, verdict: Verdict):
    assert judge_addition(LAMP, asked) is verdict
    assert judge_addition(None, asked) is Verdict.NEW


def test_a_product_that_was_repriced_since_is_still_the_same_product():
    assert judge_addition(replace(LAMP, version=7), LAMP) is Verdict.SAME


def test_a_product_is_found_by_name_category_and_id():
    assert product_words(LAMP) == ["blue", "table", "lamp", "lighting", "l1"]


@given(st.text())
def test_words_are_letters_and_digits_in_lower_case(text: str):
    for word in words(text):
        assert word.isalnum() or any(c.isalpha() or c.isnumeric() for c in word)
        assert not set(word) & set(" %_'\"*;()-:")
    assert len(query_words(text)) <= MAX_QUERY_WORDS


def test_operators_of_a_query_language_are_no_words():
    assert query_words('name:"x" OR 1=1; DROP TABLE products -- lamp*') == ["name", "x", "or", "1", "drop", "table"]
