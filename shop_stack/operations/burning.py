"""Counts how each service keeps its objectives, minute by minute, and tells the budgets that burn too fast."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shop_stack.operations import changes
from shop_stack.operations.completions import Completions
from shop_stack.operations.envoy_statistics import Bin
from shop_stack.operations.history import History, Moment
from shop_stack.operations.model import ObjectiveView
from shop_stack.operations.objectives import (
    CHECKOUT,
    LONGEST,
    RULES,
    Minute,
    Objective,
    budget_left,
    burn_rate,
    burning,
    completion_of,
    in_words,
    objectives_of,
)
from shop_stack.operations.store import Store
from shop_stack.operations.troubles import Trouble
from shop_stack.stack import Stack

Look = Callable[[datetime], changes.Changes]
_ABOUT = "objective/"


class Burning:
    """The minutes of three days, kept in the store; judged once a minute, on the sampler's thread.

    `look` tells what has changed since a time; it is asked when a budget begins to burn, and what it says stays in
    the incident's words for as long as that is open.
    """

    def __init__(
        self, stack: Stack, history: History, store: Store, look: Look, completions: Completions | None = None
    ) -> None:
        self._stack, self._history, self._store, self._look = stack, history, store, look
        self._completions = completions
        self._objectives = [one for spec in stack.services for one in objectives_of(spec)]
        self._objectives.append(completion_of(stack.checkout))
        self._limits = {spec.name: spec.p95_ms for spec in stack.services}
        since = int(datetime.now(UTC).timestamp() // 60) - LONGEST
        self._minutes = {name: store.minutes(name, since) for name in {one.service for one in self._objectives}}
        self._counting: dict[str, Minute] = {}
        self._seen: dict[str, float] = {}
        self._troubles = self._still_open()

    def observe(self, _snapshot: Any, now: datetime) -> None:
        """Count the newest moments; judge when a minute is over."""
        minute = int(now.timestamp() // 60)
        if any(counted.at < minute for counted in self._counting.values()):
            self._close(minute, now)
        for name, limit_ms in self._limits.items():
            for moment in self._history.last(name, 1):
                if moment.at > self._seen.get(name, 0.0):
                    self._seen[name] = moment.at
                    self._counting[name] = _add(self._counting.get(name, Minute(minute, 0, 0, 0)), moment, limit_ms)
        if self._completions is not None:
            counted = self._counting.get(CHECKOUT, Minute(minute, 0, 0, 0))
            orders, broken = self._completions.take()
            self._counting[CHECKOUT] = Minute(counted.at, counted.requests + orders, counted.failed + broken, 0)

    def troubles(self) -> Sequence[Trouble]:
        """The budgets that burn too fast since the last minute that is over."""
        return list(self._troubles.values())

    def views(self, now: datetime) -> list[ObjectiveView]:
        """Every objective, how much of its budget is left, and how fast it burns by window in minutes."""
        minute = int(now.timestamp() // 60)
        return [self._view(objective, self._minutes[objective.service][:], minute) for objective in self._objectives]

    def _view(self, objective: Objective, minutes: Sequence[Minute], now: int) -> ObjectiveView:
        windows = sorted({window for rule in RULES for window in (rule.short, rule.long)})
        return ObjectiveView(
            service=objective.service,
            kind=objective.kind,
            promise=objective.words,
            budget=objective.budget,
            minutes=len(minutes),
            requests=sum(minute.requests for minute in minutes),
            budget_left=budget_left(minutes, objective, now),
            burn_rates={str(window): burn_rate(minutes, objective, now, window) for window in windows},
            burns=_about(objective) in self._troubles,
        )

    def _close(self, minute: int, now: datetime) -> None:
        finished = {name: counted for name, counted in self._counting.items() if counted.requests > 0}
        self._counting = {}
        with self._store.write(now) as t:
            t.save_minutes(finished, minute - LONGEST)
        for name, counted in finished.items():
            self._minutes[name] = [one for one in self._minutes[name] if one.at > minute - LONGEST] + [counted]
        self._judge(minute - 1, now)

    def _judge(self, minute: int, now: datetime) -> None:
        troubles: dict[str, Trouble] = {}
        for objective in self._objectives:
            burn = burning(self._minutes[objective.service], objective, minute)
            if burn is not None:
                about = _about(objective)
                known = self._troubles.get(about)
                troubles[about] = known or self._trouble(objective, in_words(objective, burn), now)
        self._troubles = troubles

    def _trouble(self, objective: Objective, words: str, now: datetime) -> Trouble:
        before = changes.in_words(self._look(now - changes.LOOK_BACK), self._stack.zone)
        kind = f"objective_{objective.kind}"
        return Trouble(_about(objective), kind, objective.service, f"{words}; {before}")

    def _still_open(self) -> dict[str, Trouble]:
        """What burnt when operations stopped, in the words of then."""
        return {
            about: Trouble(about, view.kind, view.service, view.summary)
            for about, view in self._store.open_incidents().items()
            if about.startswith(_ABOUT)
        }


def _about(objective: Objective) -> str:
    return f"{_ABOUT}{objective.service}/{objective.kind}"


def _add(minute: Minute, moment: Moment, limit_ms: float) -> Minute:
    slow = above(moment.latencies, limit_ms)
    return Minute(minute.at, minute.requests + moment.requests, minute.failed + moment.errors, minute.slow + slow)


def above(histogram: Mapping[Bin, int], limit_ms: float) -> float:
    """How many of a histogram lie above a limit, a bin that it cuts shared out evenly."""
    return sum(count * min(1.0, (high - limit_ms) / (high - low)) for (low, high), count in histogram.items()
               if high > limit_ms)  # fmt: skip
