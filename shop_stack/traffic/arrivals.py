"""When sessions begin: a non-homogeneous Poisson process with a daily and a weekly shape."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

_DAYS = (0.96, 0.94, 0.96, 0.99, 1.02, 1.06, 1.07)
_QUIET_HOUR = 3.5
_PEAK_HOUR = 20.0
_LUNCH_HOUR = 12.5


def _raw_day(hour: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    night = 1.0 - 0.62 * np.cos((hour - _QUIET_HOUR) / 24.0 * 2 * math.pi)
    evening = 0.35 * np.exp(-0.5 * ((hour - _PEAK_HOUR) / 1.6) ** 2)
    lunch = 0.12 * np.exp(-0.5 * ((hour - _LUNCH_HOUR) / 1.1) ** 2)
    return np.asarray(night + evening + lunch)


_MINUTES = np.arange(1440) / 60.0
_MEAN = float(_raw_day(_MINUTES).mean())
_SHAPE = _raw_day(_MINUTES) / _MEAN


def shape_at(moment: datetime, zone: ZoneInfo) -> float:
    """How busy this minute is against the week's mean (1.0), by the shop's local clock."""
    local = moment.astimezone(zone)
    return float(_SHAPE[local.hour * 60 + local.minute]) * _DAYS[local.weekday()]


def shape_of_minutes(first: datetime, minutes: int, zone: ZoneInfo) -> npt.NDArray[np.float64]:
    """`shape_at` for each of `minutes` minutes from `first`, as an array of that length."""
    hours = (minutes + 59) // 60 + 1
    out = np.empty(hours * 60)
    start = first.replace(second=0, microsecond=0)
    for hour in range(hours):
        local = (start + timedelta(hours=hour)).astimezone(zone)
        at = local.hour * 60 + local.minute
        within = (at + np.arange(60)) % 1440
        out[hour * 60 : hour * 60 + 60] = _SHAPE[within] * _DAYS[local.weekday()]
    return out[:minutes]


def arrivals(rate: float, seconds: float, random: np.random.Generator) -> Iterator[float]:
    """Seconds from the start at which sessions begin, at a constant `rate` a second, for `seconds`.

    Exponential gaps (a Poisson process); a varying rate is made by thinning, see `thinned`.
    """
    at = float(random.exponential(1 / rate))
    while at < seconds:
        yield at
        at += float(random.exponential(1 / rate))


def next_arrival(rate: float, now: datetime, zone: ZoneInfo, random: np.random.Generator) -> datetime:
    """The next session's begin after `now`, at the week's mean `rate`.

    Thinning: Lewis and Shedler (1979), "Simulation of nonhomogeneous Poisson processes by thinning".
    """
    highest = float(_SHAPE.max()) * max(_DAYS)
    at = now
    while True:
        at += timedelta(seconds=float(random.exponential(1 / (rate * highest))))
        if random.random() * highest <= shape_at(at, zone):
            return at
