"""The models: honest bands, a fallback that holds, no negative counts, and no forecast from too little."""

import numpy as np
import pytest

from analytics.models.autoregression import autoregression
from analytics.models.backtest import forecast_with_the_best, origins
from analytics.models.capacity import advise
from analytics.models.conformal import factor
from analytics.models.demand import LEAST_DAYS, next_days
from analytics.models.forecast import Forecast, NotEnoughHistory, Values
from analytics.models.seasonal_naive import naive_error, seasonal_naive
from analytics.models.traffic import fill_gaps, next_requests

pytestmark = pytest.mark.pure


def minutes(days: int, level: float = 120.0, seed: int = 1) -> Values:
    """Requests a minute with a daily shape and Poisson noise."""
    at = np.arange(days * 1440)
    shape = level * (1 + 0.5 * np.sin(2 * np.pi * at / 1440))
    return np.random.default_rng(seed).poisson(shape).astype(np.float64)


def test_seasonal_naive_repeats_the_last_season() -> None:
    mean, width = seasonal_naive(7)(np.arange(21, dtype=np.float64), 9)
    assert list(mean) == [14, 15, 16, 17, 18, 19, 20, 14, 15]
    assert width[0] == pytest.approx(7.0)
    assert width[7] == pytest.approx(7.0 * np.sqrt(2))


def test_the_unit_of_mase_is_the_error_of_the_naive_forecast() -> None:
    assert naive_error(np.array([1.0, 2.0, 4.0, 7.0]), 1) == pytest.approx(2.0)


def test_a_conformal_factor_covers_what_it_promises() -> None:
    scores = np.arange(1, 100, dtype=np.float64)
    assert factor(scores, 0.80) == 80
    assert factor(scores, 0.95) == 95
    assert factor(np.array([1.0, 2.0]), 0.95) == 3.0


def test_origins_end_where_the_history_ends() -> None:
    assert origins(100, 10, 5) == [65, 70, 75, 80, 85, 90]


def test_the_next_hour_is_forecast_from_minutes_with_bands_that_hold() -> None:
    series = minutes(4)
    inside80, inside95 = [], []
    for end in range(len(series) - 60 * 6, len(series), 60):
        forecast = next_requests(series[:end])
        assert isinstance(forecast, Forecast)
        came = series[end : end + 60]
        inside80.append(np.mean((came >= forecast.low80) & (came <= forecast.high80)))
        inside95.append(np.mean((came >= forecast.low95) & (came <= forecast.high95)))
    assert 0.68 < np.mean(inside80) < 0.92
    assert 0.90 < np.mean(inside95) <= 1.0


def test_autoregression_beats_the_naive_forecast_on_noisy_minutes() -> None:
    forecast = next_requests(minutes(4))
    assert isinstance(forecast, Forecast)
    assert forecast.model == "AutoReg"
    assert forecast.backtest_mase < 0.9


def test_the_autoregression_is_that_of_statsmodels_where_nothing_stands_out() -> None:
    from statsmodels.tsa.ar_model import AutoReg

    rng = np.random.default_rng(5)
    series = np.zeros(3000)
    for at in range(2, len(series)):
        series[at] = 20 + 0.5 * series[at - 1] + 0.2 * series[at - 2] + rng.uniform(-1, 1)  # nothing beyond 1.345 sigma
    mean, width = autoregression((1, 2), period=4)(series, 12)
    known = AutoReg(series, lags=[1, 2], trend="c", seasonal=True, period=4).fit().get_prediction(3000, 3011)
    assert mean == pytest.approx(np.asarray(known.predicted_mean), rel=1e-3)
    assert width == pytest.approx(np.asarray(known.se_mean), rel=0.05)
    with pytest.raises(ValueError, match="too few"):
        autoregression((1, 2))(series[:6], 1)


@pytest.mark.parametrize("risen", [1, 3, 4, 5, 8, 12, 15, 20, 30, 45, 60])
def test_a_sudden_rise_is_neither_prolonged_without_bound_nor_forgotten_at_once(risen: int) -> None:
    series = minutes(16, 500.0)
    before = series[-1]
    series[-risen:] *= 10
    highest = series.max()
    forecast = next_requests(series)
    assert isinstance(forecast, Forecast)
    assert np.all(forecast.mean <= 1.1 * highest)
    assert np.all(forecast.high95 <= 2.2 * highest)
    assert np.all(forecast.mean >= 0.5 * before), "never below half of what it was before the rise"
    if risen >= 8:
        assert forecast.mean[0] > 0.8 * series[-1], "it is seen to last"


def test_a_fall_to_nothing_is_followed_and_stays_within_reason() -> None:
    series = minutes(16, 500.0)
    usual = series[-1]
    series[-20:] = 0.0
    forecast = next_requests(series)
    assert isinstance(forecast, Forecast)
    assert forecast.mean[0] < 0.5 * usual
    assert np.all(forecast.mean <= 1.5 * series.max())


def test_too_little_history_is_said_and_not_forecast() -> None:
    result = next_requests(minutes(1)[:100])
    assert isinstance(result, NotEnoughHistory)
    assert "100 of 480" in result.note
    assert isinstance(next_days(np.ones(LEAST_DAYS - 1)), NotEnoughHistory)


def test_a_model_that_loses_or_fails_is_replaced_by_the_fallback() -> None:
    history = np.tile(np.arange(7, dtype=np.float64), 10)

    def wrong(history: Values, steps: int) -> tuple[Values, Values]:
        return np.full(steps, 50.0), np.ones(steps)

    def fails(history: Values, steps: int) -> tuple[Values, Values]:
        raise ValueError("the model does not converge")

    for model in (wrong, fails):
        ends = origins(len(history), 7, 7)
        result = forecast_with_the_best(history, 7, ("Bad", model), ("SeasonalNaive", seasonal_naive(7)), ends, 7, 1)
        assert result.model == "SeasonalNaive"
        assert list(result.mean) == list(range(7))


@pytest.mark.parametrize("level", [0.0, 0.3, 5.0])
def test_counts_are_never_negative_and_bands_are_nested(level: float) -> None:
    rng = np.random.default_rng(3)
    result = next_days(rng.poisson(level, 80).astype(np.float64))
    assert isinstance(result, Forecast)
    for low, high in ((result.low95, result.low80), (result.low80, result.mean), (result.mean, result.high80)):
        assert np.all(low <= high)
    assert np.all(result.high80 <= result.high95)
    assert np.all(result.low95 >= 0)


def test_days_know_the_weekday() -> None:
    week = np.array([100, 110, 120, 130, 140, 60, 0], dtype=np.float64)
    result = next_days(np.tile(week, 12) + np.random.default_rng(1).normal(0, 2, 84))
    assert isinstance(result, Forecast)
    assert result.mean == pytest.approx(np.tile(week, 2), abs=8)


def test_missing_minutes_come_from_the_day_before_or_the_one_before() -> None:
    whole, missing = fill_gaps(np.array([0, 1, 2, 4, 5]), np.array([1.0, 2.0, 3.0, 5.0, 6.0]), per_day=2)
    assert missing == 1
    assert list(whole) == [1, 2, 3, 2, 5, 6]
    assert list(fill_gaps(np.array([0, 2]), np.array([4.0, 5.0]))[0]) == [4, 4, 5]


def test_advice_follows_the_peak_and_never_falls_below_the_load() -> None:
    assert advise(100.0, 10.0, 10.0, 1, 8).replicas == 1
    peak = advise(1000.0, 10.0, 10.0, 1, 8)
    assert peak.replicas == 3
    assert "peak at 1,000" in peak.because
    now = advise(100.0, 1000.0, 10.0, 1, 8)
    assert now.replicas == 3
    assert "now" in now.because
    assert advise(1e6, 0.0, 10.0, 1, 8).replicas == 8
    assert "bounded" in advise(1e6, 0.0, 10.0, 1, 8).because
    assert advise(0.0, 0.0, 10.0, 0, 8).replicas == 1
