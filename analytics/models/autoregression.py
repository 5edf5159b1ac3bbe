"""Autoregression with a memory of the same time yesterday and last week, by statsmodels' AutoReg."""

import warnings
from collections.abc import Sequence

import numpy as np

from analytics.models.forecast import Forecaster, Values


def autoregression(
    lags: Sequence[int], memories: Sequence[int] = (), smooth: int = 0, period: int = 0, window: int | None = None
) -> Forecaster:
    """A forecaster by AutoReg on `lags`, with further regressors that are known for the steps ahead.

    `memories` are distances in steps (a day, a week), longer than the horizon by `smooth`: the history there,
    averaged over `smooth` steps to each side, at the step and one before it. `period` adds seasonal dummies.
    Only the last `window` steps are fitted. Raises ValueError when the history is too short for them.
    """

    def forecast(history: Values, steps: int) -> tuple[Values, Values]:
        from statsmodels.tsa.ar_model import AutoReg  # a second of CPU, spared where there is too little history

        begin = max(0, len(history) - window) if window else 0
        first = max([begin, *(m + smooth + 1 for m in memories)])
        within = history[first:]
        regressors = _remembered(history, memories, smooth, first, len(history) + steps) if memories else None
        ahead = regressors[len(within) :] if regressors is not None else None
        model = AutoReg(
            within,
            lags=list(lags),
            trend="c",
            seasonal=period > 0,
            period=period or None,
            exog=regressors[: len(within)] if regressors is not None else None,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted = model.fit().get_prediction(len(within), len(within) + steps - 1, exog_oos=ahead)
        return np.asarray(predicted.predicted_mean), np.maximum(np.asarray(predicted.se_mean), 1e-9)

    return forecast


def _remembered(history: Values, memories: Sequence[int], smooth: int, first: int, end: int) -> Values:
    """For each step from `first` to `end`: the smoothed history at each memory's distance, there and one before."""
    sums = np.concatenate([[0.0], np.cumsum(history)])
    width = 2 * smooth + 1
    at = np.arange(first, end)
    columns = []
    for distance in memories:
        for centre in (at - distance, at - distance - 1):
            columns.append((sums[centre + smooth + 1] - sums[centre - smooth]) / width)
    return np.column_stack(columns)
