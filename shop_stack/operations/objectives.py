"""Objectives with their error budgets, and when a budget burns so fast that somebody must look."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from shop_stack.stack import Checkout, ServiceSpec

Kind = Literal["availability", "latency", "completion"]
CHECKOUT = "checkout"  # whose objective is of orders; each minute's `requests` are then orders
LONGEST = 4320  # minutes: three days
_SLOW_SHARE = 0.05  # an objective for the p95 is one for 95% of the requests
_LEAST_BAD = 10
_BAD: dict[Kind, str] = {
    "availability": "requests failed",
    "latency": "requests were too slow",
    "completion": "orders ended too late, not at all, or were given up",
}


class Minute(NamedTuple):
    """What a service answered in one minute (`at`: minutes since 1970): requests, and those failed or too slow."""

    at: int
    requests: float
    failed: float
    slow: float


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """A promise of a service's requests, or the checkout's orders; `budget` is the share (0..1) that may break it."""

    service: str
    kind: Kind
    budget: float
    words: str


class Rule(NamedTuple):
    """Somebody must look when both windows (minutes) burn the budget at least `burn` times as fast as allowed."""

    long: int
    short: int
    burn: float


RULES = (Rule(60, 5, 14.4), Rule(360, 30, 6.0), Rule(LONGEST, 360, 1.0))


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """The rule's windows in minutes, and how many times as fast as allowed the budget burns in each."""

    long: int
    short: int
    long_rate: float
    short_rate: float


def objectives_of(spec: ServiceSpec) -> list[Objective]:
    """Those that a service has in stack.toml: its error rate, and its p95."""
    return [
        Objective(service=spec.name, kind="availability", budget=spec.error_rate,
                  words=f"{_percent(1 - spec.error_rate)} answered without an error"),
        Objective(service=spec.name, kind="latency", budget=_SLOW_SHARE,
                  words=f"{_percent(1 - _SLOW_SHARE)} answered within {spec.p95_ms:.0f} ms"),
    ]  # fmt: skip


def completion_of(checkout: Checkout) -> Objective:
    """That of the checkout as a whole: how many accepted orders have ended in time."""
    budget = 1 - checkout.completion_share
    words = f"{_percent(checkout.completion_share)} of orders ended within {checkout.within_s:.0f} s"
    return Objective(service=CHECKOUT, kind="completion", budget=budget, words=words)


def burn_rate(minutes: Sequence[Minute], objective: Objective, now: int, window: int) -> float:
    """How many times as fast as allowed the budget burnt in the `window` minutes up to `now`: 1 spends it exactly.

    That is the share of bad requests over the budget; 0 without requests. `minutes` is all that is known, oldest
    first: what lies before its beginning is taken for as many good minutes, so that a young history is not judged
    more hardly than an old one.
    """
    counted = [minute for minute in minutes if now - window < minute.at <= now]
    requests = sum(minute.requests for minute in counted)
    if not requests or objective.budget <= 0:
        return 0.0
    known = min(1.0, (now - minutes[0].at + 1) / window)
    return sum(_bad(minute, objective) for minute in counted) / requests / objective.budget * known


def burning(minutes: Sequence[Minute], objective: Objective, now: int) -> Burn | None:
    """The first rule that the history up to the minute `now` meets; None when the budget lasts.

    Multiwindow, multi-burn-rate alerts: B. Beyer et al. (ed.), The Site Reliability Workbook (2018), chapter 5,
    "Alerting on SLOs", section 6 and table 5-8. 14.4 over an hour spends 2% of a 30-day budget, 6 over six hours 5%,
    1 over three days 10%; the window of a twelfth says that it still burns, and closes the alert soon after it ends.
    The workbook warns of few requests: here at least ten must have been bad.
    """
    for rule in RULES:
        bad = sum(_bad(minute, objective) for minute in minutes if now - rule.long < minute.at <= now)
        rates = burn_rate(minutes, objective, now, rule.long), burn_rate(minutes, objective, now, rule.short)
        if bad >= _LEAST_BAD and min(rates) >= rule.burn:
            return Burn(long=rule.long, short=rule.short, long_rate=rates[0], short_rate=rates[1])
    return None


def budget_left(minutes: Sequence[Minute], objective: Objective, now: int) -> float:
    """The share of the budget of three days that is left: 1 untouched, below 0 overspent."""
    return 1.0 - burn_rate(minutes, objective, now, LONGEST)


def in_words(objective: Objective, burn: Burn) -> str:
    """How it stands, and what is promised."""
    bad = _BAD[objective.kind]
    long, short = burn.long_rate * objective.budget, burn.short_rate * objective.budget
    return (
        f"{long:.1%} of {bad} in {_span(burn.long)}, {short:.1%} in the last {_span(burn.short)}; "
        f"promised: {objective.words}; the error budget burns {burn.long_rate:.0f} times as fast as allowed"
    )


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"


def _span(minutes: int) -> str:
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 1440 else f"{minutes // 1440} days"


def _bad(minute: Minute, objective: Objective) -> float:
    return minute.slow if objective.kind == "latency" else minute.failed
