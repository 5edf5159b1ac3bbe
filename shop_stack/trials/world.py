"""The simulated world: one clock, one queue of what is due, the planned faults, and what was told of it all."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import msgspec

from shop_stack.trials.plan import FAULTS_UNTIL_S, Fault, Plan

if TYPE_CHECKING:
    from shop_stack.trials.replica import Replica

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
MOST_STEPS = 20_000
LONGEST_S = 2 * 3600.0


class Crash(BaseException):
    """The process of this replica dies here: no handler of errors sees it, nothing after it happens."""

    def __init__(self, replica: "Replica", life: int, where: str) -> None:
        super().__init__(f"{replica.name} dies: {where}")
        self.replica = replica
        self.life = life
        self.where = where


class Told(msgspec.Struct, frozen=True):
    """One step of the story: when (seconds since the start), who, what, and whether it was a fault."""

    at_s: float
    actor: str
    what: str
    fault: bool = False


class World:
    """What surrounds the services of one schedule."""

    def __init__(self, plan: Plan, telling: bool = False) -> None:
        self.plan = plan
        self.seconds = 0.0
        self.jumped = timedelta(0)
        self.acting: Replica | None = None
        self.faulty = True
        self.steps = 0
        self.story: list[Told] | None = [] if telling else None
        self.struck: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._streams: dict[str, Random] = {}
        self._passed: Counter[tuple[str, str]] = Counter()
        self._planned = _by_site(plan.faults)

    # Time

    def now(self) -> datetime:
        """The wall clock, which may have jumped."""
        return START + self.jumped + timedelta(seconds=self.seconds)

    def clock(self) -> float:
        """Seconds since the start, which only grow."""
        return self.seconds

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        """Do it in so many seconds."""
        self.at(self.seconds + seconds, what)

    def at(self, seconds: float, what: Callable[[], object]) -> None:
        """Do it then."""
        heappush(self._queue, (seconds, next(self._order), what))

    def step(self, until: float) -> bool:
        """Do what is due next, at most until then; False when nothing is."""
        if not self._queue or self._queue[0][0] > until or self.steps >= MOST_STEPS:
            return False
        at, _, what = heappop(self._queue)
        self.seconds = max(self.seconds, at)
        self.steps += 1
        waiting, self.acting = self.acting, None
        try:
            what()
        finally:
            self.acting = waiting
        return True

    def is_anything_due(self) -> bool:
        """Whether something still waits for its time."""
        return bool(self._queue)

    def wait(self, seconds: float) -> None:
        """The acting replica's thread waits; the others go on meanwhile. Raises Crash when its process died."""
        replica, until = self.acting, self.seconds + seconds
        life = replica.life if replica is not None else 0
        while self.step(until) or (replica is not None and replica.resumes_at > until):
            until = max(until, replica.resumes_at) if replica is not None else until
        self.seconds = max(self.seconds, until)
        self.acting = replica
        if replica is not None and replica.life != life:
            raise Crash(replica, life, "it died while this thread waited")

    def chance(self, stream: str) -> Random:
        """Random numbers of one purpose; each purpose has its own, so that leaving one fault out moves no other."""
        random = self._streams.get(stream)
        if random is None:
            random = self._streams[stream] = Random(f"{self.plan.seed}/{stream}")
        return random

    def jitter(self, stream: str, least: float, most: float) -> float:
        """A delay in seconds; the least when the plan is unhurried."""
        return least if self.plan.unhurried else self.chance(stream).uniform(least, most)

    # Telling

    def tell(self, actor: str, what: str, fault: bool = False) -> None:
        """Note a step, when the story is wanted."""
        if self.story is not None:
            self.story.append(Told(round(self.seconds, 3), actor, what, fault))

    def named(self, key: str | None) -> str:
        """An order's id as the story tells it."""
        return self.names.get(key or "", key or "nothing")

    def strike(self, fault: Fault, words: str) -> None:
        """Note a fault that strikes now."""
        self.struck[fault.what] += 1
        if self.story is not None:
            self.tell(self.acting.name if self.acting else fault.actor, words, fault=True)

    # Faults

    def fault(self, site: str, actor: str) -> Fault | None:
        """The fault planned for this time that the actor comes by this site."""
        planned = self._planned.get((site, actor))
        if planned is None:
            return None
        self._passed[site, actor] += 1
        if not self.faulty or self.seconds > FAULTS_UNTIL_S:
            return None
        return planned.get(self._passed[site, actor])

    def crash_at(self, site: str, where: str) -> None:
        """Raise Crash when the acting replica is planned to die here."""
        replica = self.acting
        if replica is not None and (found := self.fault(site, replica.service)) is not None and found.what == "crash":
            self.die(found, where)

    def die(self, fault: Fault, where: str) -> None:
        """The acting replica dies. Raises Crash."""
        replica = self.acting
        assert replica is not None
        self.strike(fault, f"crashes {where}")
        replica.down_s = fault.amount
        raise Crash(replica, replica.life, where)


def _by_site(faults: Sequence[Fault]) -> dict[tuple[str, str], dict[int, Fault]]:
    planned: dict[tuple[str, str], dict[int, Fault]] = {}
    for fault in faults:
        if fault.site != "time":
            planned.setdefault((fault.site, fault.actor), {})[fault.nth] = fault
    return planned
