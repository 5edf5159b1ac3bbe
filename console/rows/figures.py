"""Writes numbers and times for a person in few characters; `–` where there is nothing to say."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from shop_stack.money import format_minor

NOTHING = "–"
_BARS = "▁▂▃▄▅▆▇█"


def rate(per_second: float | None) -> str:
    """A rate in at most 5 characters: `0`, `0.4`, `12.3`, `123`, `1.2k`."""
    if per_second is None:
        return NOTHING
    if per_second < 0.05:
        return "0"
    if per_second < 99.95:
        return f"{per_second:.1f}"
    return count(per_second)


def count(number: float) -> str:
    """A count in at most 4 characters up to 999k: `0`, `999`, `1.2k`, `12k`, `3.4M`."""
    if number < 999.5:
        return f"{number:.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        scaled = number / size
        if scaled < 9.95:
            return f"{scaled:.1f}{unit}"
        if scaled < 999.5:
            return f"{scaled:.0f}{unit}"
    return f"{number:.0e}"


def share(ratio: float | None) -> str:
    """A ratio of 1 as a percentage in at most 5 characters: `0%`, `0.4%`, `12%`."""
    if ratio is None:
        return NOTHING
    percent = ratio * 100
    if percent < 0.05:
        return "0%"
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"


def milliseconds(ms: float | None) -> str:
    """A latency in at most 5 characters: `4ms`, `250ms`, `1.2s`, `45s`, `3m`."""
    if ms is None:
        return NOTHING
    if ms < 999.5:
        return f"{ms:.1f}ms" if 0.05 <= ms < 0.95 else f"{ms:.0f}ms"
    if ms < 9950:
        return f"{ms / 1000:.1f}s"
    return f"{ms / 1000:.0f}s" if ms < 599_500 else f"{ms / 60_000:.0f}m"


def age(seconds: float) -> str:
    """A duration in at most 4 characters up to 99 days: `0.4s`, `12s`, `599s`, `45m`, `36h`, `9d`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for unit, size, most in (("s", 1, 600), ("m", 60, 100 * 60), ("h", 3600, 100 * 3600)):
        if seconds < most - size / 2:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"


def span(seconds: float) -> str:
    """A duration in two steps: `4 s`, `3 min`, `2 h`, `5 d`."""
    seconds = max(0.0, seconds)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} d"


def memory(size: int) -> str:
    """Bytes as mebibytes: `21 MB`."""
    return f"{size / 1048576:.0f} MB" if size else NOTHING


def clock(at: datetime) -> str:
    """Time of day in the zone that `at` carries (the feed gives the stack's): `19:04:31`."""
    return at.strftime("%H:%M:%S")


def hour(at: datetime) -> str:
    """Time of day in hours and minutes in the zone that `at` carries: `19:04`."""
    return at.strftime("%H:%M")


def zoned(at: datetime) -> str:
    """Time of day with its zone, where a reader may wonder: `19:04:31 GMT`."""
    return at.strftime("%H:%M:%S %Z")


def money(amount_minor: float, currency: str) -> str:
    """Minor units for a narrow place: `GBP 1,234.56`, without the fraction from a thousand of them on."""
    text = format_minor(round(amount_minor), currency)
    return text.rsplit(".", 1)[0] if "," in text else text


def change(ratio: float | None) -> str:
    """A change against another day with its direction: `▲12%`, `▼3%`, `=`; `–` when there is none to compare."""
    if ratio is None:
        return NOTHING
    percent = round(ratio * 100)
    if percent == 0:
        return "="
    arrow = "▲" if percent > 0 else "▼"
    return f"{arrow}{min(abs(percent), 999)}%"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` steps of `values` as bars, each the mean of an equal share of them, from zero up.

    The highest is four fifths high, so that a steady rate does not look like a full one.
    """
    if not values or width <= 0:
        return " " * width
    steps = _means(values, width)
    top = max(steps) * 1.25
    if top <= 0:
        return "▁" * len(steps) if len(steps) == width else " " * (width - len(steps)) + "▁" * len(steps)
    bars = "".join(_BARS[min(7, int(value / top * 7.999))] for value in steps)
    return bars.rjust(width)


def _means(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges) if end > start]
