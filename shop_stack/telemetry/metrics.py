"""Metrics to an OpenTelemetry collector: what the Prometheus page says."""

import contextlib
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from shop_stack.errors import ShopfloorError
from shop_stack.telemetry.collector import TIMEOUT_S, Collector, attributes, endpoint, resource

EVERY_S = 10.0
_SAMPLE = re.compile(r'(\w+)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r'\\([\\"n])')
_HELP = re.compile(r"^# HELP ", re.MULTILINE)
_CUMULATIVE = 2
Labels = tuple[tuple[str, str], ...]
log = logging.getLogger(__name__)


@dataclass
class _Histogram:
    reached: list[tuple[float, int]] = field(default_factory=list)
    sum_s: float = 0.0


class MetricsExporter:
    """Sends `page()`, a Prometheus page, every 10 s from a thread of its own, and once more at the end.

    What the collector does not take is not sent again: each page holds all there is to say. `service` and `replica`
    name the process. Raises SettingError when the address is no URL.
    """

    def __init__(self, address: str, service: str, replica: str, page: Callable[[], str]) -> None:
        self._collector = Collector(address)
        self._resource = resource(service, replica)
        self._page = page
        self._began_ns = time.time_ns()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._taken = True

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send a last time and end."""
        self._stopping.set()
        self._thread.join(2 * TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        try:
            body = encoded(self._page(), self._resource, self._began_ns, time.time_ns())
            taken = self._collector.post("metrics", body)
        except (ShopfloorError, sqlite3.Error, RuntimeError):  # the page asks stores, which may be away for now
            log.warning("the metrics could not be read", exc_info=True)
            return
        if self._taken and not taken:
            log.warning("the metrics are not taken by %s", self._collector.host)
        self._taken = taken


@contextlib.contextmanager
def exporting_metrics(service: str, replica: str, page: Callable[[], str]) -> Iterator[None]:
    """Within it the page goes to the collector that the environment names, if it names one. Raises SettingError."""
    address = endpoint()
    if address is None:
        yield
        return
    exporter = MetricsExporter(address, service, replica, page)
    exporter.start()
    try:
        yield
    finally:
        exporter.stop()


def encoded(page: str, sender: Mapping[str, object], began_ns: int, now_ns: int) -> bytes:
    """An ExportMetricsServiceRequest in JSON of one Prometheus page; counters are cumulative since `began_ns`."""
    times = {"startTimeUnixNano": str(began_ns), "timeUnixNano": str(now_ns)}
    metrics = [_metric(name, kind, words, lines, times) for name, kind, words, lines in _families(page)]
    scope = {"scope": {"name": "shopfloor"}, "metrics": [one for one in metrics if one is not None]}
    told = {"resource": sender, "scopeMetrics": [scope]}
    return msgspec.json.encode({"resourceMetrics": [told]})


def _families(page: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """(name, kind, words, samples' lines) of each metric."""
    for part in _HELP.split(page)[1:]:
        head, kind_line, *lines = part.removesuffix("\n").split("\n")
        name, _, words = head.partition(" ")
        yield name, kind_line.rpartition(" ")[2], words, lines


def _metric(
    name: str, kind: str, words: str, lines: Iterable[str], times: Mapping[str, str]
) -> dict[str, object] | None:
    samples = [_sample(line) for line in lines]
    if not samples:
        return None
    told: dict[str, object] = {"name": name, "description": words}
    if kind == "histogram":
        points = [_distribution(labels, one, times) for labels, one in _histograms(samples).items()]
        return told | {"histogram": {"dataPoints": points, "aggregationTemporality": _CUMULATIVE}}
    numbers = [{"attributes": attributes(dict(labels)), "asDouble": value, **times} for _, labels, value in samples]
    if kind == "counter":
        return told | {"sum": {"dataPoints": numbers, "aggregationTemporality": _CUMULATIVE, "isMonotonic": True}}
    return told | {"gauge": {"dataPoints": numbers}}


def _sample(line: str) -> tuple[str, Labels, float]:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError("a line of the metrics page is no sample")
    labels = _LABEL.findall(found[2] or "")
    return found[1], tuple((name, _ESCAPED.sub(_meant, text)) for name, text in labels), float(found[3])


def _meant(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def _histograms(samples: Iterable[tuple[str, Labels, float]]) -> dict[Labels, _Histogram]:
    found: dict[Labels, _Histogram] = {}
    for name, labels, value in samples:
        one = found.setdefault(tuple(label for label in labels if label[0] != "le"), _Histogram())
        if name.endswith("_bucket"):
            one.reached.append((float(dict(labels)["le"]), int(value)))
        elif name.endswith("_sum"):
            one.sum_s = value
    return found


def _distribution(labels: Labels, one: _Histogram, times: Mapping[str, str]) -> dict[str, object]:
    counts = [count for _, count in one.reached]
    within = [count - before for before, count in zip([0, *counts], counts, strict=False)]
    return {
        "attributes": attributes(dict(labels)), "count": str(counts[-1]), "sum": one.sum_s,
        "bucketCounts": [str(count) for count in within],
        "explicitBounds": [bound for bound, _ in one.reached[:-1]], **times,
    }  # fmt: skip
