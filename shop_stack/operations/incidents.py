"""What needs a person: crash loops, stopped aggregates, burning budgets; opened and resolved as the samples say."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from shop_stack.errors import ActionRefused, SettingError
from shop_stack.events import IncidentAcknowledged, IncidentOpened, IncidentResolved
from shop_stack.ids import uuid7
from shop_stack.operations import outages, stuck
from shop_stack.operations.model import IncidentView
from shop_stack.operations.projection import Projection
from shop_stack.operations.replica_reports import Stopped
from shop_stack.operations.sampling import Snapshot
from shop_stack.operations.store import OF_ORDERS, Store
from shop_stack.operations.troubles import Trouble
from shop_stack.runtime.interface import Observation

LOOP_RESTARTS = 3
LOOP_WINDOW_S = 60.0
_LONGEST_ERROR = 200
_OTHERS = "event/"


class CrashLoops:
    """Counts restarts by process group and part: three within a minute are a loop, a minute without one ends it."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, int]] = {}
        self._restarts: dict[str, deque[float]] = {}

    def troubles(self, observation: Observation) -> list[Trouble]:
        """The loops at the moment of this observation."""
        now = observation.at
        for name, restarts in _restarts(observation).items():
            self._count(name, restarts, now)
        found = []
        for name, times in self._restarts.items():
            while times and times[0] <= now - LOOP_WINDOW_S:
                times.popleft()
            if len(times) >= LOOP_RESTARTS:
                summary = f"{name} was started anew {len(times)} times within a minute; read its log"
                found.append(Trouble(f"crash_loop/{name}", "crash_loop", name, summary))
        return found

    def _count(self, name: str, restarts: Mapping[str, int], now: float) -> None:
        seen = self._seen.get(name, {})
        fresh = sum(max(0, number - seen.get(process, number)) for process, number in restarts.items())
        self._restarts.setdefault(name, deque()).extend([now] * fresh)
        self._seen[name] = dict(restarts)


def _restarts(observation: Observation) -> dict[str, dict[str, int]]:
    groups = {
        group.name: {replica.name: replica.restarts for replica in group.replicas} for group in observation.groups
    }
    return groups | {part.name: {part.name: part.restarts} for part in observation.parts}


def stopped_troubles(snapshot: Snapshot) -> list[Trouble]:
    """One trouble for each service and topic of which replicas report stopped aggregates, however many there are."""
    stopped: dict[tuple[str, str], list[Stopped]] = {}
    for service, report in snapshot.reports.items():
        for one in report.stopped:
            stopped.setdefault((service, one.topic), []).append(one)
    return [_stopped(service, topic, some) for (service, topic), some in stopped.items()]


def _stopped(service: str, topic: str, some: Sequence[Stopped]) -> Trouble:
    first, *others = some
    error = (first.error.splitlines() or [""])[0][:_LONGEST_ERROR]
    more = f" and {len(others)} more" if others else ""
    waiting = sum(one.parked for one in some)
    summary = (
        f"{service} stopped {first.aggregate}{more}: an event of {topic} cannot be handled ({error}); "
        f"{waiting} events wait behind it, the neighbours flow"
    )
    return Trouble(f"stopped_aggregate/{service}/{topic}", "stopped_aggregate", service, summary, first.aggregate)


def _not_yours(view: IncidentView, actor: str, take_over: bool) -> str:
    if view.resolved_at is not None:
        return f"the incident of {view.service} is over; nobody needs to look after it"
    if view.acknowledged_by not in (None, actor) and not take_over:
        return f"{view.acknowledged_by} looks after it; ask to take it over if that is agreed"
    return ""


class Incidents:
    """Opens, resolves and acknowledges incidents, in the store and as events. `others` tells further troubles."""

    def __init__(
        self, store: Store, projection: Projection, causes: stuck.Causes, others: Callable[[], Sequence[Trouble]]
    ) -> None:
        self._causes = causes
        self._store = store
        self._projection = projection
        self._others = others
        self._loops = CrashLoops()
        self._open = store.open_incidents()
        self._lock = threading.Lock()

    def watch(self, snapshot: Snapshot, now: datetime) -> None:
        """Hold what the snapshot shows against what is open."""
        with self._lock:
            self._adopt(now)
            if snapshot.observation is not None and not snapshot.runtime_error:
                seen = [*self._loops.troubles(snapshot.observation), *stopped_troubles(snapshot), *self._others()]
                self._hold(seen, lambda about: not about.startswith((_OTHERS, OF_ORDERS, stuck.ABOUT)), now)
            singles = list(self._open_ones(OF_ORDERS).values())
            there = self._causes.troubles(singles, self._open_ones(outages.ABOUT))
            self._hold(there, lambda about: about.startswith(stuck.ABOUT), now)

    def acknowledge(self, incident_id: str, actor: str, now: datetime, *, take_over: bool = False) -> IncidentView:
        """Say who looks after it; the owner is kept when it is over.

        Raises SettingError when there is no such incident, ActionRefused when another looks after it (unless
        `take_over`) or when it is over.
        """
        with self._lock:
            found = self._store.incident(incident_id)
            if found is None:
                raise SettingError(f"there is no incident {incident_id!r}; see the list of incidents")
            view, about = found
            if refusal := _not_yours(view, actor, take_over):
                raise ActionRefused(refusal)
            before = f" from {view.acknowledged_by}" if view.acknowledged_by not in (None, actor) else ""
            view = msgspec.structs.replace(view, acknowledged_by=actor)
            with self._store.write(now) as t:
                t.save_incident(view, about)
                t.publish(IncidentAcknowledged(incident_id=incident_id, actor=actor), incident_id)
                t.record(actor, f"acknowledge {incident_id}{before}")
            if about in self._open:
                self._open[about] = view
            return view

    def _open_ones(self, beginning: str) -> dict[str, IncidentView]:
        return {about: view for about, view in self._open.items() if about.startswith(beginning)}

    def _hold(self, troubles: Sequence[Trouble], is_of_these: Callable[[str], bool], now: datetime) -> None:
        there = {trouble.about: trouble for trouble in troubles}
        for about, trouble in there.items():
            if about not in self._open:
                self._raise(trouble, now)
            elif (trouble.summary, trouble.stuck) != (self._open[about].summary, self._open[about].stuck):
                self._retell(trouble, now)
        for about in [about for about in self._open if about not in there and is_of_these(about)]:
            self._resolve(about, now)

    def _raise(self, trouble: Trouble, now: datetime) -> None:
        view = IncidentView(
            incident_id=uuid7(now),
            kind=trouble.kind,
            service=trouble.service,
            summary=trouble.summary,
            opened_at=now,
            resolved_at=None,
            acknowledged_by=None,
            stuck=trouble.stuck,
        )
        event = IncidentOpened(
            incident_id=view.incident_id,
            kind=view.kind,
            service=view.service,
            summary=trouble.announced or view.summary,
            subject=trouble.subject,
            waits_for=list(trouble.waits_for),
        )
        with self._store.write(now) as t:
            t.save_incident(view, trouble.about)
            t.publish(event, view.incident_id)
        self._open[trouble.about] = view

    def _retell(self, trouble: Trouble, now: datetime) -> None:
        view = msgspec.structs.replace(self._open[trouble.about], summary=trouble.summary, stuck=trouble.stuck)
        with self._store.write(now) as t:
            t.save_incident(view, trouble.about)
        self._open[trouble.about] = view

    def _resolve(self, about: str, now: datetime) -> None:
        view = msgspec.structs.replace(self._open[about], resolved_at=now)
        with self._store.write(now) as t:
            t.save_incident(view, about)
            t.publish(IncidentResolved(incident_id=view.incident_id), view.incident_id)
        del self._open[about]

    def _adopt(self, now: datetime) -> None:
        """Keep what other services opened or resolved themselves; one of an order may come again when it is over."""
        for envelope in self._projection.take_incidents():
            event = envelope.data
            if isinstance(event, IncidentOpened):
                self._keep(event, envelope.time, now)
            elif isinstance(event, IncidentResolved) and (found := self._store.incident(event.incident_id)):
                view, about = found
                if view.resolved_at is None and envelope.time >= view.opened_at:
                    with self._store.write(now) as t:
                        t.save_incident(msgspec.structs.replace(view, resolved_at=envelope.time), about)
                    self._open.pop(about, None)

    def _keep(self, event: IncidentOpened, at: datetime, now: datetime) -> None:
        found = self._store.incident(event.incident_id)
        if found is not None and (found[0].resolved_at is None or found[0].resolved_at >= at):
            return
        view = IncidentView(
            incident_id=event.incident_id,
            kind=event.kind,
            service=event.service,
            summary=event.summary,
            opened_at=at,
            resolved_at=None,
            acknowledged_by=None,
            order=self._causes.order(event, self._open_ones(outages.ABOUT)),
        )
        about = f"{OF_ORDERS if view.order else _OTHERS}{event.incident_id}"
        with self._store.write(now) as t:
            t.save_incident(view, about)
        self._open[about] = view
