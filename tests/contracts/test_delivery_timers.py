"""Timers: a turn at once, at every interval and after a commit that asks; a failure is tried again."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_stack.hosting.context import Context
from shop_stack.hosting.service import ServiceContext, Timer
from shop_stack.hosting.timers import Timers
from tests.contracts.toy_parts import toy_context
from tests.flows.shop_in_process import wait_until

pytestmark = pytest.mark.embedded


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = toy_context(tmp_path)
    yield made
    made.store.close()


class Turn:
    """A timer's work that counts its turns; more is due while `more` says so, and the first `failing` turns fail."""

    def __init__(self, more: int = 0, failing: int = 0) -> None:
        self.count = 0
        self.more = more
        self.failing = failing
        self.threads: set[int] = set()

    def __call__(self, context: ServiceContext) -> bool:
        self.count += 1
        self.threads.add(threading.get_ident())
        if self.count <= self.failing:
            raise ValueError("not yet")
        self.more -= 1
        return self.more >= 0


@pytest.mark.parametrize(
    ("timer", "more", "failing", "least"), [(3600.0, 0, 0, 1), (0.01, 0, 0, 5), (3600.0, 4, 0, 5), (3600.0, 0, 2, 3)]
)
def test_turns_come_when_they_are_due(context: Context, timer: float, more: int, failing: int, least: int) -> None:
    turns = Turn(more, failing)
    timers = Timers(context, [Timer("t", every_s=timer, run=turns)])
    timers.start()
    wait_until(lambda: turns.count >= least, "the turns")
    timers.stop()
    if timer == 3600.0:
        assert turns.count == least
    assert timers.failures == turns.failing


def test_a_commit_wakes_a_timer_and_a_rollback_does_not(context: Context) -> None:
    turns = Turn()
    timers = Timers(context, [Timer("tally", every_s=3600, run=turns, workers=3)])
    context.on_wake = timers.wake
    timers.start()
    wait_until(lambda: turns.count == 1, "the first turn")

    def wake_and_fail() -> None:
        with context.write() as transaction:
            transaction.wake("tally")
            raise ValueError

    with pytest.raises(ValueError):
        wake_and_fail()
    with context.write() as transaction:
        transaction.wake("tally")
    wait_until(lambda: turns.count == 2, "the woken turn")
    timers.stop()
    assert turns.count == 2


def test_several_workers_share_what_is_due(context: Context) -> None:
    met = threading.Event()
    together = threading.Barrier(3, action=met.set)

    def meet(at_work: ServiceContext) -> bool:
        if not met.is_set():
            together.wait(20)
        return False

    timers = Timers(context, [Timer("t", every_s=3600, run=meet, workers=3)])
    timers.start()
    wait_until(lambda: timers.wake("t") or met.is_set(), "three workers to meet")
    timers.stop()
