"""What goes with what: baskets counted into pairs, and the cosine of two products over the orders that hold them."""

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import sqrt

MAX_PRODUCTS = 20  # of one order; 190 pairs
SIMULATED_ONE_IN = 8
MAX_PAIRS = 300_000
Pair = tuple[str, str]


def learns_from(order_id: str, origin: str) -> bool:
    """Whether a past order is counted: of simulated ones one in eight, chosen by its id; of others every one.

    Weeks of simulated orders say little that an eighth of them does not; a cosine does not change under sampling.
    """
    return origin != "simulated" or zlib.crc32(order_id.encode()) % SIMULATED_ONE_IN == 0


def basket(order_id: str, product_ids: Iterable[str]) -> list[str]:
    """The different products of an order, sorted; of a large order MAX_PRODUCTS, drawn by a hash of both ids."""
    different = set(product_ids)
    if len(different) > MAX_PRODUCTS:
        drawn = sorted(different, key=lambda product_id: zlib.crc32(f"{order_id}/{product_id}".encode()))
        different = set(drawn[:MAX_PRODUCTS])
    return sorted(different)


def counted(baskets: Sequence[Sequence[str]]) -> tuple[Counter[str], Counter[Pair]]:
    """In how many of the baskets each product and each pair (first id below the second) stands."""
    products: Counter[str] = Counter()
    pairs: Counter[Pair] = Counter()
    for held in baskets:
        products.update(held)
        pairs.update(combinations(held, 2))
    return products, pairs


def cosine(together: int, orders: int, other_orders: int) -> float:
    """Item cosine (Linden, Smith and York 2003): orders with both over the geometric mean of the orders with each.

    Every product is given one order more than it was seen in, so that a single chance meeting of two rare products
    does not come first.
    """
    return together / sqrt((orders + 1) * (other_orders + 1))
