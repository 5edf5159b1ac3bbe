"""Shoppers are drawn as declared: arrivals, walks, tastes, the made-up past."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shop_stack.envelope import encode
from shop_stack.errors import SettingError
from shop_stack.events import PastMinute, PastOrderRecorded
from shop_stack.stack import read_stack
from shop_stack.traffic.arrivals import arrivals, next_arrival, shape_at, shape_of_minutes
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.footprint import requests_per_session
from shop_stack.traffic.history import Past
from shop_stack.traffic.taste import Taste, zipf_weights
from shop_stack.traffic.walk import CART_ABANDONMENT, CONVERSION, calibrated

pytestmark = pytest.mark.pure
LONDON = ZoneInfo("Europe/London")
END = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)


@given(st.floats(0.005, 0.5))
@settings(max_examples=30, deadline=None)
def test_a_walk_converts_as_asked(conversion: float) -> None:
    walk = calibrated(conversion)
    assert walk.reaches("order") == pytest.approx(conversion, abs=1e-6)
    assert walk.matrix.min() >= 0
    assert walk.matrix.sum(axis=1) == pytest.approx(np.ones(8))


def test_by_default_seventy_percent_of_carts_are_abandoned() -> None:
    walk = calibrated()
    assert 1 - walk.reaches("order") / walk.reaches("cart") == pytest.approx(CART_ABANDONMENT, abs=1e-6)


def test_simulated_walks_agree_with_the_calibration() -> None:
    random = np.random.default_rng(5)
    ends = [list(calibrated(0.3).steps(random))[-1] for _ in range(4000)]
    assert ends.count("order") / 4000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("wrong", [0.0, -1.0, 0.51])
def test_an_unreachable_conversion_is_refused(wrong: float) -> None:
    with pytest.raises(SettingError, match="conversion"):
        calibrated(wrong)


def test_the_week_averages_to_the_rate_and_is_quiet_at_night() -> None:
    week = shape_of_minutes(datetime(2026, 9, 7, tzinfo=UTC), 7 * 1440, LONDON)
    assert week.mean() == pytest.approx(1.0, abs=0.01)
    night = shape_at(datetime(2026, 9, 7, 2, 30, tzinfo=UTC), LONDON)
    evening = shape_at(datetime(2026, 9, 7, 19, 0, tzinfo=UTC), LONDON)
    assert evening > 3 * night


def test_arrays_and_single_minutes_agree_over_a_clock_change() -> None:
    first = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)
    shape = shape_of_minutes(first, 600, LONDON)
    assert shape[0] == pytest.approx(shape_at(first, LONDON))
    assert shape[420] == pytest.approx(shape_at(datetime(2026, 10, 25, 5, 0, tzinfo=UTC), LONDON))


def test_arrivals_are_poisson_in_number_and_repeat_with_their_seed() -> None:
    counts = [len(list(arrivals(20, 30, np.random.default_rng(seed)))) for seed in range(200)]
    assert np.mean(counts) == pytest.approx(600, rel=0.02)
    assert np.var(counts) == pytest.approx(600, rel=0.35)
    assert list(arrivals(5, 5, np.random.default_rng(1))) == list(arrivals(5, 5, np.random.default_rng(1)))


def test_thinned_arrivals_follow_the_hour() -> None:
    random = np.random.default_rng(3)
    begin = at = datetime(2026, 9, 7, 19, 0, tzinfo=UTC)
    count = 0
    while (at - begin).total_seconds() < 1200:
        at = next_arrival(4, at, LONDON, random)
        count += 1
    assert count / 1200 == pytest.approx(4 * shape_at(begin, LONDON), rel=0.1)


def test_taste_follows_the_weights_and_keeps_company() -> None:
    taste = Taste(zipf_weights(100).tolist(), ["a"] * 50 + ["b"] * 50)
    drawn = taste.products(20000, np.random.default_rng(2))
    assert (drawn == 0).mean() == pytest.approx(1 / (1 / np.arange(1, 101) ** 0.9).sum(), rel=0.1)
    unpopular = np.full(5000, 99)
    company = taste.companions(unpopular, np.random.default_rng(2))
    assert (company >= 50).mean() > 0.6


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [-1.0, 2.0], [float("nan")]])
def test_an_impossible_taste_is_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="popularity"):
        Taste(weights, ["a"] * len(weights))


def test_the_catalog_repeats_and_has_sane_products() -> None:
    products = made_up_products()
    assert products == made_up_products()
    assert len({p["product_id"] for p in products}) == len({p["name"] for p in products}) == 320
    assert min(p["list_price_minor"] for p in products) > 0


def test_a_past_day_has_the_live_rate_and_repeats() -> None:
    stack = read_stack()
    past = Past(stack, made_up_products(), END)
    events = list(past.day(3))
    orders = [e for e in events if isinstance(e.data, PastOrderRecorded)]
    minutes = [e.data for e in events if isinstance(e.data, PastMinute)]
    assert len(minutes) == 1440
    expected = stack.traffic.sessions_per_s * 86400 * CONVERSION * (1 - stack.provider.decline_rate)
    assert len(orders) == pytest.approx(expected, rel=0.1)
    assert [encode(e) for e in past.day(3)] == [encode(e) for e in events]
    assert len({e.id for e in events}) == len(events)
    assert all(sum(x.quantity * x.unit_price_minor for x in e.data.lines) == e.data.total_minor for e in orders)  # type: ignore[union-attr]
    per_session = sum(m.requests["catalog"] for m in minutes) / sum(m.sessions for m in minutes)
    assert per_session == pytest.approx(requests_per_session()["catalog"], rel=0.02)


def test_the_past_ends_within_a_minute_with_the_share_of_it_that_has_passed() -> None:
    past = Past(read_stack(), made_up_products(), END)
    whole = list(past.since_then(END + timedelta(minutes=3)))
    cut = list(past.since_then(END + timedelta(minutes=2, seconds=15)))
    minutes, cut_minutes = ([e.data for e in es if isinstance(e.data, PastMinute)] for es in (whole, cut))
    assert cut_minutes[:2] == minutes[:2]
    assert len(cut_minutes) == len(minutes) == 3
    assert cut_minutes[2].sessions == minutes[2].sessions / 4
    assert cut_minutes[2].requests == {name: count / 4 for name, count in minutes[2].requests.items()}
    assert all(END <= e.time < END + timedelta(minutes=2, seconds=15) for e in cut)
    assert {e.id for e in cut} <= {e.id for e in whole}
