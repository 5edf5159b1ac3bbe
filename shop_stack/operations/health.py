"""Whether a service is well, and in words why not."""

from collections.abc import Sequence

from shop_stack.events import WorkInHand
from shop_stack.operations.history import Moment, error_rate, latency
from shop_stack.operations.model import Health
from shop_stack.runtime.interface import Replica
from shop_stack.stack import ServiceSpec

OLD_OUTBOX_S = 10.0
_LEAST_REQUESTS = 5
_LEAST_LAG = 50
_WORK_S = 20.0  # replicas tell their work every 5 s: what was old within the last four tellings still counts


def judge(
    spec: ServiceSpec,
    desired: int,
    replicas: Sequence[Replica],
    recent: Sequence[Moment],
    outbox_age_s: float,
    stopped_aggregates: Sequence[str],
) -> tuple[Health, str]:
    """Health and its reasons, from the replicas and the last 30 s; an `ok` service has no reasons."""
    ready = sum(1 for replica in replicas if replica.state == "ready")
    if desired == 0 and ready == 0:
        return "stopped", "scaled to 0 replicas"
    if ready == 0:
        return _without_replica(replicas)
    reasons = [
        *_short(ready, desired, replicas),
        *_over_objective(spec, recent),
        *_lagging([m.lag for m in recent]),
        *_old_work(spec, oldest_work(recent)),
        *([f"its oldest unpublished event is {outbox_age_s:.0f} s old"] if outbox_age_s > OLD_OUTBOX_S else []),
        *_stopped(stopped_aggregates),
    ]
    return ("degraded", "; ".join(reasons)) if reasons else ("ok", "")


def _without_replica(replicas: Sequence[Replica]) -> tuple[Health, str]:
    if any(replica.state == "starting" and replica.restarts == 0 for replica in replicas):
        return "starting", "its first replica is not ready yet"
    restarts = sum(replica.restarts for replica in replicas)
    note = next((f": {replica.note}" for replica in replicas if replica.note), "")
    return "down", f"no replica is ready, after {restarts} restarts{note}" if restarts else f"no replica is ready{note}"


def _short(ready: int, desired: int, replicas: Sequence[Replica]) -> list[str]:
    if ready >= desired:
        return []
    note = next((f" ({replica.note})" for replica in replicas if replica.state != "ready" and replica.note), "")
    return [f"{ready} of {desired} replicas are ready{note}"]


def _over_objective(spec: ServiceSpec, recent: Sequence[Moment]) -> list[str]:
    if sum(m.requests for m in recent) < _LEAST_REQUESTS:
        return []
    reasons = []
    p95, errors = latency(recent, 0.95), error_rate(recent)
    if p95 is not None and p95 > spec.p95_ms:
        reasons.append(f"p95 is {p95:.0f} ms over the last 30 s, its objective {spec.p95_ms:.0f} ms")
    if errors > spec.error_rate:
        reasons.append(f"{errors:.1%} of requests failed over the last 30 s, its objective {spec.error_rate:.1%}")
    return reasons


def _lagging(lags: Sequence[int]) -> list[str]:
    if len(lags) < 10:
        return []
    first, middle, last = lags[0], lags[len(lags) // 2], lags[-1]
    if last < _LEAST_LAG or not first < middle < last:
        return []
    return [f"it falls behind its events: {first} -> {last} in 30 s"]


def oldest_work(recent: Sequence[Moment]) -> tuple[WorkInHand, ...]:
    """The work in hand at that one of the last 20 s at which its oldest was oldest."""
    since = recent[-1].at - _WORK_S if recent else 0.0
    return max((m.work for m in recent if m.at > since), key=age_of_work, default=())


def age_of_work(work: Sequence[WorkInHand]) -> float:
    """The age of the oldest in seconds; 0 when there is none."""
    return max((one.oldest_s for one in work), default=0.0)


def _old_work(spec: ServiceSpec, work: Sequence[WorkInHand]) -> list[str]:
    return [work_in_words(work)] if age_of_work(work) > spec.work_age_s else []


def work_in_words(work: Sequence[WorkInHand]) -> str:
    """What waits for whom: the most frequent kind, how many there are of all kinds, and the age of the oldest."""
    most = max(work, key=lambda one: (one.items, one.oldest_s))
    total = sum(one.items for one in work)
    counted = f"1 {most.kind} waits" if most.items == 1 else f"{most.items} {most.kind}s wait"
    in_all = f" ({total} in hand in all)" if total > most.items else ""
    return f"{counted} for {most.waits_for}{in_all}, the oldest {age_of_work(work):.0f} s"


def _stopped(aggregates: Sequence[str]) -> list[str]:
    if not aggregates:
        return []
    named = ", ".join(aggregates[:3]) + (", ..." if len(aggregates) > 3 else "")
    return [f"{len(aggregates)} aggregates are stopped by an event that cannot be handled: {named}"]
