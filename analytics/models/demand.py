"""Orders or revenue a day ahead: the next 14 days, from the days so far."""

from analytics.models.autoregression import autoregression
from analytics.models.backtest import ORIGINS, forecast_with_the_best, origins
from analytics.models.forecast import Forecast, NotEnoughHistory, Values
from analytics.models.seasonal_naive import seasonal_naive

DAYS_AHEAD = 14
_LEAST_TRAINING = 21
LEAST_DAYS = DAYS_AHEAD + _LEAST_TRAINING + ORIGINS + 1
_WEEK = 7


def next_days(history: Values) -> Forecast | NotEnoughHistory:
    """The next 14 days of a daily series without gaps (a day without orders is 0), oldest first.

    AutoReg on yesterday and the weekday, untransformed so that the mean is a mean and not a median; conformal
    bands; SeasonalNaive by week when AutoReg loses on the newest held-out days.
    """
    if len(history) < LEAST_DAYS:
        return NotEnoughHistory(f"{len(history)} of {LEAST_DAYS} days of history that a forecast needs")
    apart = min(4, (len(history) - DAYS_AHEAD - _LEAST_TRAINING) // (ORIGINS - 1))
    lags = (1, 7) if len(history) >= 70 else (1,)
    return forecast_with_the_best(
        history,
        DAYS_AHEAD,
        ("AutoReg", autoregression(lags, period=_WEEK)),
        ("SeasonalNaive", seasonal_naive(_WEEK)),
        origins(len(history), DAYS_AHEAD, apart),
        _WEEK,
        last_windows=2,
    )
