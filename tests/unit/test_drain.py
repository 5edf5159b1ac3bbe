"""The drain of a backlog: its formula against made-up histories, and how often its interval holds what came."""

import random

import pytest

from shop_stack.operations.drain import Point, estimate, rates, steady

pytestmark = pytest.mark.pure


def history(*legs: tuple[int, float, float], behind: float = 0.0, step: float = 1.0) -> list[Point]:
    """Looks `step` seconds apart; each leg is (looks, arrivals, processed a second)."""
    points = [Point(0.0, behind, 0.0)]
    for looks, arrivals, processed in legs:
        for _ in range(looks):
            at, arrived, done = points[-1]
            points.append(Point(at + step, arrived + arrivals * step, done + processed * step))
    return points


def test_nothing_waits_and_too_little_is_known() -> None:
    assert estimate(history((10, 5, 5))).state == "nothing_waits"
    assert estimate(history((2, 5, 0))).state == "unknown"
    assert estimate([]).state == "unknown"


def test_an_even_drain_ends_when_its_line_does() -> None:
    found = estimate(history((30, 10, 30), behind=1000))
    assert found.state == "drains"
    assert found.seconds == pytest.approx((1000 - 600) / 20)
    assert found.low_s == pytest.approx(found.seconds)
    assert found.high_s == pytest.approx(found.seconds)
    assert found.over_s == pytest.approx(30)


def test_a_backlog_that_grows_or_stands_does_not_drain() -> None:
    assert estimate(history((30, 20, 10))).state == "does_not_drain"
    assert estimate(history((30, 20, 20), behind=50)).state == "does_not_drain"


def test_an_uneven_drain_has_an_interval_around_it_and_a_weak_one_no_upper_end() -> None:
    uneven = [Point(float(t), 0.0, 20.0 * t + 15 * (-1) ** t - 2000) for t in range(20)]
    found = estimate(uneven)
    assert found.low_s is not None
    assert found.high_s is not None
    assert found.seconds is not None
    assert found.low_s < found.seconds < found.high_s
    weak = [Point(float(t), 0.0, 0.5 * t + 30 * (-1) ** t - 2000) for t in range(21)]
    found = estimate(weak)
    assert found.state == "drains"
    assert found.high_s is None
    weak = [Point(float(t), 0.5 * t + 30 * (-1) ** t + 2000, 0.0) for t in range(21)]
    assert estimate(weak).state == "unknown"


def test_what_changed_lately_counts_alone() -> None:
    slowed_then_free = history((40, 30, 10), (8, 30, 90))
    assert steady(slowed_then_free)[0].at >= 36
    found = estimate(slowed_then_free)
    assert found.state == "drains"
    assert found.seconds == pytest.approx(slowed_then_free[-1].behind / 60, rel=0.6)
    assert estimate(history((40, 30, 90), (8, 30, 10), behind=3000)).state == "does_not_drain"


def test_what_was_before_this_backlog_does_not_count() -> None:
    drained_in_lumps = [Point(float(t), 0.0, 900.0 * (t // 10) - 2700) for t in range(31)]
    assert drained_in_lumps[-1].behind == 0
    grows = [Point(30.0 + t, 40.0 * t, 0.0) for t in range(1, 9)]
    assert estimate([*drained_in_lumps, *grows]).state == "does_not_drain"


def test_rates_are_means_over_the_points() -> None:
    found = rates(history((10, 8, 5)))
    assert found is not None
    assert (found.arrivals, found.processed, found.slope, found.seconds) == pytest.approx((8, 5, 3, 10))
    assert rates(history()) is None


def test_the_interval_holds_what_came_about_as_often_as_it_says() -> None:
    """Random drains with known rates: Poisson-like arrivals and services, estimated after 30 s, then run to the end."""
    chance = random.Random(5)
    held = trials = 0
    for _ in range(300):
        points = [Point(0.0, 1500.0, 0.0)]
        while points[-1].behind > 0:
            at, arrived, done = points[-1]
            points.append(
                Point(at + 1, arrived + max(0.0, chance.gauss(20, 20)), done + max(0.0, chance.gauss(40, 20)))
            )
        if len(points) < 45:
            continue
        found = estimate(points[:31])
        if found.state != "drains":
            continue
        came = points[-1].at - 30
        trials += 1
        assert found.low_s is not None
        held += found.low_s - 1 <= came and (found.high_s is None or came <= found.high_s + 1)
    assert trials > 200
    assert 0.7 <= held / trials <= 0.95, held / trials
