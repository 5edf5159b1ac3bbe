"""Services that nobody answers for: process groups without a ready replica, with what changed shortly before."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shop_stack.operations import changes
from shop_stack.operations.burning import Look
from shop_stack.operations.sampling import Snapshot
from shop_stack.operations.store import Store
from shop_stack.operations.troubles import Trouble
from shop_stack.runtime.interface import Group

KIND = "no_replica"
PATIENCE = timedelta(seconds=10)
"""Longer than a replica takes that is started anew after it died."""
ABOUT = "outage/"


def outage_of(group: str) -> str:
    """What the incident of a process group's outage is about."""
    return f"{ABOUT}{group}"


class Outages:
    """Watches the groups on the sampler's thread.

    `look` tells what has changed since a time; it is asked when an outage begins, and what it says stays in the
    incident's words until a replica is ready.
    """

    def __init__(self, zone: ZoneInfo, store: Store, look: Look) -> None:
        self._zone, self._look = zone, look
        self._since: dict[str, datetime] = {}
        self._troubles = {
            view.service: Trouble(about, view.kind, view.service, view.summary)
            for about, view in store.open_incidents().items()
            if about.startswith(ABOUT)
        }

    def observe(self, snapshot: Snapshot, now: datetime) -> None:
        """Hold what the snapshot shows of each group against what was seen before; without one nothing is known."""
        if snapshot.observation is None or snapshot.runtime_error:
            return
        for group in snapshot.observation.groups:
            if any(replica.state == "ready" for replica in group.replicas):
                self._since.pop(group.name, None)
                self._troubles.pop(group.name, None)
            elif now - self._since.setdefault(group.name, now) >= PATIENCE and group.name not in self._troubles:
                self._troubles[group.name] = self._trouble(group, now)

    def troubles(self) -> Sequence[Trouble]:
        """The groups that are away."""
        return list(self._troubles.values())

    def _trouble(self, group: Group, now: datetime) -> Trouble:
        since = self._since[group.name].astimezone(self._zone)
        before = changes.in_words(self._look(now - changes.LOOK_BACK), self._zone)
        wanted = "none is wanted" if group.desired == 0 else f"wanted: {group.desired}"
        summary = f"no replica of {group.name} is ready since {since:%H:%M:%S}, {wanted}; {before}"
        return Trouble(outage_of(group.name), KIND, group.name, summary)
