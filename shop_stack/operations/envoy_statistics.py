"""Envoy's statistics of each service: parsed, subtracted over a window, and read as rates and quantiles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

Bin = tuple[float, float]
"""Lower and upper bound of a histogram's bin, in milliseconds."""

_COUNTERS = ("upstream_rq_completed", "upstream_rq_5xx", "upstream_rq_429")
_LATENCY = "upstream_rq_time"


@dataclass(frozen=True)
class Totals:
    """What Envoy counted for one cluster since it started: answers, 5xx, 429, and answers by latency bin."""

    completed: int = 0
    errors: int = 0
    limited: int = 0
    latencies: Mapping[Bin, int] = field(default_factory=dict)


class _Bucket(msgspec.Struct):
    lower_bound: float
    width: float
    count: int


class _Histogram(msgspec.Struct):
    name: str
    totals: list[_Bucket] = []


class _Histograms(msgspec.Struct):
    details: list[_Histogram] = []


class _Stat(msgspec.Struct):
    name: str = ""
    value: int = 0
    histograms: _Histograms | None = None


class _Answer(msgspec.Struct):
    stats: list[_Stat]


_decoder = msgspec.json.Decoder(_Answer)


def statistics_path(services: Sequence[str]) -> str:
    """The admin path that answers only what is read here, for clusters named as these services."""
    names = "|".join(name.replace(".", "[.]") for name in services)
    wanted = "|".join((*_COUNTERS, _LATENCY))
    pattern = quote(f"^cluster[.]({names})[.]({wanted})$", safe="")
    return f"/stats?usedonly&format=json&histogram_buckets=detailed&filter={pattern}"


def parse(body: bytes) -> dict[str, Totals]:
    """Totals by service from `/stats` in JSON with detailed buckets. Raises ValueError for anything else."""
    try:
        answer = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"Envoy's statistics are unreadable: {error}") from error
    counters: dict[str, dict[str, int]] = {}
    latencies: dict[str, dict[Bin, int]] = {}
    for stat in answer.stats:
        for histogram in stat.histograms.details if stat.histograms else ():
            latencies[_service(histogram.name)] = _bins(histogram.totals)
        if stat.name:
            counters.setdefault(_service(stat.name), {})[stat.name.rpartition(".")[2]] = stat.value
    return {
        service: _totals(counters.get(service, {}), latencies.get(service, {}))
        for service in counters.keys() | latencies.keys()
    }


def _totals(counters: Mapping[str, int], latencies: Mapping[Bin, int]) -> Totals:
    completed, errors, limited = (counters.get(name, 0) for name in _COUNTERS)
    return Totals(completed, errors, limited, latencies)


def _service(name: str) -> str:
    return name.partition(".")[2].rpartition(".")[0]


def _bins(buckets: Iterable[_Bucket]) -> dict[Bin, int]:
    return {(b.lower_bound, b.lower_bound + b.width): b.count for b in buckets if b.count}


def since(earlier: Totals, later: Totals) -> Totals:
    """What was counted between two readings. When Envoy started anew in between, all that it has counted since."""
    if later.completed < earlier.completed:
        return later
    gained = {b: count - earlier.latencies.get(b, 0) for b, count in later.latencies.items()}
    return Totals(
        completed=later.completed - earlier.completed,
        errors=max(0, later.errors - earlier.errors),
        limited=max(0, later.limited - earlier.limited),
        latencies={b: count for b, count in gained.items() if count > 0},
    )


def merge(histograms: Iterable[Mapping[Bin, int]]) -> dict[Bin, int]:
    """One histogram of all."""
    merged: dict[Bin, int] = {}
    for histogram in histograms:
        for interval, count in histogram.items():
            merged[interval] = merged.get(interval, 0) + count
    return merged


def quantile(histogram: Mapping[Bin, int], q: float) -> float | None:
    """The q-quantile (0..1) in milliseconds, interpolated within its bin; None for an empty histogram.

    Envoy's bins (circllhist) are 10% wide at most, so that is the bound of the error.
    """
    rank = q * sum(histogram.values())
    passed = 0
    for (low, high), count in sorted(histogram.items()):
        if passed + count >= rank and count:
            return low + (high - low) * (rank - passed) / count
        passed += count
    return None
