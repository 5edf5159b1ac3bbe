"""When a process that died is started again: at once, then ever later while it keeps dying."""

from collections import deque

WINDOW_S = 60.0
LONGEST_S = 30.0
LOOP_FROM = 3


class Backoff:
    """The deaths of one process within the last minute. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()

    def died(self, now: float) -> float:
        """Count a death and return the seconds to wait: 0, 0.5, 1, 2, 4 ... 30."""
        while self._deaths and self._deaths[0] < now - WINDOW_S:
            self._deaths.popleft()
        earlier = len(self._deaths)
        self._deaths.append(now)
        return 0.0 if earlier == 0 else min(LONGEST_S, 0.5 * 2.0 ** (earlier - 1))

    @property
    def deaths(self) -> int:
        """Deaths within the minute before the last one."""
        return len(self._deaths)

    def words(self, delay_s: float, why: str) -> str:
        """What a screen says about the last death."""
        loop = f"crash loop, {self.deaths} deaths in a minute; " if self.deaths >= LOOP_FROM else ""
        when = "started again at once" if delay_s == 0 else f"next start in {delay_s:g} s"
        return f"{loop}{why}; {when}"
