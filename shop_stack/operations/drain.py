"""How long a backlog takes to drain: an estimate with an interval, from how it has changed lately."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Literal, NamedTuple

import msgspec

DrainState = Literal["nothing_waits", "drains", "does_not_drain", "unknown"]
WINDOW_S = 60.0
_LEAST_STEPS = 3
_LEAST_S = 5.0
# Student's t, two-sided 80%: by degrees of freedom from 1 on; the normal quantile beyond.
_T80 = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372, 1.363, 1.356, 1.350, 1.345, 1.341, 1.337)
_Z80 = 1.282
# By how many standard errors the newer part of a window must differ from the older for the older to be left out.
_CHANGED = 2.0
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


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Records a second over `seconds`; `slope` is arrivals less processed: above 0 the backlog grows."""

    seconds: float
    arrivals: float
    processed: float
    slope: float


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """When a backlog is worked off: in `seconds`, and with 80% confidence between `low_s` and `high_s` (None: perhaps
    never). Only `drains` has figures. `over_s` is how long the stretch is that they rest on: since the backlog began,
    or the pace changed, a minute at most."""

    state: DrainState
    seconds: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    over_s: float = 0.0


def rates(points: Sequence[Point]) -> Rates | None:
    """Means over the points, oldest first; None for less than two."""
    if len(points) < 2 or points[-1].at <= points[0].at:
        return None
    first, last = points[0], points[-1]
    seconds = last.at - first.at
    arrivals, processed = (last.arrived - first.arrived) / seconds, (last.processed - first.processed) / seconds
    return Rates(seconds=seconds, arrivals=arrivals, processed=processed, slope=arrivals - processed)


def estimate(points: Sequence[Point]) -> Drain:
    """The drain of the backlog at the last point, from the points of the last minute, oldest first.

    The backlog is taken for a Brownian motion with drift -d (records processed less arrived, a second) and variance
    s2 a second, both as they were over the window of W seconds. Its first passage through 0 from L records is then
    inverse Gaussian with mean L/d: D. R. Cox and H. D. Miller, The Theory of Stochastic Processes (1965), section
    5.7; as a limit of queues under load: W. Whitt, Stochastic-Process Limits (2002), chapter 5. That d is itself an
    estimate, with variance s2/W, widens the interval: its ends are the two times t at which the line L - d*t lies t80
    standard deviations of what is predicted then from 0 (Fieller's way with a ratio, 1954), so that

        (L - d*t)^2 = t80^2 * s2 * (t + t^2/W).

    Where d lies within t80 standard errors of 0 there is no upper end; below 0 and within them it is not known whether
    it drains, as with a consumer that works in lumps of a poll and has done few of them. What it cannot know: that
    arrivals or the service rate will change; of a change that has happened, see `steady`.
    """
    behind = points[-1].behind if points else 0.0
    if points and behind <= 0:
        return Drain(state="nothing_waits")
    window = steady(_since_it_began([point for point in points if point.at >= points[-1].at - WINDOW_S]))
    measured = _drift(window)
    if measured is None:
        return Drain(state="unknown")
    drift, variance, seconds = measured
    spread = variance * _quantile(len(window) - 2) ** 2
    if drift <= 0:
        grows = drift**2 >= spread / seconds
        return Drain(state="does_not_drain" if grows else "unknown", over_s=seconds)
    low, high = _passage(behind, drift, spread, seconds)
    return Drain(state="drains", seconds=behind / drift, low_s=low, high_s=high, over_s=seconds)


def steady(points: Sequence[Point]) -> Sequence[Point]:
    """The longest newest part whose newer half does not contradict its older one, by two standard errors.

    So a change of the service rate (a scaling, the end of a hindrance) counts once three steps and five seconds have
    shown it.
    """
    while True:
        half = max(_LEAST_STEPS, (len(points) - 1) // 2)
        older, newer = points[: len(points) - half], points[len(points) - half - 1 :]
        before, after = _drift(older), _drift(newer)
        if before is None or after is None:
            return points
        error = sqrt(before[1] / before[2] + after[1] / after[2])
        if abs(before[0] - after[0]) <= _CHANGED * error:
            return points
        points = newer


def _since_it_began(points: Sequence[Point]) -> Sequence[Point]:
    """The points from the last one on at which there was next to nothing of the present backlog."""
    little = _LITTLE * points[-1].behind if points else 0.0
    begun = max((i for i, point in enumerate(points) if point.behind <= little), default=0)
    return points[begun:]


def _drift(points: Sequence[Point]) -> tuple[float, float, float] | None:
    """How much the backlog shrank a second, that rate's variance a second, and the seconds; None for too little."""
    if len(points) <= _LEAST_STEPS or points[-1].at - points[0].at < _LEAST_S:
        return None
    seconds = points[-1].at - points[0].at
    drift = (points[0].behind - points[-1].behind) / seconds
    steps = [(later.at - sooner.at, later.behind - sooner.behind) for sooner, later in pairwise(points)]
    squares = sum((change + drift * took) ** 2 / took for took, change in steps if took > 0)
    return drift, squares / (len(steps) - 1), seconds


def _passage(behind: float, drift: float, spread: float, seconds: float) -> tuple[float, float | None]:
    """The two roots t of (behind - drift*t)^2 = spread * (t + t^2/seconds), the upper one None where there is none."""
    a = drift**2 - spread / seconds
    b = 2 * behind * drift + spread
    root = sqrt(max(0.0, b**2 - 4 * a * behind**2))
    low = 2 * behind**2 / (b + root)
    return low, (b + root) / (2 * a) if a > 0 else None


def _quantile(freedom: int) -> float:
    return _T80[freedom - 1] if 1 <= freedom <= len(_T80) else _Z80
