"""What goes with what: baskets counted into pairs, and the cosine of two products over the orders that hold them."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from operator import itemgetter

MAX_PRODUCTS = 10  # of one order; 45 pairs
SIMULATED_ONE_IN = 8
MAX_FOLD = 4000
_QUIET_US = 1_000_000
_LONGEST_WAIT_US = 30_000_000
KEPT_NEIGHBOURS = 80
_MOST_NEIGHBOURS = 2 * KEPT_NEIGHBOURS


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


def fold_is_due(waiting: int, oldest_us: int, newest_us: int, now_us: int) -> bool:
    """Whether waiting baskets are to be counted now: many at once are cheaper, but a quiet moment is good for any.

    A fold rewrites the row of every product it meets, so that counting a stream in small pieces costs several times
    as much.
    """
    if waiting == 0:
        return False
    return waiting >= MAX_FOLD or now_us - newest_us >= _QUIET_US or now_us - oldest_us >= _LONGEST_WAIT_US


def counted(baskets: Sequence[Sequence[str]]) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """In how many of the baskets each product stands, and each of its neighbours together with it."""
    products: Counter[str] = Counter()
    neighbours: dict[str, Counter[str]] = {}
    for held in baskets:
        products.update(held)
        for product_id in held:
            neighbours.setdefault(product_id, Counter()).update(held)
    for product_id, beside in neighbours.items():
        del beside[product_id]
    return products, neighbours


def best_neighbours(known: Mapping[str, int], met: Mapping[str, int]) -> dict[str, int]:
    """Both counts added; of more than twice KEPT_NEIGHBOURS the KEPT_NEIGHBOURS met most often.

    Lossy counting (Manku and Motwani 2002): a neighbour that matters is met again.
    """
    together = dict(known)
    for other, times in met.items():
        together[other] = together.get(other, 0) + times
    if len(together) <= _MOST_NEIGHBOURS:
        return together
    return dict(sorted(together.items(), key=itemgetter(1), reverse=True)[:KEPT_NEIGHBOURS])


def cosine(together: int, orders: int, other_orders: int) -> float:
    """Item cosine (Linden, Smith and York 2003): orders with both over the geometric mean of the orders with each.

    Every product is given one order more than it was seen in, so that a single chance meeting of two rare products
    does not come first.
    """
    return together / sqrt((orders + 1) * (other_orders + 1))
