"""Requests ahead: the next hour of a service, from its minutes (or the next day of a series, from its hours)."""

import numpy as np

from analytics.models.autoregression import autoregression
from analytics.models.backtest import ORIGINS, forecast_with_the_best, origins
from analytics.models.forecast import Forecast, Forecaster, NotEnoughHistory, Values
from analytics.models.seasonal_naive import seasonal_naive

PER_DAY_MINUTES = 1440
_FITTED_DAYS = 4


def next_requests(history: Values, steps: int = 60, per_day: int = PER_DAY_MINUTES) -> Forecast | NotEnoughHistory:
    """The next `steps` values of a gapless series with `per_day` values a day, oldest first.

    AutoReg (see autoregression) on the latest values, on the same time a day ago and, from 15 days on, a week ago;
    conformal bands; SeasonalNaive when AutoReg loses on the last day.
    """
    needed = max(per_day // 3, 8 * steps)
    if len(history) < needed:
        return NotEnoughHistory(f"{len(history)} of {needed} steps of history that a forecast needs")
    days = (len(history) - (ORIGINS + 1) * steps) / per_day
    season = per_day * 7 if days >= 15 else per_day if days >= 2 else steps
    apart = max(steps, (per_day - steps) // (ORIGINS - 1)) if days >= 2 else steps
    ends = origins(len(history), steps, apart)
    last_windows = sum(1 for end in ends if end >= len(history) - max(per_day, steps))
    return forecast_with_the_best(
        history,
        steps,
        ("AutoReg", _model(days, per_day)),
        ("SeasonalNaive", seasonal_naive(season)),
        ends,
        per_day if days >= 2 else 1,
        last_windows,
    )


def _model(days: float, per_day: int) -> Forecaster:
    fine = per_day > 48
    lags = (1, 2, 3, 4, 5, 10, 15, 30, 60) if fine else (1, 2, 3)
    memories = (per_day, 7 * per_day) if days >= 15 else (per_day,) if days >= 3 else ()
    window = (_FITTED_DAYS if fine else 28 * _FITTED_DAYS) * per_day
    return autoregression(
        lags, memories, smooth=per_day // 96 if memories else 0, period=0 if fine else per_day, window=window
    )


def fill_gaps(steps: Values, values: Values, per_day: int = PER_DAY_MINUTES) -> tuple[Values, int]:
    """A gapless series from values at integer `steps` (ascending), and how many were missing.

    A missing value is taken from the day before, else from the value before it.
    """
    whole = np.full(int(steps[-1] - steps[0]) + 1, np.nan)
    whole[(steps - steps[0]).astype(np.int64)] = values
    missing = np.flatnonzero(np.isnan(whole))
    for at in missing:
        whole[at] = whole[at - per_day] if at >= per_day else whole[at - 1]
    return whole, len(missing)
