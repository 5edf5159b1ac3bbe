"""Many schedules by their seeds, on two processes, added up into one report."""

import multiprocessing
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import msgspec

from shop_stack.trials.plan import draw
from shop_stack.trials.shrinking import story_of, written
from shop_stack.trials.simulation import Outcome, run

PROCESSES = 2
CHUNK = 50
_STORIES = 3


class Failed(msgspec.Struct, frozen=True):
    """A schedule whose books did not balance."""

    seed: int
    invariant: str
    example: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all schedules.

    `outcomes` counts orders by how they ended, `faults` what struck; `deliveries` and `orders` are medians a schedule.
    `cpu_ms` is the processes' CPU time a schedule, `per_second` schedules by the clock on the wall.
    """

    schedules: int
    seed: int
    violations: int
    failed: list[Failed]
    outcomes: dict[str, int]
    faults: dict[str, int]
    orders: float
    deliveries: float
    seconds: float
    per_second: float
    cpu_ms: float


class Part(msgspec.Struct, frozen=True):
    """What one chunk of seeds came to."""

    failed: list[Failed]
    outcomes: dict[str, int]
    faults: dict[str, int]
    orders: list[int]
    deliveries: list[int]
    cpu_s: float


def simulate(schedules: int, seed: int, told: Callable[[int, int], None] = lambda done, failed: None) -> Report:
    """Run the seeds from `seed` on, on two processes. `told` hears how many are done and failed as they come."""
    began = time.perf_counter()
    chunks = [range(at, min(at + CHUNK, seed + schedules)) for at in range(seed, seed + schedules, CHUNK)]
    parts: list[Part] = []
    for part in _each(chunks):
        parts.append(part)
        told(sum(len(one.orders) for one in parts), sum(len(one.failed) for one in parts))
    return _report(schedules, seed, parts, time.perf_counter() - began)


def _each(chunks: list[range]) -> Iterator[Part]:
    if len(chunks) == 1:
        yield run_seeds(chunks[0])
        return
    processes = min(PROCESSES, os.cpu_count() or 1)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(run_seeds, chunk) for chunk in chunks]):
                yield done.result()
        finally:  # interrupted: what has not begun never does
            pool.shutdown(cancel_futures=True)


def run_seeds(seeds: Iterable[int]) -> Part:
    """Run these schedules in this process."""
    began = time.process_time()
    outcomes = [run(draw(seed)) for seed in seeds]
    failed = [
        Failed(one.seed, one.violations[0].invariant, one.violations[0].example) for one in outcomes if one.violations
    ]
    return Part(
        failed,
        dict(sum((Counter(one.ends) for one in outcomes), Counter())),
        dict(sum((Counter(one.struck) for one in outcomes), Counter())),
        [one.orders for one in outcomes],
        [one.deliveries for one in outcomes],
        time.process_time() - began,
    )


def _report(schedules: int, seed: int, parts: list[Part], seconds: float) -> Report:
    failed = sorted((one for part in parts for one in part.failed), key=lambda one: one.seed)
    ends: Counter[str] = sum((Counter(part.outcomes) for part in parts), Counter())
    faults: Counter[str] = sum((Counter(part.faults) for part in parts), Counter())
    return Report(
        schedules=schedules,
        seed=seed,
        violations=len(failed),
        failed=failed,
        outcomes=dict(ends.most_common()),
        faults=dict(faults.most_common()),
        orders=statistics.median([count for part in parts for count in part.orders]),
        deliveries=statistics.median([count for part in parts for count in part.deliveries]),
        seconds=round(seconds, 2),
        per_second=round(schedules / seconds, 2),
        cpu_ms=round(1000 * sum(part.cpu_s for part in parts) / schedules, 2),
    )


def stories(report: Report, most: int = _STORIES) -> list[str]:
    """The shortest stories of the first failing seeds, one an invariant."""
    first: dict[str, Failed] = {}
    for one in report.failed:
        first.setdefault(one.invariant, one)
    return [written(_told(one)) for one in list(first.values())[:most]]


def _told(failed: Failed) -> Outcome:
    return story_of(draw(failed.seed), failed.invariant)
