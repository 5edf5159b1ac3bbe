"""Checks the books every minute while analytics runs, within a budget, and publishes what it concludes.

A check that takes `$since` and `$until` is run over the spans that it failed for, then over the newest events, and
with what is left of the minute's budget over all spans in turn; any other one is run over everything. What the budget
does not reach waits for the next minute, where it comes first. A pass over all spans begins every minute while it costs
little, else every hour; a check that took too long is tried again after an hour. One of everything that costs more than
half a minute's budget comes as seldom as to take a tenth of the budget on average, beside it: the others go on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from analytics.checks import EVER, Check, all_checks, in_words
from analytics.publish import publish_verdicts
from analytics.statements import statement
from analytics.warehouse import StatementTooSlow, Warehouse, WarehouseError
from shop_stack.errors import EventLogError
from shop_stack.eventlog.interface import EventLog
from shop_stack.events import CheckJudged

BUDGET_S = 0.3
_EVERY_S = 60.0
_TIMEOUT_S = 5.0
_MOST_EVENTS = 200_000
_OVERLAP = timedelta(minutes=2)
_AGAIN_S = 3600.0
_PASS_S = 3600.0
_DEAR_SHARE = 0.1
_MOST_FAILING = 8
_MINUTE = timedelta(minutes=1)
Span = tuple[datetime, datetime]
log = logging.getLogger(__name__)


@dataclass
class Standing:
    """How one check stands: the spans that it fails for with how many rows and the first of them in words.

    `whole`: everything was checked since the start; `sound`: all spans since the last beginning could be.
    """

    check: Check
    failing: dict[Span, tuple[int, str]] = field(default_factory=dict)
    ran_at: datetime | None = None
    passed_at: datetime | None = None
    refused: str = ""
    not_before: float = 0.0
    cpu_ms: float = 0.0
    newest: datetime | None = None
    sound: bool = True
    whole: bool = False
    said: bool | None = None
    said_at: float = 0.0

    @property
    def passed(self) -> bool | None:
        """Whether it passes; None while not everything was checked since the start and nothing was found."""
        return False if self.failing else True if self.whole and not self.refused else None

    @property
    def found(self) -> int:
        """The rows of all spans that it fails for."""
        return sum(found for found, _ in self.failing.values())

    @property
    def example(self) -> str:
        """The first row of those, or why the last run was none."""
        return next((example for _, example in self.failing.values()), self.refused)

    @property
    def state(self) -> str:
        """As the question `checks` says it."""
        return "failed" if self.failing else "not run in time" if self.refused else "passed"


class Checking:
    """The checks of one warehouse. `run` and `turn` belong to one thread."""

    def __init__(
        self,
        warehouse: Warehouse,
        events: EventLog,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        budget_s: float = BUDGET_S,
        most_events: int = _MOST_EVENTS,
    ) -> None:
        """`budget_s` is of CPU a minute; a single statement may exceed it, and the next minutes pay for that."""
        self._warehouse, self._events, self._now = warehouse, events, now
        self._budget_s, self._most_events = budget_s, most_events
        self._left_s = 0.0
        self._sweep: list[tuple[Standing, Span]] = []
        self._spans = 0
        self._pass_s, self._pass_began = 0.0, 0.0
        self.standings = [Standing(check) for check in all_checks()]
        self._stopping = threading.Event()
        self._known = False

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """A turn every minute until stopped; what fails for another reason than the books is tried in the next."""
        while not self._stopping.wait(_EVERY_S):
            try:
                self.turn()
            except (WarehouseError, EventLogError) as error:
                log.warning("the checks of the books wait: %s", error)

    def turn(self) -> float:
        """Check as much as one minute's budget allows, keep and publish what came of it; the seconds of CPU it took.

        Raises WarehouseError and LogUnavailable; what was not published is in the next turn.
        """
        if not self._known:
            self._recall()
        began = time.thread_time()
        self._left_s = min(self._budget_s, self._left_s + self._budget_s)
        self._renew()
        self._go_on()
        self._keep()
        self._publish()
        return time.thread_time() - began

    def _renew(self) -> None:
        """What fails is checked again, then what is new; least recently checked first.

        Half of a minute's budget is left for older spans, so that these are reached however much is new.
        """
        now, half_s = self._now(), self._budget_s / 2
        ordered = sorted(self.standings, key=lambda one: one.ran_at or datetime.min.replace(tzinfo=UTC))
        for one in ordered:
            for span in list(one.failing) if one.check.spans else []:
                self._run(one, span, half_s)
        until = _minute(now) + _MINUTE
        all_soon = self._spans == 1 and self._pass_s <= half_s  # then everything is checked each minute anyway
        for one in ordered:
            if not one.check.spans:
                one.whole = self._run(one, EVER, half_s) or one.whole
            elif not all_soon and self._run(one, ((one.newest or until) - _OVERLAP, until), half_s):
                one.newest = until

    def _go_on(self) -> None:
        """All spans in turn, from where the last minute came to; then from the beginning again when it is time."""
        due = self._pass_s <= self._budget_s / 2 or time.monotonic() - self._pass_began >= _PASS_S
        if not self._sweep and self._left_s > 0 and due:
            self._sweep = list(self._units())
            self._pass_s, self._pass_began = 0.0, time.monotonic()
        while self._sweep and self._left_s > 0 and not self._stopping.is_set():
            one, span = self._sweep.pop(0)
            left_s = self._left_s
            self._run(one, span)
            self._pass_s += left_s - self._left_s
            one.sound = one.sound and not one.refused
            one.whole = one.whole or (one.sound and span[1] == EVER[1])

    def _units(self) -> Iterator[tuple[Standing, Span]]:
        rows = self._warehouse.ask(statement("checking/spans"), {"most": self._most_events}, _TIMEOUT_S).rows
        edges = [EVER[0], *(row[0] for row in rows[1:]), EVER[1]]
        self._spans = len(edges) - 1
        for one in self.standings:
            one.sound = True
        for span in pairwise(edges):
            yield from ((one, span) for one in self.standings if one.check.spans)

    def _run(self, one: Standing, span: Span, reserve_s: float = 0.0) -> bool:
        """Run a check over a span unless the minute's budget is spent but for a reserve; whether it ran to its end."""
        if self._left_s <= reserve_s or self._stopping.is_set() or time.monotonic() < one.not_before:
            return False
        sql = f"select *, count(*) over () from ({one.check.sql}) limit 1"  # noqa: S608 (a file of the house)
        now, began = self._now(), time.thread_time()
        try:
            result = self._warehouse.ask(sql, one.check.bound(now, *span), _TIMEOUT_S)
            one.refused = ""
        except StatementTooSlow:
            one.refused = f"it took longer than {_TIMEOUT_S:g} s"
            one.not_before = time.monotonic() + _AGAIN_S
        except WarehouseError as error:
            one.refused = str(error)
        took = time.thread_time() - began
        if one.check.spans or took <= self._budget_s / 2:
            self._left_s -= took
        else:
            one.not_before = max(one.not_before, time.monotonic() + _EVERY_S * took / (self._budget_s * _DEAR_SHARE))
        one.ran_at, one.cpu_ms = now, took * 1000
        if not one.refused:
            self._note(one, span, [name for name, _ in result.columns[:-1]], result.rows)
        return not one.refused

    def _note(self, one: Standing, span: Span, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            one.failing.pop(span, None)
        elif span in one.failing or not (len(one.failing) == _MOST_FAILING or _meets(span, one.failing)):
            *row, found = rows[0]
            one.failing[span] = (int(str(found)), in_words(columns, row))

    def _recall(self) -> None:
        """What failed before the last stop is checked again; until then it fails."""
        known = {one.check.name: one for one in self.standings}
        sql = "select name, ran_at, passed_at, found, example, failing from check_runs"
        for name, ran_at, passed_at, found, example, failing in self._warehouse.ask(sql, {}).rows:
            if name in known:
                one = known[name]
                one.ran_at, one.passed_at = _aware(ran_at), _aware(passed_at)
                spans = list(zip(failing[::2], failing[1::2], strict=True))
                one.failing = {span: (found if span == spans[0] else 0, example) for span in spans}
        self._known = True

    def _keep(self) -> None:
        with self._warehouse.tending():
            self._warehouse.tend("delete from check_runs", {})
            for one in self.standings:
                if one.ran_at is not None:
                    one.passed_at = one.ran_at if one.passed else one.passed_at
                    self._warehouse.tend(statement("checking/keep"), _row(one))

    def _publish(self) -> None:
        """A verdict that is new or has changed, and each again after an hour: whoever follows reads not all of it."""
        now = time.monotonic()
        news = [
            one
            for one in self.standings
            if one.passed is not None and (one.passed != one.said or now - one.said_at >= _AGAIN_S)
        ]
        publish_verdicts(self._events, [_verdict(one) for one in news], self._now())
        for one in news:
            one.said, one.said_at = one.passed, now


def _verdict(one: Standing) -> CheckJudged:
    return CheckJudged(
        check=one.check.name,
        says=one.check.says,
        passed=not one.failing,
        found=one.found,
        example=one.example if one.failing else "",
    )


def _row(one: Standing) -> dict[str, object]:
    return {
        "name": one.check.name,
        "ran_at": _naive(one.ran_at),
        "passed_at": _naive(one.passed_at),
        "state": one.state,
        "found": one.found,
        "example": one.example,
        "cpu_ms": one.cpu_ms,
        "failing": [at for span in one.failing for at in span],
    }


def _meets(span: Span, others: Iterable[Span]) -> bool:
    return any(since < span[1] and span[0] < until for since, until in others)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0, tzinfo=None)
