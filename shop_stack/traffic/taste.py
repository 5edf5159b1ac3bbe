"""What shoppers choose: Zipf-like popularity, and baskets whose products belong together."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SAME_CATEGORY = 0.6
_LINES = np.array([0.42, 0.26, 0.15, 0.09, 0.05, 0.03])
_QUANTITIES = np.array([0.74, 0.17, 0.06, 0.03])


class Taste:
    """Choices over products given by their popularity weights and categories (arrays of one length)."""

    def __init__(self, popularity: Sequence[float], categories: Sequence[str]) -> None:
        weights = np.asarray(popularity, dtype=float)
        if len(weights) == 0 or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0:
            raise ValueError("a taste needs products with popularity weights of 0 or more, not all 0")
        names, self._category = np.unique(np.asarray(categories), return_inverse=True)
        self._everything = np.cumsum(weights) / weights.sum()
        self._members = [np.flatnonzero(self._category == c) for c in range(len(names))]
        self._within = [_cumulative(weights[members]) for members in self._members]

    def products(self, count: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """`count` product indices by popularity."""
        drawn = np.searchsorted(self._everything, random.random(count), side="right")
        return np.minimum(drawn, len(self._everything) - 1).astype(np.int64)

    def companions(self, first: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.int64]:
        """For each product another one to go with it: mostly of its category, else by popularity."""
        out = self.products(len(first), random)
        stay = random.random(len(first)) < _SAME_CATEGORY
        for category, members in enumerate(self._members):
            here = np.flatnonzero(stay & (self._category[first] == category))
            drawn = np.searchsorted(self._within[category], random.random(len(here)), side="right")
            out[here] = members[np.minimum(drawn, len(members) - 1)]
        return out


def zipf_weights(count: int, exponent: float = 0.9) -> npt.NDArray[np.float64]:
    """Weights 1/rank^exponent; about 0.9 is what web and sales popularity usually shows (Zipf's law)."""
    return np.asarray(1.0 / np.arange(1, count + 1) ** exponent)


def basket_sizes(count: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """How many different products each of `count` orders has: 1 to 6."""
    return random.choice(np.arange(1, len(_LINES) + 1), size=count, p=_LINES)


def quantities(count: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """How many units each line has: 1 to 4."""
    return random.choice(np.arange(1, len(_QUANTITIES) + 1), size=count, p=_QUANTITIES)


def _cumulative(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = weights.sum()
    even = np.full(len(weights), 1 / len(weights))
    return np.cumsum(weights / total if total > 0 else even)
