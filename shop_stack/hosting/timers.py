"""Timers: a service's work that is due by the clock or by a commit, on threads of its own."""

import logging
import random
import threading
import time
from collections.abc import Sequence

from shop_stack.eventlog.database import sends_itself
from shop_stack.eventlog.delivery import failure_of
from shop_stack.hosting.service import ServiceContext, Timer

_LONGEST_BACKOFF_S = 5.0
log = logging.getLogger(__name__)


class Turns:
    """Turns of one timer, taken by its workers; turns that nobody has taken yet do not pile up beyond the workers."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._changed = threading.Condition()
        self._due = 1
        self._next = time.monotonic()
        self._stopping = False

    def add(self) -> None:
        """One more turn is due at once."""
        with self._changed:
            self._due = min(self._due + 1, self._timer.workers)
            self._changed.notify()

    def stop(self) -> None:
        """No further turns."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def take(self, keeps_clock: bool) -> bool:
        """Wait for a turn; False when there will be none. Only the worker that keeps the clock waits with a limit."""
        with self._changed:
            while not self._stopping and not self._due:
                if not keeps_clock:
                    self._changed.wait()
                elif not self._changed.wait(max(0.0, self._next - time.monotonic())) or time.monotonic() >= self._next:
                    self._due = max(self._due, 1)
            if self._stopping:
                return False
            self._due -= 1
            if keeps_clock:
                self._next = time.monotonic() + self._timer.every_s
            return True

    def pause(self, seconds: float) -> None:
        """Wait out a failure, or the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)


class Timers:
    """All timers of one service in one process."""

    def __init__(self, context: ServiceContext, timers: Sequence[Timer]) -> None:
        self._context = context
        self._timers = timers
        self._turns = {timer.name: Turns(timer) for timer in timers}
        self._threads: list[threading.Thread] = []
        self.failures = 0

    def start(self) -> None:
        """Start the workers; every timer has a first turn at once."""
        for timer in self._timers:
            for number in range(timer.workers):
                name = f"{self._context.name}-{timer.name}-{number}"
                worker = threading.Thread(target=self._work, args=(timer, number == 0), name=name, daemon=True)
                self._threads.append(worker)
                worker.start()

    def wake(self, timer: str) -> None:
        """Run a timer now. Raises KeyError when the card has none of that name."""
        self._turns[timer].add()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Let the turns at hand finish, and begin no other."""
        for turns in self._turns.values():
            turns.stop()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, timer: Timer, keeps_clock: bool) -> None:
        sends_itself.set(True)
        turns = self._turns[timer.name]
        failed = 0
        while turns.take(keeps_clock):
            error = failure_of(lambda: self._turn(timer, turns))
            failed = failed + 1 if error is not None else 0
            if error is not None:
                self._rest(timer, turns, failed, error)

    def _turn(self, timer: Timer, turns: Turns) -> None:
        if timer.run(self._context):
            turns.add()

    def _rest(self, timer: Timer, turns: Turns, failed: int, error: Exception) -> None:
        """A timer's failure ends no service; it is tried again, ever later."""
        self.failures += 1
        delay = min(_LONGEST_BACKOFF_S, 0.1 * 2 ** min(failed, 6)) * random.uniform(0.5, 1.0)
        words = "timer %s of %s failed and rests %.2f s"
        log.warning(words, timer.name, self._context.name, delay, exc_info=error)
        turns.pause(delay)
        turns.add()
