"""What becomes of a product that is added again, and which words find it."""

import re
from dataclasses import dataclass
from enum import Enum

_WORD = re.compile(r"[^\W_]+")
_LONGEST_WORD = 40
MAX_QUERY_WORDS = 6
_MAX_PRODUCT_WORDS = 40
# The last code point: no word sorts after `prefix + LAST` and still begins with the prefix.
LAST = "\U0010ffff"


@dataclass(frozen=True)
class Product:
    """A product as it is sold; `popularity` is a relative weight, `opening_stock` the units it came with."""

    product_id: str
    name: str
    category: str
    list_price_minor: int
    popularity: float
    opening_stock: int
    version: int = 1


class Verdict(Enum):
    """What an addition comes to."""

    NEW = "new"
    SAME = "same"
    NEW_PRICE = "new price"
    DIFFERENT = "different"


def judge_addition(known: Product | None, asked: Product) -> Verdict:
    """Adding the same again changes nothing, another list price is a price change, anything else a conflict."""
    if known is None:
        return Verdict.NEW
    if _without_price(known) != _without_price(asked):
        return Verdict.DIFFERENT
    return Verdict.SAME if known.list_price_minor == asked.list_price_minor else Verdict.NEW_PRICE


def _without_price(product: Product) -> tuple[str, str, float, int]:
    return product.name, product.category, product.popularity, product.opening_stock


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order, each once; letters and digits of any script."""
    found = (word[:_LONGEST_WORD] for word in _WORD.findall(text.casefold()))
    return list(dict.fromkeys(found))


def query_words(query: str) -> list[str]:
    """The words of a shopper's query that a search looks at: the first MAX_QUERY_WORDS."""
    return words(query)[:MAX_QUERY_WORDS]


def product_words(product: Product) -> list[str]:
    """The words that find a product: those of its name, category and id."""
    return words(f"{product.name} {product.category} {product.product_id}")[:_MAX_PRODUCT_WORDS]
