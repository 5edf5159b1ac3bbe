"""What a forecast says of the present step: the band that the live rate is held against."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from shop_stack.events import ForecastMade, Point
from shop_stack.operations.advice import STALE, present_band

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 22, 20, 0, 30, tzinfo=UTC)


def forecast() -> ForecastMade:
    """Requests a minute for 20:00 to 20:02, rising by the minute."""
    start = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
    points = [
        Point(at=start + timedelta(minutes=i), mean=60.0 * (i + 1), low80=30.0, high80=90.0 * (i + 1),
              low95=-60.0, high95=120.0 * (i + 1))
        for i in range(3)
    ]  # fmt: skip
    return ForecastMade(
        forecast_id="f", series="requests:orders", unit="requests/minute", origin="live", made_at=start,
        history_end=start, step_s=60, model="autoreg", status="ok", note="", backtest_mase=0.9, points=points,
    )  # fmt: skip


def test_the_band_is_of_the_present_minute_in_requests_a_second_and_not_below_zero() -> None:
    assert present_band(forecast(), NOW) == (0.0, 2.0)
    assert present_band(forecast(), NOW + timedelta(seconds=29.9)) == (0.0, 2.0)
    assert present_band(forecast(), NOW + timedelta(seconds=30)) == (0.0, 4.0)


def test_without_a_fresh_forecast_of_the_present_there_is_no_band() -> None:
    assert present_band(None, NOW) is None
    assert present_band(forecast(), NOW + timedelta(minutes=3)) is None
    assert present_band(forecast(), NOW - timedelta(minutes=1)) is None
    old = msgspec.structs.replace(forecast(), made_at=NOW - STALE - timedelta(seconds=1))
    assert present_band(old, NOW) is None
    poor = msgspec.structs.replace(forecast(), status="not_enough_history")
    assert present_band(poor, NOW) is None
