"""The forecast that every other must beat: what was, one season ago."""

import numpy as np

from analytics.models.forecast import Forecaster, Values


def seasonal_naive(season: int) -> Forecaster:
    """Repeats the last `season` steps; its error is the spread of the differences one season apart.

    The error grows with the number of seasons ahead (Hyndman, Forecasting: Principles and Practice, 5.5).
    """

    def forecast(history: Values, steps: int) -> tuple[Values, Values]:
        last = history[-season:]
        ahead = np.arange(steps)
        differences = history[season:] - history[:-season]
        spread = float(np.sqrt(np.mean(differences**2))) if len(differences) else float(np.std(history))
        return last[ahead % season], max(spread, 1e-9) * np.sqrt(ahead // season + 1.0)

    return forecast


def naive_error(history: Values, season: int) -> float:
    """The mean absolute difference one season apart: the unit of MASE (Hyndman and Koehler 2006)."""
    differences = np.abs(history[season:] - history[:-season]) if len(history) > season else np.abs(np.diff(history))
    return max(float(np.mean(differences)), 1e-9) if len(differences) else 1e-9
