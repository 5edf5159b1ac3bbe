"""Autoregression with a memory of the same time yesterday and last week, which no single hour carries away."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.models.forecast import Forecaster, Values

_TUNING = 1.345  # Huber: 95% of the efficiency of least squares where the noise is normal
_NORMAL_MAD = 0.6745
_TURNS = 10


@dataclass(frozen=True)
class _Fit:
    """The coefficients of what is known of each step (`known`) and of each lag from 1 on (`own`); `sigma`: noise."""

    known: Values
    own: Values
    sigma: float


def autoregression(
    lags: Sequence[int], memories: Sequence[int] = (), smooth: int = 0, period: int = 0, window: int | None = None
) -> Forecaster:
    """A forecaster by regression on `lags` (ascending), with further regressors that are known for the steps ahead.

    `memories` are distances in steps (a day, a week), longer than the horizon by `smooth`: the history there,
    averaged over `smooth` steps to each side, at the step and one before it. `period` adds seasonal dummies.
    Only the last `window` steps are fitted. Raises ValueError when the history is too short for them.

    The coefficients are Huber's M-estimate (1964): least squares would let the few minutes of a sudden rise outweigh
    days. Where they would still grow without bound they are damped until what was seen last persists.
    """

    def forecast(history: Values, steps: int) -> tuple[Values, Values]:
        begin = max(0, len(history) - window) if window else 0
        first = max([begin, *(m + smooth + 1 for m in memories)])
        within = history[first:]
        if len(within) < lags[-1] + 2 * (len(lags) + 2 * len(memories) + max(period, 1)):
            raise ValueError(f"{len(within)} values are too few for {len(lags)} lags up to {lags[-1]}")
        known = _dummies(len(within) + steps, period)
        if memories:
            known = np.hstack([known, _remembered(history, memories, smooth, first, len(history) + steps)])
        fit = _fitted(within, known[: len(within)], lags)
        return _ahead(within, known[len(within) :] @ fit.known, fit)

    return forecast


def _dummies(length: int, period: int) -> Values:
    """A constant, and for each step of the period but its first one whether it is that."""
    at = np.arange(length)
    return np.column_stack([np.ones(length), *(at % period == step for step in range(1, period))]).astype(np.float64)


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


def _fitted(within: Values, known: Values, lags: Sequence[int]) -> _Fit:
    longest = lags[-1]
    lagged = [within[longest - lag : len(within) - lag] for lag in lags]
    regressors = np.column_stack([known[longest:], *lagged])
    scale = np.maximum(np.abs(regressors).max(axis=0), 1e-12)
    found, sigma = _robust(regressors / scale, within[longest:])
    found = found / scale
    own = np.zeros(longest)
    own[np.array(lags) - 1] = found[known.shape[1] :]
    return _Fit(found[: known.shape[1]], _damped(own), sigma)


def _robust(regressors: Values, values: Values) -> tuple[Values, float]:
    """Coefficients and the noise's standard deviation, by iteratively reweighted least squares."""
    weights = np.ones(len(values))
    for _ in range(_TURNS + 1):
        weighted = regressors * weights[:, None]
        found = np.linalg.lstsq(weighted.T @ regressors, weighted.T @ values, rcond=None)[0]
        errors = np.abs(values - regressors @ found)
        usual = float(np.median(errors)) / _NORMAL_MAD
        if usual <= 0:
            break
        fresh = np.minimum(1.0, _TUNING * usual / np.maximum(errors, 1e-12))
        if np.max(np.abs(fresh - weights)) < 1e-3:
            break
        weights = fresh
    freedom = max(1, len(values) - regressors.shape[1])
    return np.asarray(found, np.float64), float(np.sqrt(np.sum(weights * errors**2) / freedom))


def _damped(own: Values) -> Values:
    """The lags' coefficients with no root beyond 1: each is drawn in by the largest one's size to the lag's power."""
    companion = np.zeros((len(own), len(own)))
    companion[0] = own
    companion[1:, :-1] = np.eye(len(own) - 1)
    largest = float(np.max(np.abs(np.linalg.eigvals(companion))))
    return own / largest ** np.arange(1, len(own) + 1) if largest > 1 else own


def _ahead(within: Values, base: Values, fit: _Fit) -> tuple[Values, Values]:
    """The mean of each step ahead, and its standard error from the weights of the noise of the steps before it."""
    longest, steps = len(fit.own), len(base)
    path = np.concatenate([within[-longest:], np.zeros(steps)])
    share = np.concatenate([np.zeros(longest), [1.0], np.zeros(steps - 1)])
    for step in range(steps):
        at = longest + step
        path[at] = base[step] + path[step:at][::-1] @ fit.own
        if step:
            share[at] = share[step:at][::-1] @ fit.own
    width = fit.sigma * np.sqrt(np.cumsum(share[longest:] ** 2))
    return path[longest:], np.maximum(width, 1e-9)
