"""How long a backlog takes to drain: an estimate with an interval, from how it has changed lately."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, inf, sqrt
from typing import Literal, NamedTuple

import msgspec

DrainState = Literal["nothing_waits", "drains", "does_not_drain", "unknown"]
WINDOW_S = 60.0
HISTORY_S = 180.0
"""How far back an estimate may look: a consumer that works in lumps of a quarter of a minute has done a dozen then."""
_LEAST_CYCLES = 4
_LEAST_S = 5.0
# Student's t, two-sided 80%: by degrees of freedom from 1 on; the normal quantile beyond.
_T80 = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372, 1.363, 1.356, 1.350, 1.345, 1.341, 1.337)
_Z80 = 1.282
# By how many standard errors the pace must differ before and after a moment for what was before to be left out.
_CHANGED = 2.5
# By how many standard deviations a newest cycle must differ from those before for it not to be known how it goes on.
_STRANGE = 3.5
# How many times as long as the longest lump before nothing must be processed for it to be said that nothing is.
_STILL = 3.0
# The share of lumps before the present backlog that are no larger than what is taken for usual.
_USUAL = 0.8
# Relative rounding of sums of floating-point numbers, well above what there is of it.
_EXACT = 1e-9
# The share of a backlog below which it had not begun.
_LITTLE = 0.05


class Point(NamedTuple):
    """A group at a look: the records that had ever `arrived` and been `processed` by then, up to a constant."""

    at: float
    arrived: float
    processed: float

    @property
    def behind(self) -> float:
        return self.arrived - self.processed


class Cycle(NamedTuple):
    """From one look at which something had been processed to the next: seconds, and how much the backlog shrank."""

    took: float
    shrank: float


class Pace(NamedTuple):
    """How much the backlog shrank a second over some cycles, that rate's variance a second, and the seconds."""

    drift: float
    variance: float
    seconds: float


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Records a second over `seconds`; `slope` is arrivals less processed: above 0 the backlog grows."""

    seconds: float
    arrivals: float
    processed: float
    slope: float


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """When a backlog is worked off: in `seconds`, and with 80% confidence between `low_s` and `high_s`.

    Only `drains` has figures; `unknown` is a backlog of which too little was seen, or whose pace has just changed, or
    whose drift lies within its error of none. `over_s` is how long the stretch is that they rest on: since the backlog
    began, or the pace changed, three minutes at most.
    """

    state: DrainState
    seconds: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    over_s: float = 0.0


def rates(points: Sequence[Point]) -> Rates | None:
    """Means over the points of the last minute, oldest first; None for less than two."""
    recent = [point for point in points if point.at >= points[-1].at - WINDOW_S]
    if len(recent) < 2 or recent[-1].at <= recent[0].at:
        return None
    first, last = recent[0], recent[-1]
    seconds = last.at - first.at
    arrivals, processed = (last.arrived - first.arrived) / seconds, (last.processed - first.processed) / seconds
    return Rates(seconds=seconds, arrivals=arrivals, processed=processed, slope=arrivals - processed)


def estimate(points: Sequence[Point]) -> Drain:
    """The drain of the backlog at the last point, from the points of the last minutes, oldest first.

    A consumer commits by the poll, so that its backlog falls in lumps, up to many seconds apart. Looks within a lump
    are not independent of each other, and a stretch that begins or ends within one tells a wrong rate. So the unit is
    the cycle from lump to lump, as in the regenerative method (D. L. Iglehart, Naval Research Logistics Quarterly 22,
    1975; S. Asmussen, Applied Probability and Queues, 2nd ed., 2003, V.3 and VI.3): over m cycles of T_i seconds in
    which the backlog shrank by R_i, d = sum R / sum T, and by the central limit theorem of renewal-reward processes
    its variance is s2 / sum T with s2 = Var(R - d*T) / E[T]. Cycles that follow each other may be alike (a machine that
    is busy for a while): Newey and West's estimate of Var (Econometrica 55, 1987) counts where it is the larger one. A
    consumer that processes something between all looks has a cycle a look.

    From L records at the last lump the first passage through 0 of a Brownian motion with that drift and variance has
    the mean L/d (D. R. Cox and H. D. Miller, The Theory of Stochastic Processes, 1965, section 5.7; as a limit of
    queues under load: W. Whitt, Stochastic-Process Limits, 2002, chapter 5). That d is itself an estimate, of W = sum T
    seconds, widens the interval: its ends are the two times t at which the line L - d*t lies t80 standard deviations of
    what is predicted then from 0 (Fieller's way with a ratio, 1954), so that

        (L - d*t)^2 = t80^2 * s2 * (t + t^2/W),

    less the time since that lump; an estimate whose time is over has failed, and is not told. A backlog of which
    nothing is processed has no cycles, and one that grows need not wait for them: see `_still_s` and `_grows_s`. Else,
    where d lies within t80 standard errors of 0 nothing is told: neither that it drains nor that it does not. What it
    cannot know: that arrivals or the service rate will change; of a change that has happened, see `steady` and
    `_is_strange`.
    """
    if points and points[-1].behind <= 0:
        return Drain(state="nothing_waits")
    recent = [point for point in points if point.at >= points[-1].at - HISTORY_S]
    if still := _still_s(recent):
        return Drain(state="does_not_drain", over_s=still)
    found = _from_cycles(recent)
    if found.state == "unknown" and (grows := _grows_s(recent)):
        return Drain(state="does_not_drain", over_s=grows)
    return found


def _from_cycles(recent: Sequence[Point]) -> Drain:
    epochs = _lumps(_since_it_began(recent))
    cycles = steady([Cycle(b.at - a.at, a.behind - b.behind) for a, b in pairwise(epochs)])
    measured = pace(cycles)
    if measured is None or _is_strange(cycles):
        return Drain(state="unknown")
    drift, variance, seconds = measured
    spread = variance * _quantile(len(cycles) - 1) ** 2
    error = sqrt(spread / seconds)
    if drift <= error:
        return Drain(state="does_not_drain" if drift <= -error else "unknown", over_s=seconds)
    since = recent[-1].at - epochs[-1].at
    behind = epochs[-1].behind
    about, low, high = (end - since for end in (behind / drift, *_passage(behind, drift, spread, seconds)))
    if about <= 0:
        return Drain(state="unknown", over_s=seconds)
    return Drain(state="drains", seconds=about, low_s=max(0.0, low), high_s=high, over_s=seconds)


def steady(cycles: Sequence[Cycle]) -> Sequence[Cycle]:
    """The newest part of the cycles whose pace did not change, found by cutting at the clearest change until none is.

    (Binary segmentation: A. J. Scott and M. Knott, Biometrics 30, 1974.) A change counts once three cycles and five
    seconds have shown it, and when it is larger than 2.5 standard errors.
    """
    while True:
        found = [(_change(cycles[:i], cycles[i:]), i) for i in range(3, len(cycles) - 2)]
        change, at = max(found, default=(0.0, 0))
        if change <= _CHANGED:
            return cycles
        cycles = cycles[at:]


def pace(cycles: Sequence[Cycle], least: int = _LEAST_CYCLES) -> Pace | None:
    """The pace over the cycles; None for too few of them or too short a time."""
    seconds, count = sum(cycle.took for cycle in cycles), len(cycles)
    if count < least or seconds < _LEAST_S:
        return None
    drift = sum(cycle.shrank for cycle in cycles) / seconds
    errors = [cycle.shrank - drift * cycle.took for cycle in cycles]
    variance = max(_long_run(errors, 0), _long_run(errors, round(count ** (1 / 3))))
    return Pace(drift, variance * count / seconds, seconds)


def _long_run(errors: Sequence[float], lags: int) -> float:
    """The variance of a sum of such errors a term, by Newey and West: their own, and their covariances up to `lags`."""
    count = len(errors)
    total = sum(error * error for error in errors)
    for lag in range(1, min(lags, count - 1) + 1):
        total += 2 * (1 - lag / (lags + 1)) * sum(errors[i] * errors[i - lag] for i in range(lag, count))
    return total / (count - 1)


def _change(older: Sequence[Cycle], newer: Sequence[Cycle]) -> float:
    before, after = pace(older, 3), pace(newer, 3)
    if before is None or after is None:
        return 0.0
    error = sqrt(before.variance / before.seconds + after.variance / after.seconds)
    apart = abs(before.drift - after.drift)
    if apart <= _EXACT * abs(before.drift):
        return 0.0
    return apart / error if error > 0 else inf


def _is_strange(cycles: Sequence[Cycle]) -> bool:
    """Whether the newest of steady cycles, or the two newest, are unlike those before: how it goes on is not known."""
    for newest in (1, 2):
        before = pace(cycles[:-newest], 3)
        if before is None:
            continue
        took = sum(cycle.took for cycle in cycles[-newest:])
        off = abs(sum(cycle.shrank for cycle in cycles[-newest:]) - before.drift * took)
        if off > _STRANGE * sqrt(before.variance * (took + took**2 / before.seconds)) + _EXACT * off:
            return True
    return False


def _still_s(points: Sequence[Point]) -> float:
    """For how many seconds nothing was processed, where that is three times as long as lumps take while it waits."""
    moved = [(a, b) for a, b in pairwise(points) if b.processed > a.processed]
    lumps = [*points[:1], *(later for _, later in moved)]
    longest = _usual([(b.at, b.at - a.at) for a, b in pairwise(lumps) if a.behind > 0], points)
    still = points[-1].at - lumps[-1].at if lumps else 0.0
    return still if still >= max(_LEAST_S, _STILL * longest) else 0.0


def _grows_s(points: Sequence[Point]) -> float:
    """For how many seconds the backlog has grown from its lowest of the last minute, where that is no accident.

    The growth must exceed a lump, which may be in hand and not committed yet, and t80 standard errors of a sum of
    such steps from look to look: one burst of arrivals is a step unlike the others, whose error is as large as itself.
    Half a lump below the highest, or after a newest step that falls as none before, it may have turned.
    """
    recent = [point for point in points if point.at >= points[-1].at - WINDOW_S]
    lowest = min(range(len(recent)), key=lambda i: (recent[i].behind, -i), default=0)
    path = recent[lowest:]
    lump = _usual([(b.at, b.processed - a.processed) for a, b in pairwise(points) if b.processed > a.processed], points)
    if not path or path[-1].behind < max(point.behind for point in path) - lump / 2:
        return 0.0
    steps = steady([Cycle(b.at - a.at, a.behind - b.behind) for a, b in pairwise(path)])
    measured = pace(steps)
    if measured is None or (steps[-1].shrank > 0 and _is_strange(steps)):
        return 0.0
    grown = -measured.drift * measured.seconds
    error = _quantile(len(steps) - 1) * sqrt(measured.variance * measured.seconds)
    return measured.seconds if grown > lump + error else 0.0


def _usual(measured: Sequence[tuple[float, float]], points: Sequence[Point]) -> float:
    """The largest of what was measured, by moment, in the present backlog; of before, the largest but for a fifth.

    A standstill before, or the haste with which it was made up for, is not how the consumer works now.
    """
    begun = _since_it_began(points)[0].at if points else 0.0
    now = [value for at, value in measured if at > begun]
    before = sorted(value for at, value in measured if at <= begun)
    return max([*now, *before[max(0, ceil(_USUAL * len(before)) - 1) :][:1]], default=0.0)


def _since_it_began(points: Sequence[Point]) -> Sequence[Point]:
    """The points from the last one on at which there was next to nothing of the present backlog."""
    little = _LITTLE * points[-1].behind if points else 0.0
    begun = max((i for i, point in enumerate(points) if point.behind <= little), default=0)
    return points[begun:]


def _lumps(points: Sequence[Point]) -> Sequence[Point]:
    """The looks at which something more was processed; the last one too when that is longer ago than ever before."""
    if len(points) < 2:
        return points
    found = [point for before, point in pairwise(points) if point.processed > before.processed] or [points[0]]
    longest = max((b.at - a.at for a, b in pairwise(found)), default=0.0)
    return [*found, points[-1]] if points[-1].at - found[-1].at > longest else found


def _passage(behind: float, drift: float, spread: float, seconds: float) -> tuple[float, float]:
    """The two roots t of (behind - drift*t)^2 = spread * (t + t^2/seconds), for drift^2 > spread/seconds."""
    a = drift**2 - spread / seconds
    b = 2 * behind * drift + spread
    root = sqrt(max(0.0, b**2 - 4 * a * behind**2))
    return 2 * behind**2 / (b + root), (b + root) / (2 * a)


def _quantile(freedom: int) -> float:
    return _T80[freedom - 1] if 1 <= freedom <= len(_T80) else _Z80
