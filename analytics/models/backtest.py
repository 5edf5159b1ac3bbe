"""Holds models against windows that they have not seen, and makes a forecast with the one that holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.models.conformal import factor
from analytics.models.forecast import Forecast, Forecaster, Values
from analytics.models.seasonal_naive import naive_error

ORIGINS = 6
_PLAIN = 2.0


@dataclass(frozen=True)
class _Trial:
    """A model's held-out errors and standard errors, both (origins, steps)."""

    errors: Values
    widths: Values

    def mean_error(self, windows: slice) -> float:
        return float(np.mean(np.abs(self.errors[windows])))


def origins(length: int, steps: int, apart: int) -> list[int]:
    """The ends of six histories, oldest first, each followed by `steps` held-out values; the last ends at `length`."""
    return [length - steps - apart * back for back in reversed(range(ORIGINS))]


def forecast_with_the_best(
    history: Values,
    steps: int,
    model: tuple[str, Forecaster],
    fallback: tuple[str, Forecaster],
    ends: Sequence[int],
    season: int,
    last_windows: int,
) -> Forecast:
    """Forecast by `model`, or by `fallback` where the model fails or loses on the last held-out windows.

    `ends` are the origins of the backtest, `season` the seasonal step of MASE's unit, `last_windows` how many of
    the newest windows decide. The bands are the chosen model's standard errors, scaled conformally over all windows.
    """
    known = _try(fallback[1], history, steps, ends)
    assert known is not None
    tried = _try(model[1], history, steps, ends)
    last = slice(len(ends) - last_windows, None)
    wins = tried is not None and tried.mean_error(last) <= known.mean_error(last)
    (name, forecaster), trial = (model, tried) if wins and tried is not None else (fallback, known)
    try:
        mean, width = forecaster(history, steps)
    except (ValueError, np.linalg.LinAlgError):
        (name, forecaster), trial = fallback, known
        mean, width = forecaster(history, steps)
    unit = naive_error(history[: ends[0]], season)
    return _banded(mean, width, trial, name, trial.mean_error(slice(None)) / unit)


def _try(forecaster: Forecaster, history: Values, steps: int, ends: Sequence[int]) -> _Trial | None:
    errors, widths = [], []
    for end in ends:
        try:
            mean, width = forecaster(history[:end], steps)
        except (ValueError, np.linalg.LinAlgError):
            return None
        if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(width))):
            return None
        errors.append(history[end : end + steps] - np.maximum(mean, 0.0))
        widths.append(width)
    return _Trial(np.array(errors), np.array(widths))


def _banded(mean: Values, width: Values, trial: _Trial, name: str, mase: float) -> Forecast:
    """Bands by the held-out scores, no wider than the largest held-out error or twice the model's own width.

    After a surprise both the scores and the width are large for the same reason, and their product is no error that
    ever came.
    """
    scores = (np.abs(trial.errors) / trial.widths).ravel()
    narrow = factor(scores, 0.80)
    wide = max(factor(scores, 0.95), narrow)
    most = np.maximum(np.max(np.abs(trial.errors)), _PLAIN * width)
    half80, half95 = np.minimum(narrow * width, most), np.minimum(wide * width, most)
    return Forecast(
        mean=np.maximum(mean, 0.0),
        low80=np.maximum(mean - half80, 0.0),
        high80=np.maximum(mean + half80, 0.0),
        low95=np.maximum(mean - half95, 0.0),
        high95=np.maximum(mean + half95, 0.0),
        model=name,
        backtest_mase=mase,
    )
