"""The rules of operators' actions: bounds, what a scaling promises, and the verdict on what it did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shop_stack.errors import ActionRefused
from shop_stack.events import Effect
from shop_stack.operations.model import Expectation
from shop_stack.stack import ServiceSpec

WINDOW_S = 60.0
LEAST_REQUESTS = 30
LEAST_SECONDS = 30.0
_LONGEST_REASON = 500
_FULL = 0.95  # utilisation above which the queueing estimate is not trusted
_LOAD_CHANGE = 1 / 3
_P95_RATIO, _P95_LEAST_MS = 0.10, 2.0
_ERROR_RATE_LEAST = 0.005
_LAG_RATIO, _LAG_LEAST = 0.5, 20.0


@dataclass(frozen=True)
class Target:
    """What an action addresses: the service named, its process group, and every service of that group.

    `load` is the group's work in replicas' worth: the sum of request rate over replica capacity; `lag` is in events.
    `hot` is the partition that holds most of that lag, if one does.
    `rests_s` is how long the group is to be left alone after it was scaled last, so that the effect shows.
    """

    service: ServiceSpec
    group: str
    services: tuple[ServiceSpec, ...]
    replicas: int
    load: float
    p95_ms: float | None
    lag: int = 0
    rests_s: float = 0.0
    hot: str | None = None

    @property
    def bounds(self) -> tuple[int, int]:
        """Fewest and most replicas of the group: the tightest of its services' bounds, at least 1."""
        least = max(1, *(spec.min_replicas for spec in self.services)) if self.services else 1
        return least, min(spec.max_replicas for spec in self.services)

    @property
    def moves_with(self) -> list[str]:
        """The other services of the group."""
        return [spec.name for spec in self.services if spec.name != self.service.name]


def refusal(target: Target, replicas: int, *, force: bool = False) -> str | None:
    """Why this number of replicas is not accepted; None when it is (0 needs a second confirmation).

    `force` passes over the time to rest, and over nothing else.
    """
    least, most = target.bounds
    name = target.service.name
    if replicas < 0 or (replicas != 0 and not least <= replicas <= most):
        return f"{name} may have {least} to {most} replicas, not {replicas}; the bounds are in stack.toml"
    if replicas == target.replicas:
        return f"{name} is at {replicas} replicas already"
    if target.rests_s > 0 and not force:
        return f"{name} was scaled just now; wait {math.ceil(target.rests_s)} s more and see what it did, or force it"
    return None


def rest_s(last_scaled: datetime | None, now: datetime, cooldown_s: float) -> float:
    """Seconds for which a group that was scaled then is still to be left alone; 0 when it may be scaled."""
    if last_scaled is None:
        return 0.0
    return max(0.0, cooldown_s - (now - last_scaled).total_seconds())


def check_reason(reason: str) -> str:
    """The reason without surrounding blanks. Raises ActionRefused when there is none or it is too long."""
    said = reason.strip()
    if not said:
        raise ActionRefused("an action needs a reason: say in a few words why")
    if len(said) > _LONGEST_REASON:
        raise ActionRefused(f"the reason has {len(said)} characters; say it in {_LONGEST_REASON}")
    return said


def check_scale(target: Target, replicas: int, *, confirm_zero: bool, force: bool = False) -> None:
    """Raise ActionRefused unless this scaling may be done."""
    refused = refusal(target, replicas, force=force)
    if refused:
        raise ActionRefused(refused)
    if replicas == 0 and not confirm_zero:
        raise ActionRefused(
            f"0 replicas stops {target.service.name} and every request to it will fail; confirm it a second time"
        )


def utilisation(load: float, replicas: int) -> float:
    """Work over capacity: `load` (replicas' worth) over `replicas`; 0 when there is no replica."""
    return load / replicas if replicas > 0 else 0.0


def expected_p95(p95_ms: float | None, now: float, then: float) -> float | None:
    """The p95 in milliseconds at utilisation `then`, from the p95 measured at utilisation `now`.

    In an M/M/1 queue every quantile of the time in the system is proportional to service time / (1 - utilisation)
    (Kleinrock, Queueing Systems, volume 1, 1975, section 3.2: the time in the system is exponential with rate
    mu (1 - rho)), hence p95 * (1 - now) / (1 - then). `now` is held at 0.95. None when nothing was measured,
    and when `then` is at or above 0.95: the queue would have no bound.
    """
    if p95_ms is None or then >= _FULL:
        return None
    return p95_ms * (1 - min(max(now, 0.0), _FULL)) / (1 - max(then, 0.0))


def expect(target: Target, replicas: int) -> Expectation:
    """What scaling to `replicas` promises, in figures and words, before it is done."""
    now, then = utilisation(target.load, target.replicas), utilisation(target.load, replicas)
    p95_then = expected_p95(target.p95_ms, now, then) if replicas > 0 else None
    return Expectation(
        service=target.service.name,
        group=target.group,
        moves_with=target.moves_with,
        replicas_now=target.replicas,
        replicas_then=replicas,
        utilisation_now=now,
        utilisation_then=then,
        p95_now_ms=target.p95_ms,
        p95_then_ms=p95_then,
        words=_promise(target, replicas, now, then, p95_then),
        refused=refusal(target, replicas),
        rests_s=target.rests_s if refusal(target, replicas, force=True) is None else 0.0,
    )


def _promise(target: Target, replicas: int, now: float, then: float, p95_then: float | None) -> str:
    if replicas == 0:
        return f"{target.service.name} stops: no replica is left, and every request to it fails." + _company(target)
    sentence = f"{target.replicas} -> {replicas} replicas: utilisation {now:.0%} -> {then:.0%}"
    if target.load == 0:
        return (
            f"{target.replicas} -> {replicas} replicas: no request came in the last 10 s, so no p95 is promised; "
            f"its lag of {target.lag} events is shared by {replicas}." + _in_vain(target, replicas) + _company(target)
        )
    if then >= _FULL:
        sentence += ", more than they can carry: requests will queue"
    elif target.p95_ms is None:
        sentence += "; no p95 is expected, because none was measured just now"
    elif p95_then is not None:
        sentence += f", p95 about {target.p95_ms:.0f} -> {p95_then:.0f} ms (a queueing estimate)"
    return sentence + "." + _in_vain(target, replicas) + _company(target)


def _in_vain(target: Target, replicas: int) -> str:
    if target.hot is None or replicas <= target.replicas:
        return ""
    return f" Most of its lag lies in {target.hot}, which one replica alone reads: more leave that as it is."


def _company(target: Target) -> str:
    return f" {', '.join(target.moves_with)} share its processes and move with it." if target.moves_with else ""


@dataclass(frozen=True)
class Verdict:
    """`helped`, `no_change`, `worse` or `unclear`, and the sentence with the figures."""

    verdict: str
    because: str


def reach_verdict(before: Effect, after: Effect, expected_p95_ms: float | None = None) -> Verdict:
    """Hold the time after an action against the time before it.

    A change counts from 10% and 2 ms of p95, half a percentage point of errors, half of the lag and 20 records.
    Requests judge only when there were at least 30 on each side; otherwise the lag alone may. Where their rate
    changed by more than a third, only what happened against it counts: better under more load, worse under less.
    """
    doubt = _doubt(before, after)
    signals = [_lag_signal(before, after)]
    if not doubt:
        signals += [_p95_signal(before, after), _error_signal(before, after)]
        shift = _load_shift(before, after)
        if shift:
            signals = [signal for signal in signals if signal == shift]
            doubt = _shift_words(before, after) if not signals else None
    figures = _figures(before, after, expected_p95_ms)
    if not doubt and _load_shift(before, after):
        figures = f"{_shift_words(before, after)}, and still: {figures}"
    better, worse = 1 in signals, -1 in signals
    if doubt and not (better or worse):
        return Verdict("unclear", f"{doubt}; {figures}")
    if better and worse:
        return Verdict("unclear", f"some got better and some worse: {figures}")
    verdict = "helped" if better else "worse" if worse else "no_change"
    return Verdict(verdict, f"{figures}; judged by the lag alone: {doubt}" if doubt else figures)


def _doubt(before: Effect, after: Effect) -> str | None:
    if min(before.seconds, after.seconds) < LEAST_SECONDS:
        return f"there are samples of {before.seconds:.0f} s before and {after.seconds:.0f} s after, too few to tell"
    counts = [round(side.request_rate * side.seconds) for side in (before, after)]
    if min(counts) < LEAST_REQUESTS:
        return (
            f"{counts[0]} requests before and {counts[1]} after are too few: {LEAST_REQUESTS} are needed on each side"
        )
    return None


def _load_shift(before: Effect, after: Effect) -> int:
    """1: much more load than before, -1: much less, 0: about the same."""
    change = after.request_rate - before.request_rate
    return 0 if abs(change) <= _LOAD_CHANGE * before.request_rate else 1 if change > 0 else -1


def _shift_words(before: Effect, after: Effect) -> str:
    return f"the load changed from {before.request_rate:.1f} to {after.request_rate:.1f} requests/s"


def _p95_signal(before: Effect, after: Effect) -> int:
    if before.p95_ms is None or after.p95_ms is None:
        return 0
    least = max(_P95_RATIO * before.p95_ms, _P95_LEAST_MS)
    return _signal(before.p95_ms - after.p95_ms, least)


def _error_signal(before: Effect, after: Effect) -> int:
    return _signal(before.error_rate - after.error_rate, _ERROR_RATE_LEAST)


def _lag_signal(before: Effect, after: Effect) -> int:
    return _signal(before.lag - after.lag, max(_LAG_RATIO * max(before.lag, after.lag), _LAG_LEAST))


def _signal(gain: float, least: float) -> int:
    return 1 if gain >= least else -1 if gain <= -least else 0


def _figures(before: Effect, after: Effect, expected_p95_ms: float | None) -> str:
    said = f"p95 {_ms(before.p95_ms)} -> {_ms(after.p95_ms)}"
    if expected_p95_ms is not None:
        said += f" (expected {_ms(expected_p95_ms)})"
    said += f", errors {before.error_rate:.1%} -> {after.error_rate:.1%}, lag {before.lag:.0f} -> {after.lag:.0f}"
    if before.utilisation is not None and after.utilisation is not None:
        said += f", utilisation {before.utilisation:.0%} -> {after.utilisation:.0%}"
    return said


def _ms(value: float | None) -> str:
    return "unmeasured" if value is None else f"{value:.0f} ms"


def disturbed(others: Sequence[str]) -> Verdict | None:
    """The verdict when other actions on the same group fell into the measured minute; None without one."""
    if not others:
        return None
    return Verdict("unclear", f"another action on the same processes came while measuring: {', '.join(others)}")
