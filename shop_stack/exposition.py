"""Prometheus' text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Kind = Literal["counter", "gauge"]
Sample = tuple[Mapping[str, str], float]
"""(labels, value)"""
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Durations:
    """How many durations were at most each of BOUNDS_S, and their sum in seconds. One thread adds, any reads."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


def metric(name: str, kind: Kind, words: str, samples: Iterable[Sample]) -> str:
    """One metric with all its samples."""
    return _head(name, kind, words) + "".join(_line(name, labels, value) for labels, value in samples)


def histogram(name: str, words: str, samples: Iterable[tuple[Mapping[str, str], Durations]]) -> str:
    """Durations by labels."""
    lines = [_head(name, "histogram", words)]
    for labels, durations in samples:
        reached = list(accumulate(durations.counts))
        for bound, count in zip((*map(_number, BOUNDS_S), "+Inf"), reached, strict=True):
            lines.append(_line(f"{name}_bucket", {**labels, "le": bound}, count))
        lines.append(_line(f"{name}_sum", labels, durations.sum_s))
        lines.append(_line(f"{name}_count", labels, reached[-1]))
    return "".join(lines)


def _head(name: str, kind: str, words: str) -> str:
    return f"# HELP {name} {words}\n# TYPE {name} {kind}\n"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    named = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
    return f"{name}{{{named}}} {_number(value)}\n" if named else f"{name} {_number(value)}\n"


def _number(value: float) -> str:
    """Exact: a counter that is rounded to six digits stands still and then jumps."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
