"""The last minutes of every service, kept in memory: what windows, sparklines and effects are read from."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shop_stack.events import Effect, ServiceSample, WorkInHand
from shop_stack.operations.envoy_statistics import Bin, merge, quantile

KEPT = 180  # moments, one a second
VIEW_S = 10.0


@dataclass(frozen=True)
class Moment:
    """One service in one sampling interval that ended at `at` (seconds since 1970).

    `latencies` is the histogram of the interval; empty for a moment that was read back from the log, which has
    only its `p95_ms`. `work` is what was in hand when the replicas last told it.
    """

    at: float
    interval_s: float
    requests: float
    errors: float
    lag: int
    ready: int
    utilisation: float
    p95_ms: float | None = None
    latencies: Mapping[Bin, int] = field(default_factory=dict)
    work: tuple[WorkInHand, ...] = ()


def from_sample(sample: ServiceSample, at: float, interval_s: float, utilisation: float) -> Moment:
    """A moment as the log remembers it."""
    requests = sample.request_rate * interval_s
    return Moment(
        at=at,
        interval_s=interval_s,
        requests=requests,
        errors=sample.error_rate * requests,
        lag=sample.lag,
        ready=sample.ready,
        utilisation=utilisation,
        p95_ms=sample.p95_ms,
        work=tuple(sample.work),
    )


class History:
    """Moments by service, the newest KEPT of each. Thread-safe."""

    def __init__(self) -> None:
        self._moments: dict[str, deque[Moment]] = {}
        self._lock = threading.Lock()
        self.filled = False

    def fill(self, remembered: Iterable[tuple[str, Moment]]) -> None:
        """Put moments of before, oldest first, in front of those taken since; once."""
        with self._lock:
            taken, self._moments = self._moments, {}
            for service, moment in remembered:
                first = taken[service][0].at if taken.get(service) else float("inf")
                if moment.at < first:
                    self._moments.setdefault(service, deque(maxlen=KEPT)).append(moment)
            for service, moments in taken.items():
                self._moments.setdefault(service, deque(maxlen=KEPT)).extend(moments)
            self.filled = True

    def add(self, service: str, moment: Moment) -> None:
        """Append the newest moment."""
        with self._lock:
            self._moments.setdefault(service, deque(maxlen=KEPT)).append(moment)

    def window(self, service: str, start: float, end: float) -> list[Moment]:
        """Moments with start < at <= end, oldest first."""
        found: list[Moment] = []
        with self._lock:
            for moment in reversed(self._moments.get(service, ())):
                if moment.at <= start:
                    break
                if moment.at <= end:
                    found.append(moment)
        return found[::-1]

    def changed_at(self, service: str) -> float | None:
        """When the number of ready replicas last changed, as far back as is kept; None when it did not."""
        with self._lock:
            moments = self._moments.get(service)
            if not moments:
                return None
            newest = since = moments[-1]
            for moment in reversed(moments):
                if moment.ready != newest.ready:
                    return since.at
                since = moment
        return None

    def last(self, service: str, number: int) -> list[Moment]:
        """The newest `number` moments, oldest first."""
        with self._lock:
            return list(self._moments.get(service, ()))[-number:]


def request_rate(moments: Sequence[Moment]) -> float:
    """Requests a second over the moments."""
    seconds = sum(m.interval_s for m in moments)
    return sum(m.requests for m in moments) / seconds if seconds else 0.0


def is_whole(moments: Sequence[Moment], seconds: float) -> bool:
    """Whether so many seconds were sampled, but for a tenth."""
    return sum(m.interval_s for m in moments) >= 0.9 * seconds


def error_rate(moments: Sequence[Moment]) -> float:
    """Share (0..1) of requests that were answered 5xx."""
    requests = sum(m.requests for m in moments)
    return sum(m.errors for m in moments) / requests if requests else 0.0


def latency(moments: Sequence[Moment], q: float) -> float | None:
    """The q-quantile in milliseconds of all requests of the moments; None when there was none.

    Where only the log's p95 figures are left it is their mean, weighted by requests, and only for q = 0.95.
    """
    measured = quantile(merge(m.latencies for m in moments), q)
    if measured is not None or q != 0.95:
        return measured
    known = [(m.p95_ms, m.requests) for m in moments if m.p95_ms is not None and m.requests > 0]
    weight = sum(requests for _, requests in known)
    return sum(p95 * requests for p95, requests in known) / weight if weight else None


def latencies(moments: Sequence[Moment]) -> tuple[float | None, float | None, float | None]:
    """The median, p95 and p99 in milliseconds of all requests of the moments; None when there was none."""
    merged = merge(m.latencies for m in moments)
    if not merged:
        return None, latency(moments, 0.95), None
    return quantile(merged, 0.5), quantile(merged, 0.95), quantile(merged, 0.99)


def effect(moments: Sequence[Moment]) -> Effect:
    """A service over these moments: means, and the p95 of all their requests."""
    seconds = sum(m.interval_s for m in moments)
    number = len(moments)
    return Effect(
        seconds=seconds,
        request_rate=request_rate(moments),
        error_rate=error_rate(moments),
        p95_ms=latency(moments, 0.95),
        lag=sum(m.lag for m in moments) / number if number else 0.0,
        utilisation=sum(m.utilisation for m in moments) / number if number else None,
    )
