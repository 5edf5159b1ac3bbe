"""The estimate of the drain on made-up histories whose end is known: `python -m tests.benchmarks.drain`.

A consumer takes a lump of records, works on them, and commits at its end; operations looks once a second. Draining:
it is slowed eightfold for 40 s, then free, and each estimate from then on is held against the moment at which nothing
waited for more than a second. Growing: it flows, may stand still once and make up for it, and then falls behind for
45 s; counted is what was said from 5 s on.
"""

import random
import statistics
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shop_stack.operations.drain import HISTORY_S, Drain, Point, estimate

ARRIVALS = 115.0
_AT_ONCE = 3  # records that arrive together, as an order's events do
_SLOWED_S, _SLOWED_BY = 40.0, 8.0
_FALLS_BEHIND_S, _FIRST_S = 45.0, 5.0
_LEAST_LEFT_S = 3.0


class Draining(NamedTuple):
    """A consumer of `rate` records a second in lumps, whose pace varies by `noise`, each lump's like that before it."""

    rate: float
    lump: int
    noise: float
    alike: float = 0.0


class Growing(NamedTuple):
    """A consumer that does `lump` records each `every` seconds; 0: that many a second; `stood`: after a standstill."""

    every: float
    lump: float
    stood: bool = False


DRAINING = {
    "smooth": Draining(160, 40, 0.2),
    "smooth, each lump like that before": Draining(160, 40, 0.3, 0.9),
    "lumps of 500": Draining(180, 500, 0.2),
    "lumps of 1,000": Draining(180, 1000, 0.2),
    "lumps of 1,000, uneven": Draining(200, 1000, 0.4),
    "lumps of 1,000, slow": Draining(145, 1000, 0.2),
}
GROWING = {
    "stands still": Growing(0, 0),
    "stands still a second time": Growing(0, 0, True),
    "smooth, 60 a second": Growing(0, 60),
    "smooth, 100 a second": Growing(0, 100),
    "lumps of 100 each 3 s": Growing(3, 100),
    "lumps of 100 each 3 s, had stood": Growing(3, 100, True),
    "lumps of 400 each 8 s": Growing(8, 400),
    "lumps of 500 each 15 s": Growing(15, 500),
    "lumps of 700 each 8 s": Growing(8, 700),
}


def draining(one: Draining, chance: random.Random) -> tuple[Sequence[Point], float]:
    """Looks until nothing waits for more than a second, and that moment."""
    arrived = list(_arrivals(chance, 600.0))
    commits, at, done, mood = [(0.0, 0)], 0.0, 0, 0.0
    while at < 600.0:
        take = min(one.lump, bisect_right(arrived, at) - done)
        if take <= 0:
            at += 0.05
            continue
        mood = one.alike * mood + chance.gauss(0, one.noise) * (1 - one.alike**2) ** 0.5
        work = take / one.rate * max(0.2, 1 + mood)
        slow = min(work, max(0.0, _SLOWED_S - at) / _SLOWED_BY)
        at, done = at + slow * _SLOWED_BY + work - slow, done + take
        commits.append((at, done))
    points: list[Point] = []
    look, ends = 1.0, [end for end, _ in commits]
    while look < 600.0:
        processed = commits[bisect_right(ends, look) - 1][1]
        points.append(Point(look, float(bisect_right(arrived, look)), float(processed)))
        if look > _SLOWED_S + 1 and processed >= bisect_right(arrived, look - 1.0):
            return points, look
        look += 1.0 + chance.uniform(0, 0.05)
    return [], 0.0


def growing(one: Growing, chance: random.Random) -> tuple[Sequence[Point], float]:
    """Looks at a consumer that falls behind, and the moment from which it does."""
    points = [Point(0.0, 0.0, 0.0)]

    def look(work: float) -> float:
        at, arrived, processed = points[-1]
        step = 1.0 + chance.uniform(0, 0.05)
        arrived += sum(1 for _ in _arrivals(chance, step))
        points.append(Point(at + step, arrived, min(arrived, processed + work)))
        return at + step

    def flow(until: float) -> None:
        while look(1e9 if chance.random() < 0.7 else ARRIVALS) < until:
            pass

    flow(30.0)
    if one.stood:
        while look(0) < 70.0:
            pass
        while points[-1].behind > 0:
            look(1000 + chance.uniform(0, 2500))
    flow(points[-1].at + 20.0)
    began = at = points[-1].at
    due = at + one.every * chance.random()
    while at < began + _FALLS_BEHIND_S:
        work = max(0.0, chance.gauss(one.lump, 2 * one.lump**0.5)) if not one.every else 0.0
        while one.every and due <= at + 1:
            work += one.lump * chance.uniform(0.7, 1.3)
            due += one.every * chance.uniform(0.6, 1.4)
        at = look(work)
    return points, began


def estimates(points: Sequence[Point], since: float) -> Iterator[tuple[float, Drain]]:
    """What is said at each look from a moment on, of the looks that operations keeps."""
    for last, point in enumerate(points):
        if point.at >= since:
            yield point.at, estimate([one for one in points[: last + 1] if one.at >= point.at - HISTORY_S])


def said_of_growing(one: Growing, histories: int, seed: int = 3) -> Counter[str]:
    """How often what was said of a consumer that falls behind."""
    chance, said = random.Random(seed), Counter[str]()
    for _ in range(histories):
        points, began = growing(one, chance)
        said.update(found.state for _, found in estimates(points, began + _FIRST_S))
    return said


def _arrivals(chance: random.Random, until: float) -> Iterator[float]:
    at = chance.expovariate(ARRIVALS / _AT_ONCE)
    while at < until:
        yield from [at] * _AT_ONCE
        at += chance.expovariate(ARRIVALS / _AT_ONCE)


def _print_draining(name: str, one: Draining, histories: int) -> None:
    chance, moments, wrong, held, off = random.Random(7), 0, 0, 0, list[float]()
    for _ in range(histories):
        points, end = draining(one, chance)
        for at, found in estimates(points, _SLOWED_S):
            left = end - at
            if left < _LEAST_LEFT_S:
                continue
            moments, wrong = moments + 1, wrong + (found.state == "does_not_drain")
            if found.seconds is not None and found.low_s is not None and found.high_s is not None:
                off.append(abs(found.seconds - left) / left)
                held += found.low_s - 1 <= left <= found.high_s + 1
    print(f"| {name} | {moments} | {len(off) / moments:.0%} | {statistics.median(off):.0%} | {held / len(off):.0%} "
          f"| {wrong / moments:.0%} |")  # fmt: skip


def main() -> None:
    """Print both tables."""
    histories = 30
    print("| draining | moments | estimates | error, median | within the interval | said not to drain |")
    for name, one in DRAINING.items():
        _print_draining(name, one, histories)
    print("| growing | moments | said not to drain | unknown | drains |")
    for name, falling in GROWING.items():
        said = said_of_growing(falling, histories)
        count = said.total()
        shares = (said[state] / count for state in ("does_not_drain", "unknown", "drains"))
        print(f"| {name} | {count} |", " | ".join(f"{share:.0%}" for share in shares), "|")


if __name__ == "__main__":
    sys.exit(main())
