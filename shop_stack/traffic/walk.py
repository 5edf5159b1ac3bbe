"""How a shopper moves through the shop: a Markov walk, calibrated to a conversion and a cart abandonment.

Defaults: 2.5% of sessions buy, within the 2-3% that is usually reported for retail sites, and 70% of carts are
abandoned, near the 70.19% that the Baymard Institute averages over 49 studies
(https://baymard.com/lists/cart-abandonment-rate).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from shop_stack.errors import SettingError

Step = Literal["landing", "browse", "search", "product", "cart", "checkout", "order", "leave"]
STEPS: tuple[Step, ...] = ("landing", "browse", "search", "product", "cart", "checkout", "order", "leave")
CONVERSION = 0.025
CART_ABANDONMENT = 0.70
HIGHEST_CONVERSION = 0.5
THINK_MEDIAN_S: dict[Step, float] = {"landing": 5, "browse": 9, "search": 8, "product": 14, "cart": 8, "checkout": 20}
_THINK_SIGMA = 0.6
_ORDER_AFTER_CHECKOUT = 0.72
_MOST_CARTS = 0.85
_I = {step: i for i, step in enumerate(STEPS)}


@dataclass(frozen=True)
class Walk:
    """A walk's transition matrix over STEPS (rows: from, columns: to; `order` and `leave` absorb)."""

    matrix: npt.NDArray[np.float64]

    @cached_property
    def _cumulated(self) -> list[list[float]]:
        """The matrix's rows summed up, for drawing the next step."""
        return [[float(share) for share in row] for row in np.cumsum(self.matrix, axis=1)]

    def steps(self, random: np.random.Generator) -> Iterator[Step]:
        """One session from `landing` on, ending with `order` or `leave`."""
        at = _I["landing"]
        while True:
            yield STEPS[at]
            if STEPS[at] in ("order", "leave"):
                return
            at = bisect_right(self._cumulated[at], random.random(), hi=len(STEPS) - 1)

    def reaches(self, step: Step, start: Step = "landing") -> float:
        """The probability that a session at `start` ever comes to `step`."""
        keep = [i for i in range(len(STEPS)) if STEPS[i] not in (step, "order", "leave")]
        if STEPS.index(start) not in keep:
            return 1.0 if start == step else 0.0
        inner = self.matrix[np.ix_(keep, keep)]
        solved = np.linalg.solve(np.eye(len(keep)) - inner, self.matrix[keep, _I[step]])
        return float(solved[keep.index(_I[start])])

    def visits(self) -> dict[Step, float]:
        """The expected number of visits of each step in a session."""
        inner = self.matrix[:6, :6]
        transient = np.linalg.inv(np.eye(6) - inner)[0]
        ends = transient @ self.matrix[:6, 6:]
        return dict(zip(STEPS, [*map(float, transient), *map(float, ends)], strict=True))


def think_s(step: Step, random: np.random.Generator) -> float:
    """Seconds that a shopper looks at a page before the next step: log-normal around the step's median."""
    return float(random.lognormal(np.log(THINK_MEDIAN_S.get(step, 5)), _THINK_SIGMA))


@lru_cache(maxsize=32)
def calibrated(conversion: float = CONVERSION) -> Walk:
    """The walk in which this share of sessions ends with an order. Raises SettingError outside 0..0.5.

    Carts are abandoned at CART_ABANDONMENT as long as that many sessions can fill one.
    """
    if not 0 < conversion <= HIGHEST_CONVERSION:
        raise SettingError(f"conversion {conversion} is not between 0 and {HIGHEST_CONVERSION}")
    carts = min(conversion / (1 - CART_ABANDONMENT), _MOST_CARTS)
    wanted = conversion / carts
    to_cart = _solve(lambda p: _walk(p, 0.4, 0.0).reaches("cart"), carts)
    completes = min(_ORDER_AFTER_CHECKOUT + max(wanted - 0.5, 0.0), 0.98)
    to_checkout = _solve(lambda p: _walk(to_cart, p, completes).reaches("order", "cart"), wanted)
    return _walk(to_cart, to_checkout, completes)


def _walk(to_cart: float, to_checkout: float, completes: float) -> Walk:
    leave_product = 0.30 * (1 - to_cart)
    rest = 1 - to_cart - leave_product
    rows: dict[Step, dict[Step, float]] = {
        "landing": {"product": 0.50, "search": 0.26, "browse": 0.18, "leave": 0.06},
        "browse": {"product": 0.62, "search": 0.14, "browse": 0.10, "leave": 0.14},
        "search": {"product": 0.66, "search": 0.14, "browse": 0.05, "leave": 0.15},
        "product": {"cart": to_cart, "leave": leave_product, "product": rest * 0.55, "search": rest * 0.25,
                    "browse": rest * 0.20},
        "cart": {"checkout": to_checkout, "product": 0.4 * (1 - to_checkout), "leave": 0.6 * (1 - to_checkout)},
        "checkout": {"order": completes, "leave": 1 - completes},
    }  # fmt: skip
    matrix = np.zeros((len(STEPS), len(STEPS)))
    for source, targets in rows.items():
        for target, probability in targets.items():
            matrix[_I[source], _I[target]] = probability
    matrix[6, 6] = matrix[7, 7] = 1.0
    return Walk(matrix)


def _solve(reached: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < wanted else (low, middle)
    return (low + high) / 2
