"""How many replicas a service needs for the coming hour: what the forecast's peak asks, and no fewer than the load."""

from dataclasses import dataclass
from math import ceil

TARGET_UTILISATION = 0.7


@dataclass(frozen=True)
class Advice:
    """A number of replicas and the reason in words."""

    replicas: int
    because: str


def advise(high95_per_minute: float, now_per_minute: float, capacity_per_s: float, least: int, most: int) -> Advice:
    """Replicas at 70% utilisation for the 95% high of the forecast's peak, with the load now as a floor.

    The floor is what Kubernetes' horizontal autoscaler would do: ceil(load / (capacity * target)). Rates are
    requests a minute, `capacity_per_s` requests a second of one replica.
    """
    each = capacity_per_s * 60 * TARGET_UTILISATION
    for_peak, for_now = ceil(high95_per_minute / each), ceil(now_per_minute / each)
    wanted = max(for_peak, for_now, 1)
    replicas = min(max(wanted, least), most)
    why = f"the next hour may peak at {high95_per_minute:,.0f} requests a minute (95%)"
    if for_now > for_peak:
        why = f"the load is {now_per_minute:,.0f} requests a minute now"
    bound = "" if replicas == wanted else f", bounded to {least} to {most}"
    return Advice(replicas, f"{why}; one replica carries {each:,.0f} at {TARGET_UTILISATION:.0%} utilisation{bound}")
