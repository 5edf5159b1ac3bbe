"""Burn rates on made-up histories: which rule of the SRE workbook is met, when, and when it ends."""

from itertools import chain
from pathlib import Path

import pytest

from shop_stack.errors import SettingError
from shop_stack.operations.objectives import (
    Minute,
    Objective,
    budget_left,
    burn_rate,
    burning,
    completion_of,
    in_words,
    objectives_of,
)
from shop_stack.stack import Checkout, ServiceSpec, read_stack

pytestmark = pytest.mark.pure
AVAILABLE = Objective(service="orders", kind="availability", budget=0.01, words="0.99 answered")


def history(*legs: tuple[int, float], requests: float = 100.0) -> list[Minute]:
    """Minutes from 1 on; each leg is (minutes, share of requests that failed)."""
    shares = chain.from_iterable([share] * minutes for minutes, share in legs)
    return [Minute(at, requests, requests * share, 0.0) for at, share in enumerate(shares, 1)]


def rule_met(minutes: list[Minute], now: int | None = None) -> tuple[int, int] | None:
    burn = burning(minutes, AVAILABLE, minutes[-1].at if now is None else now)
    return (burn.long, burn.short) if burn else None


def test_a_budget_spent_exactly_burns_at_1() -> None:
    assert burn_rate(history((60, 0.01)), AVAILABLE, 60, 60) == pytest.approx(1.0)
    assert burn_rate(history((60, 1.0)), AVAILABLE, 60, 60) == pytest.approx(100.0)
    assert burn_rate([], AVAILABLE, 60, 60) == 0.0
    assert burn_rate(history((60, 0.5)), AVAILABLE, 500, 60) == 0.0, "minutes before the window do not count"
    assert budget_left(history((2160, 0.0), (2160, 0.01)), AVAILABLE, 4320) == pytest.approx(0.5)
    assert budget_left(history((4320, 0.02)), AVAILABLE, 4320) == pytest.approx(-1.0)


def test_an_outage_is_found_when_a_seventh_of_the_hour_has_failed_and_ends_within_five_minutes() -> None:
    found = [down for down in range(1, 20) if rule_met(history((400, 0.0), (down, 1.0)))]
    assert found[0] == 9, "14.4% of 60 minutes"
    over = [up for up in range(1, 20) if rule_met(history((400, 0.0), (12, 1.0), (up, 0.0)))]
    assert over == [1, 2, 3, 4], "then the short window is clean"


def test_a_slow_burn_is_found_by_the_longer_windows() -> None:
    assert rule_met(history((400, 0.0), (400, 0.08))) == (360, 30)
    assert rule_met(history((400, 0.0), (5000, 0.011))) == (4320, 360)
    assert rule_met(history((5000, 0.009))) is None
    assert rule_met(history((400, 0.0), (50, 0.02))) is None


def test_a_peak_that_is_over_does_not_open_anything() -> None:
    assert rule_met(history((400, 0.0), (10, 1.0), (6, 0.0))) is None


def test_a_young_history_is_judged_as_an_old_one_and_few_requests_are_not() -> None:
    assert rule_met(history((8, 1.0))) is None
    assert rule_met(history((9, 1.0))) == (60, 5)
    assert rule_met(history((300, 0.03))) is None
    assert rule_met(history((60, 0.5), requests=0.3)) is None, "nine bad requests in an hour"


def test_quiet_minutes_are_no_good_ones() -> None:
    quiet = [Minute(1, 100, 0, 0), *(Minute(at, 100, 60, 0) for at in range(96, 101))]
    assert rule_met(quiet) == (60, 5)


def test_objectives_are_those_of_the_stack_in_words() -> None:
    available, fast = objectives_of(ServiceSpec(name="orders", purpose="x", p95_ms=250, error_rate=0.01))
    assert (available.budget, available.words) == (0.01, "99% answered without an error")
    assert (fast.budget, fast.words) == (0.05, "95% answered within 250 ms")
    slow = [Minute(at, 100, 0, 80) for at in range(1, 61)]
    assert burning(slow, available, 60) is None
    burn = burning(slow, fast, 60)
    assert burn is not None
    assert in_words(fast, burn) == (
        "80.0% of requests were too slow in 1 h, 80.0% in the last 5 min; promised: 95% answered within 250 ms; "
        "the error budget burns 16 times as fast as allowed"
    )


def test_the_checkouts_objective_is_of_orders_by_the_same_rules() -> None:
    objective = completion_of(Checkout(completion_s=60, completion_share=0.99))
    assert (objective.service, objective.kind, objective.words) == (
        "checkout", "completion", "99% of orders ended within 60 s")  # fmt: skip
    late = [Minute(at, 100, 60, 0) for at in range(1, 61)]
    burn = burning(late, objective, 60)
    assert burn is not None
    assert in_words(objective, burn).startswith(
        "60.0% of orders ended too late, not at all, or were given up in 1 h, 60.0% in the last 5 min; promised: 99%"
    )
    assert burning([Minute(at, 100, 0, 100) for at in range(1, 61)], objective, 60) is None
    assert completion_of(read_stack().checkout).budget == pytest.approx(0.01)
    assert Checkout(step_deadline_s=20, delivery_seconds=30).within_s == 100


@pytest.mark.parametrize("wrong", ["completion_share = 1.0", "completion_share = 0.0", "completion_s = -1"])
def test_a_promise_that_cannot_be_kept_or_broken_is_refused(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(f'name = "x"\ncurrency = "GBP"\ntime_zone = "UTC"\nservices = []\n[checkout]\n{wrong}\n')
    with pytest.raises(SettingError, match="checkout: completion_share must be"):
        read_stack(path)
