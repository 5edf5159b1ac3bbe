"""The traffic model on a real series: hourly bicycle rentals, two years, with a daily and a weekly shape."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from analytics.models.forecast import Forecast
from analytics.models.seasonal_naive import naive_error, seasonal_naive
from analytics.models.traffic import next_requests
from tests import needs

pytestmark = pytest.mark.real


def test_bands_cover_and_the_forecast_beats_the_same_hour_of_last_week() -> None:
    table = pq.read_table(needs.trial_data("bike_sharing_hourly.parquet"), columns=["users"])
    series = table["users"].to_numpy().astype(np.float64)
    ours, naive, inside80, inside95 = [], [], [], []
    for back in range(24):
        end = len(series) - 24 - back * 317
        history, came = series[max(0, end - 120 * 24) : end], series[end : end + 24]
        forecast = next_requests(history, steps=24, per_day=24)
        assert isinstance(forecast, Forecast)
        unit = naive_error(history, 168)
        ours.append(np.mean(np.abs(came - forecast.mean)) / unit)
        naive.append(np.mean(np.abs(came - seasonal_naive(168)(history, 24)[0])) / unit)
        inside80.append(np.mean((came >= forecast.low80) & (came <= forecast.high80)))
        inside95.append(np.mean((came >= forecast.low95) & (came <= forecast.high95)))
    assert np.mean(ours) < np.mean(naive)
    assert np.mean(ours) < 1.1
    assert 0.70 <= np.mean(inside80) <= 0.90
    assert 0.88 <= np.mean(inside95) <= 1.0
