"""When forecasts are due: requests every five minutes, sales every hour, all soon after a history has arrived."""

from dataclasses import dataclass, field

from analytics.task import Kind

EVERY_S: dict[Kind, float] = {"requests": 300.0, "sales": 3600.0}
_FIRST_S = 8.0
_QUIET_S = 4.0
_PATIENCE_S = 45.0


@dataclass
class Schedule:
    """Due times in seconds of a steady clock. A history that still grows is waited for, but not for ever."""

    started: float
    due: dict[Kind, float] = field(default_factory=dict)
    growing_since: float | None = None
    grew_at: float | None = None

    def __post_init__(self) -> None:
        self.due = dict.fromkeys(EVERY_S, self.started + _FIRST_S)

    def grew(self, now: float) -> None:
        """Past events arrived: every forecast is due once they pause, or after 45 s of them."""
        if self.growing_since is None:
            self.growing_since = now
        self.grew_at = now
        when = min(now + _QUIET_S, self.growing_since + _PATIENCE_S)
        self.due = dict.fromkeys(EVERY_S, max(when, now))

    def next_at(self) -> float:
        """When the next forecast is due."""
        return min(self.due.values())

    def take(self, now: float) -> list[Kind]:
        """The forecasts that are due; each is then due again after its interval."""
        taken = [kind for kind, at in self.due.items() if at <= now]
        for kind in taken:
            self.due[kind] = now + EVERY_S[kind]
        if taken:
            self.growing_since = None
        return taken
