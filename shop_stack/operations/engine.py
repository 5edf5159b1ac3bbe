"""Operations as a whole: its parts made from the settings, started and stopped together."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shop_stack.access import read_token
from shop_stack.envelope import decode
from shop_stack.errors import AccessDenied, BadEvent, EventLogError, SettingError
from shop_stack.eventlog.interface import EventLog
from shop_stack.eventlog.opening import open_log
from shop_stack.events import SAMPLES, StackSampled
from shop_stack.hosting.topology import Topology, read_topology
from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.operations.actions import utilisation
from shop_stack.operations.book_checks import BookChecks
from shop_stack.operations.burning import Burning
from shop_stack.operations.changes import Changes, events_or_none
from shop_stack.operations.completions import Completions
from shop_stack.operations.history import KEPT, History, Moment, from_sample
from shop_stack.operations.incidents import Incidents
from shop_stack.operations.journeys import Step, ask_analytics, assemble, is_over, read_log
from shop_stack.operations.log_link import LogLink
from shop_stack.operations.model import ActionView, GroupLag, Journey
from shop_stack.operations.outages import Outages
from shop_stack.operations.people import People
from shop_stack.operations.performing import Performer
from shop_stack.operations.projection import Projection
from shop_stack.operations.replaying import DeadLetters
from shop_stack.operations.sampling import Sampler
from shop_stack.operations.store import Store
from shop_stack.operations.stuck import Causes
from shop_stack.operations.tail import Tail
from shop_stack.operations.views import Views
from shop_stack.runtime.interface import Runtime
from shop_stack.settings import Settings
from shop_stack.stack import Stack, read_stack


@dataclass(frozen=True)
class Engine:
    """What the API speaks for."""

    settings: Settings
    stack: Stack
    runtime: Runtime
    store: Store
    link: LogLink
    sampler: Sampler
    performer: Performer
    incidents: Incidents
    burning: Burning
    views: Views
    tail: Tail
    dead_letters: DeadLetters
    people: People

    def start(self) -> None:
        """Begin to sample and publish, and take up what was under way."""
        self.link.start()
        self.sampler.start()
        self.performer.recover()

    def stop(self) -> None:
        """Stop all threads and close the store."""
        self.tail.stop()
        self.performer.stop()
        self.sampler.stop()
        self.link.stop()
        self.store.close()

    def group_or_part(self, name: str) -> str:
        """The process group of a service; any other name is taken for a group or part."""
        known = {spec.name for spec in self.stack.services}
        return self.views.topology.group_of(name) if name in known else name

    def action(self, action_id: str) -> ActionView:
        """One action. Raises SettingError when there is none of that id."""
        found = self.store.action(action_id)
        if found is None:
            raise SettingError(f"there is no action {action_id!r}; see the list of actions")
        return found

    def journey(self, order_id: str, at: datetime | None = None) -> Journey:
        """An order's journey: what analytics knows, and unless that has an end, what the log holds beyond it.

        With `at` only events with a time before it count. Raises SettingError when no such event of the order is
        known, LogUnavailable when analytics knows nothing of it and the log is down.
        """
        steps = self._ask_analytics(order_id)
        if not is_over(assemble(order_id, steps)):
            try:
                steps = [*read_log(self.link.log(), order_id), *steps]
            except EventLogError:
                if not steps:
                    raise
        journey = assemble(order_id, [step for step in steps if at is None or step.at < at])
        if journey is None and steps:
            raise SettingError(f"no event of the order {order_id!r} has a time before {at:%Y-%m-%dT%H:%M:%SZ}")
        if journey is None:
            raise SettingError(f"no event of an order {order_id!r} is known; check the id")
        return journey

    def consumer_groups(self) -> list[GroupLag]:
        """How far each group is behind, in all and by partition. Raises LogUnavailable."""
        return self.link.consumer_groups()

    def _ask_analytics(self, order_id: str) -> list[Step]:
        if "analytics" not in self.settings.ports:
            return []
        try:
            token = read_token(self.settings.home, "viewer")
        except AccessDenied:
            return []
        return ask_analytics(self.settings.place("analytics"), token, order_id)


def build(settings: Settings, runtime: Runtime) -> Engine:
    """Operations for a home folder; nothing runs yet, and the log is opened by its own thread later."""
    stack = read_stack(settings.stack_file)
    topology = read_topology(settings.topology, stack)
    store = Store(settings.home.operations_store)
    history, projection = History(), Projection()
    completions = Completions(stack.checkout.within_s)
    link = LogLink(partial(_open, settings, stack, topology, history), store, projection, completions)
    look = partial(_changes, store, link)
    burning, outages = Burning(stack, history, store, look, completions), Outages(stack.zone, store, look)
    checks = BookChecks(projection, store)
    causes = Causes(stack.zone, stack.currency, topology.groups)
    incidents = Incidents(
        store, projection, causes, lambda: [*outages.troubles(), *burning.troubles(), *checks.troubles()]
    )
    admin = EnvoyAdmin(settings.home.mesh / "admin.sock")
    sampler = Sampler(stack, topology, runtime, admin, history, link)
    dead_letters = DeadLetters(topology, runtime)
    performer = Performer(stack, topology, store, runtime, history, sampler, link.wake, dead_letters)
    sampler.afterwards(burning.observe, outages.observe, incidents.watch, performer.measure_due)
    views = Views(settings, stack, topology, history, projection, link)
    tail = Tail(link.log)
    people = People(topology, runtime, store, link.wake)
    watching = (sampler, performer, incidents, burning, views, tail)
    return Engine(settings, stack, runtime, store, link, *watching, dead_letters, people)


def _changes(store: Store, link: LogLink, since: datetime) -> Changes:
    try:
        log = link.log()
    except EventLogError:
        return Changes(store.since(since), None)
    return Changes(store.since(since), events_or_none(log, since))


def _open(settings: Settings, stack: Stack, topology: Topology, history: History) -> EventLog:
    log = open_log(settings)
    if not history.filled:
        history.fill(_remembered(log, stack, topology))
    return log


def _remembered(log: EventLog, stack: Stack, topology: Topology) -> list[tuple[str, Moment]]:
    """The samples of the last minutes, so that a restart of operations loses no measured minute."""
    start, end = log.starts(SAMPLES.name)[0], log.ends(SAMPLES.name)[0]
    found: list[tuple[str, Moment]] = []
    for record in log.read(SAMPLES.name, 0, max(start, end - KEPT), KEPT):
        try:
            envelope = decode(record.value)
        except BadEvent:
            continue
        if isinstance(envelope.data, StackSampled):
            found += _moments(envelope.data, envelope.time.timestamp(), stack, topology)
    return found


def _moments(sampled: StackSampled, at: float, stack: Stack, topology: Topology) -> list[tuple[str, Moment]]:
    capacity = {spec.name: spec.replica_capacity for spec in stack.services}
    known = {sample.service: sample for sample in sampled.services if sample.service in capacity}
    found = []
    for name, sample in known.items():
        company = topology.groups[topology.group_of(name)]
        load = sum(known[other].request_rate / capacity[other] for other in company if other in known)
        found.append((name, from_sample(sample, at, sampled.interval_s, utilisation(load, sample.ready))))
    return found
