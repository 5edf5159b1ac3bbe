"""How many replicas are recommended, from what analytics advises, else from a forecast, else from the load now."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shop_stack.events import ForecastMade, Point

STALE = timedelta(hours=2)
COMING = timedelta(hours=1)
RATE_S = 60.0
SETTLED_S = 30.0
TARGET_UTILISATION = 0.7


@dataclass(frozen=True)
class Peak:
    """The highest of a forecast's points in the coming hour, in requests a second."""

    mean: float
    high80: float
    at: datetime


@dataclass(frozen=True)
class Advice:
    """What analytics advised for a service, and when."""

    replicas: int
    because: str
    at: datetime


@dataclass(frozen=True)
class Demand:
    """One service's need: requests a second now and at the forecast peak, and what one replica can carry."""

    service: str
    rate: float
    peak: Peak | None
    replica_capacity: float


def forecast_peak(forecast: ForecastMade | None, now: datetime) -> Peak | None:
    """The peak of the coming hour; None without a forecast that reaches into it or when it is stale (2 h)."""
    if forecast is None or forecast.status != "ok" or now - forecast.made_at > STALE:
        return None
    step = timedelta(seconds=forecast.step_s)
    coming = [point for point in forecast.points if now - step < point.at <= now + COMING]
    if not coming:
        return None
    highest: Point = max(coming, key=lambda point: point.mean)
    per = _seconds(forecast.unit)
    return Peak(mean=highest.mean / per, high80=max(p.high80 for p in coming) / per, at=highest.at)


def present_band(forecast: ForecastMade | None, now: datetime) -> tuple[float, float] | None:
    """The 95% band forecast for the present step, in requests a second; None where no fresh forecast covers it."""
    if forecast is None or forecast.status != "ok" or now - forecast.made_at > STALE:
        return None
    step = timedelta(seconds=forecast.step_s)
    point = next((point for point in forecast.points if point.at <= now < point.at + step), None)
    if point is None:
        return None
    per = _seconds(forecast.unit)
    return max(0.0, point.low95 / per), point.high95 / per


def _seconds(unit: str) -> float:
    if "minute" in unit or "min" in unit:
        return 60.0
    return 3600.0 if "hour" in unit else 1.0


def waits(desired: int, ready: int, since_change_s: float | None) -> str:
    """Why there can be no advice yet; empty when there can.

    Until the replicas are as wanted, and SETTLED_S after their number last changed, the samples still speak of how
    it was before: advice from them could contradict what has just been done.
    """
    if desired != ready:
        return f"{ready} of {desired} replicas are ready: advice waits for samples with all of them"
    if since_change_s is not None and since_change_s < SETTLED_S:
        ago = f"the number of replicas changed {max(0.0, since_change_s):.0f} s ago"
        return f"{ago}: advice waits for {SETTLED_S:.0f} s of samples since then"
    return ""


def recommend(
    demands: Sequence[Demand],
    advice: Sequence[Advice],
    bounds: tuple[int, int],
    now: datetime,
    rate_s: float = RATE_S,
) -> tuple[int | None, str]:
    """Replicas for the group of these services, within `bounds`, and why; None when nothing is known.

    Analytics' fresh advice goes first (the largest of the group's) unless the rate now needs more; else the
    forecast's upper 80% band or the rate now, whichever is more, over the replicas' capacity at 70% utilisation.
    `rate_s` is over how many seconds the rates now were measured.
    """
    now_load = sum(d.rate / d.replica_capacity for d in demands)
    fresh = [a for a in advice if now - a.at <= STALE]
    if fresh:
        most = max(fresh, key=lambda a: a.replicas)
        if now_load / TARGET_UTILISATION <= most.replicas:
            return _within(most.replicas, bounds), most.because
    if not demands:
        return None, ""
    peak_load = sum((max(d.peak.high80, d.rate) if d.peak else d.rate) / d.replica_capacity for d in demands)
    replicas = _within(math.ceil(peak_load / TARGET_UTILISATION - 1e-9), bounds)
    if peak_load > now_load:
        source = f"the forecast peak of the coming hour (upper 80% band) is {peak_load:.2f} replicas' full work"
    else:
        span = "minute" if rate_s >= RATE_S else f"{rate_s:.0f} s"
        source = f"the rate of the last {span} is {now_load:.2f} replicas' full work"
    return replicas, f"{source}: {replicas} at 70% utilisation" + _bounded(peak_load, replicas)


def _within(replicas: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], replicas))


def _bounded(load: float, replicas: int) -> str:
    wanted = max(1, math.ceil(load / TARGET_UTILISATION - 1e-9))
    return f" ({wanted} would be out of bounds)" if wanted != replicas else ""
