"""How long ingestion waits for company: long at low rates, where a commit costs most, short at high ones."""

from dataclasses import dataclass

_SLOW, _FAST = 20.0, 800.0
_LONGEST_S, _SHORTEST_S = 0.25, 0.05
_MEMORY_S = 2.0


def linger_s(rate: float) -> float:
    """Seconds to wait before reading, for events a second: 0.25 up to 20/s, 0.05 from 800/s, linear in between."""
    if rate <= _SLOW:
        return _LONGEST_S
    if rate >= _FAST:
        return _SHORTEST_S
    share = (rate - _SLOW) / (_FAST - _SLOW)
    return _LONGEST_S + share * (_SHORTEST_S - _LONGEST_S)


@dataclass
class Rate:
    """Events a second, forgetting what is older than a few seconds."""

    per_s: float = 0.0
    at: float | None = None

    def count(self, events: int, now: float) -> float:
        """Take in `events` at `now` (seconds); the rate after that."""
        if self.at is not None:
            elapsed = max(now - self.at, 1e-3)
            weight = min(1.0, elapsed / _MEMORY_S)
            self.per_s += weight * (events / elapsed - self.per_s)
        self.at = now
        return self.per_s
