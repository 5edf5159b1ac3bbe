"""What every model answers: a mean and two bands for each step ahead, and how far to trust them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
# From a history (n) and a number of steps: the mean and the standard error of each step ahead, both (steps).
Forecaster = Callable[[Values, int], tuple[Values, Values]]


@dataclass(frozen=True)
class Forecast:
    """Arrays of one value a step ahead, in the series' own unit, never negative.

    `backtest_mase` is the mean absolute error over the held-out windows in units of the seasonal naive
    forecast's own error within the history (below 1 is better than naive).
    """

    mean: Values
    low80: Values
    high80: Values
    low95: Values
    high95: Values
    model: str
    backtest_mase: float


@dataclass(frozen=True)
class NotEnoughHistory:
    """No forecast can be made honestly; `note` says what is missing."""

    note: str
