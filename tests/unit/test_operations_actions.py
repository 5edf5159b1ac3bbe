"""The rules of operators' actions: bounds, promises and verdicts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.errors import ActionRefused
from shop_stack.events import Effect
from shop_stack.operations import actions
from shop_stack.stack import ServiceSpec

pytestmark = pytest.mark.pure

ORDERS = ServiceSpec(name="orders", purpose="", min_replicas=1, max_replicas=8, replica_capacity=60)
PAYMENTS = ServiceSpec(name="payments", purpose="", min_replicas=2, max_replicas=5, replica_capacity=60)


def target(replicas: int = 1, load: float = 0.8, p95: float | None = 100.0, *others: ServiceSpec) -> actions.Target:
    return actions.Target(ORDERS, "orders", (ORDERS, *others), replicas, load, p95)


def side(
    rate: float = 10.0, p95: float | None = 100.0, errors: float = 0.0, lag: float = 0.0, seconds: float = 60.0
) -> Effect:
    return Effect(seconds=seconds, request_rate=rate, error_rate=errors, p95_ms=p95, lag=lag, utilisation=rate / 60)


@pytest.mark.parametrize(
    ("replicas", "accepted"), [(0, True), (1, False), (2, True), (8, True), (9, False), (-1, False)]
)
def test_bounds_come_from_the_stack(replicas: int, accepted: bool) -> None:
    assert (actions.refusal(target(), replicas) is None) is accepted


def test_services_that_share_a_process_have_the_tightest_bounds() -> None:
    assert target(3, 0.5, None, PAYMENTS).bounds == (2, 5)
    assert target(3, 0.5, None, PAYMENTS).moves_with == ["payments"]


def test_zero_needs_a_second_confirmation() -> None:
    with pytest.raises(ActionRefused, match="second time"):
        actions.check_scale(target(), 0, confirm_zero=False)
    actions.check_scale(target(), 0, confirm_zero=True)


def test_a_group_rests_after_a_scaling_unless_forced() -> None:
    resting = replace(target(), rests_s=6.2)
    assert actions.expect(resting, 3).rests_s == 6.2
    assert actions.expect(resting, 99).rests_s == 0.0
    assert actions.refusal(resting, 3) == "orders was scaled just now; wait 7 s more and see what it did, or force it"
    assert actions.refusal(resting, 3, force=True) is None
    assert "1 to 8" in (actions.refusal(resting, 9, force=True) or ""), "force passes over no bound"
    assert actions.expect(resting, 3).refused is not None
    with pytest.raises(ActionRefused, match="second time"):
        actions.check_scale(resting, 0, confirm_zero=False, force=True)


@given(st.floats(-5, 100), st.floats(0, 60))
def test_the_rest_ends_with_the_cooldown(ago_s: float, cooldown_s: float) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    left = actions.rest_s(now - timedelta(seconds=ago_s), now, cooldown_s)
    assert left == pytest.approx(max(0.0, cooldown_s - ago_s), abs=1e-5)
    assert actions.rest_s(None, now, cooldown_s) == 0.0


@pytest.mark.parametrize("reason", ["", "   \n", "x" * 501])
def test_a_reason_is_needed_and_short(reason: str) -> None:
    with pytest.raises(ActionRefused):
        actions.check_reason(reason)


def test_three_replicas_share_the_load() -> None:
    promise = actions.expect(target(1, 0.9, 300.0), 3)
    assert promise.utilisation_now == pytest.approx(0.9)
    assert promise.utilisation_then == pytest.approx(0.3)
    assert promise.p95_then_ms == pytest.approx(300 * 0.1 / 0.7)
    assert promise.words == "1 -> 3 replicas: utilisation 90% -> 30%, p95 about 300 -> 43 ms (a queueing estimate)."


def test_no_p95_is_promised_where_none_was_measured_or_the_queue_has_no_bound() -> None:
    assert actions.expect(target(1, 0.9, None), 3).p95_then_ms is None
    full = actions.expect(target(3, 2.4, 100.0), 2)
    assert full.p95_then_ms is None
    assert "requests will queue" in full.words


def test_without_requests_nothing_is_promised_but_the_lag_is_said() -> None:
    idle = actions.Target(ORDERS, "orders", (ORDERS,), 1, 0.0, None, 120)
    assert "lag of 120 events is shared by 3" in actions.expect(idle, 3).words


def test_a_hot_partition_is_named_before_replicas_are_added_in_vain() -> None:
    hot = actions.Target(ORDERS, "orders", (ORDERS,), 2, 0.0, None, 120, hot="shop.payments/3")
    busy = actions.Target(ORDERS, "orders", (ORDERS,), 2, 0.5, 20.0, 120, hot="shop.payments/3")
    for asked in (hot, busy):
        assert "Most of its lag lies in shop.payments/3" in actions.expect(asked, 3).words
        assert "shop.payments/3" not in actions.expect(asked, 1).words


@given(st.floats(0, 3), st.floats(0, 0.94), st.floats(0, 0.94), st.floats(0.1, 1e4))
def test_more_room_never_promises_a_longer_wait(now: float, a: float, b: float, p95: float) -> None:
    low, high = sorted((a, b))
    at_low, at_high = actions.expected_p95(p95, now, low), actions.expected_p95(p95, now, high)
    assert at_low is not None
    assert at_high is not None
    assert 0 < at_low <= at_high


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (side(p95=100), side(p95=60), "helped"),
        (side(p95=100), side(p95=95), "no_change"),
        (side(p95=10), side(p95=8.5), "no_change"),
        (side(p95=100), side(p95=130), "worse"),
        (side(errors=0.05), side(errors=0.0), "helped"),
        (side(errors=0.0), side(errors=0.02), "worse"),
        (side(p95=100, errors=0.0), side(p95=50, errors=0.1), "unclear"),
        (side(lag=400), side(lag=10), "helped"),
        (side(rate=9), side(rate=12.1), "unclear"),
        (side(rate=9), side(rate=11.9), "no_change"),
        (side(rate=0.2), side(rate=0.2, p95=900), "unclear"),
        (side(rate=0), side(rate=0, p95=None), "unclear"),
        (side(rate=0, lag=500), side(rate=0, lag=0), "helped"),
        (side(rate=0, lag=0), side(rate=0, lag=500), "worse"),
        (side(seconds=10), side(p95=10), "unclear"),
        (side(), side(p95=10, seconds=20), "unclear"),
    ],
)
def test_verdicts(before: Effect, after: Effect, verdict: str) -> None:
    reached = actions.reach_verdict(before, after)
    assert reached.verdict == verdict
    assert "p95" in reached.because


def test_a_verdict_holds_the_figures_against_the_promise() -> None:
    reached = actions.reach_verdict(side(p95=100, lag=3), side(p95=40, lag=0), 35.0)
    assert (
        reached.because
        == "p95 100 ms -> 40 ms (expected 35 ms), errors 0.0% -> 0.0%, lag 3 -> 0, utilisation 17% -> 17%"
    )


def test_an_action_in_the_measured_minute_makes_it_unclear() -> None:
    reached = actions.disturbed(["scale orders to 1"])
    assert reached is not None
    assert (reached.verdict, "scale orders to 1" in reached.because) == ("unclear", True)
    assert actions.disturbed([]) is None


def test_better_under_much_more_load_helped_and_better_under_much_less_is_unclear() -> None:
    slow, quick = side(rate=55, p95=637.0), side(rate=86, p95=295.0)
    helped = actions.reach_verdict(slow, quick)
    assert helped.verdict == "helped"
    assert "55.0 to 86.0 requests/s, and still: p95 637 ms -> 295 ms" in helped.because
    assert actions.reach_verdict(side(rate=86, p95=637.0), side(rate=40, p95=295.0)).verdict == "unclear"


def test_worse_under_much_more_load_is_unclear_and_worse_under_much_less_is_worse() -> None:
    assert actions.reach_verdict(side(rate=40, p95=100.0), side(rate=86, p95=300.0)).verdict == "unclear"
    assert actions.reach_verdict(side(rate=86, p95=100.0), side(rate=40, p95=300.0)).verdict == "worse"
