"""One sample a second of the whole stack: Envoy's statistics, CPU, memory, lag, and what replicas report."""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shop_stack.envelope import Envelope
from shop_stack.errors import MeshError, ShopfloorError
from shop_stack.events import PartitionLag, ServiceSample, StackSampled
from shop_stack.hosting.topology import Topology
from shop_stack.ids import uuid7
from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.operations import envoy_statistics as envoy
from shop_stack.operations.history import VIEW_S, History, Moment, latencies
from shop_stack.operations.log_link import SAMPLE_KEY, LogLink
from shop_stack.operations.model import GroupLag
from shop_stack.operations.replica_reports import NOTHING, Report, Reporters
from shop_stack.operations.store import SOURCE
from shop_stack.runtime.interface import Group, Observation, Part, Replica, Runtime
from shop_stack.stack import Stack

INTERVAL_S = 1.0
_OBSERVE_EVERY = 2
_REPORTS_EVERY = 5


@dataclass(frozen=True)
class Snapshot:
    """What is known of the stack now. `runtime_error` and `gateway_error` say why a source does not answer."""

    at: datetime | None = None
    observation: Observation | None = None
    runtime_error: str | None = None
    gateway_error: str | None = None
    cpu: Mapping[str, float] = field(default_factory=dict)
    reports: Mapping[str, Report] = field(default_factory=dict)

    def group(self, name: str) -> Group | None:
        """A process group as last observed."""
        groups = self.observation.groups if self.observation else ()
        return next((group for group in groups if group.name == name), None)


FollowUp = Callable[[Snapshot, datetime], None]


class Sampler:
    """Takes the samples on its own thread, keeps them in `history` and hands each to the link to the log."""

    def __init__(
        self,
        stack: Stack,
        topology: Topology,
        runtime: Runtime,
        admin: EnvoyAdmin,
        history: History,
        link: LogLink,
    ) -> None:
        self._stack, self._topology, self._runtime, self._admin = stack, topology, runtime, admin
        self._history, self._link = history, link
        self._after: tuple[FollowUp, ...] = ()
        self._path = envoy.statistics_path([spec.name for spec in stack.services])
        self._totals: dict[str, envoy.Totals] | None = None
        self._read_at = time.monotonic()
        self._reporters = Reporters()
        self._ticks = 0
        self._hurry_until = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.snapshot = Snapshot()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the sample that is being taken."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)

    def afterwards(self, *follow_ups: FollowUp) -> None:
        """What is done with every sample, on the sampler's thread."""
        self._after = follow_ups

    def hurry(self, seconds: float = 5.0) -> None:
        """Observe the runtime with every sample for so long: something is being changed."""
        self._hurry_until = time.monotonic() + seconds

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                self.tick(datetime.now(UTC))
            except (ShopfloorError, OSError, sqlite3.Error, LookupError, ValueError) as error:
                print(f"a sample was lost: {error!r}", file=sys.stderr, flush=True)
            due = max(due + INTERVAL_S, time.monotonic() + INTERVAL_S / 2)
            self._stopping.wait(due - time.monotonic())

    def tick(self, now: datetime) -> None:
        """Take one sample."""
        observation, runtime_error, cpu = self._observe()
        gained, elapsed, gateway_error = self._read_envoy()
        reports = self._report(observation)
        self._ticks += 1
        self.snapshot = Snapshot(now, observation, runtime_error, gateway_error, cpu, reports)
        self._remember(now, gained, elapsed)
        if observation is not None:
            self._link.offer(self._envelope(now, observation, elapsed))
        for follow_up in self._after:
            follow_up(self.snapshot, now)

    def _observe(self) -> tuple[Observation | None, str | None, Mapping[str, float]]:
        last = self.snapshot
        if last.observation and self._ticks % _OBSERVE_EVERY and time.monotonic() > self._hurry_until:
            return last.observation, last.runtime_error, last.cpu
        try:
            observation = self._runtime.observe()
        except (ShopfloorError, OSError) as error:
            return last.observation, str(error), last.cpu
        return observation, None, cpu_cores(last.observation, observation, last.cpu)

    def _read_envoy(self) -> tuple[dict[str, envoy.Totals], float, str | None]:
        try:
            totals = envoy.parse(self._admin.get(self._path))
        except (MeshError, ValueError) as error:
            return {}, self._elapsed(), str(error)
        earlier, self._totals = self._totals, totals
        gained = (
            {name: envoy.since(earlier.get(name, envoy.Totals()), t) for name, t in totals.items()}
            if earlier is not None
            else {}
        )
        return gained, self._elapsed(), None

    def _elapsed(self) -> float:
        now = time.monotonic()
        elapsed, self._read_at = now - self._read_at, now
        return max(elapsed, 0.001)

    def _report(self, observation: Observation | None) -> Mapping[str, Report]:
        if observation is None or self._ticks % _REPORTS_EVERY:
            return self.snapshot.reports
        reports: dict[str, Report] = {}
        for group in observation.groups:
            reports |= self._reporters.ask(group.replicas, group.services)
        self._reporters.forget(replica.place for group in observation.groups for replica in group.replicas)
        return reports

    def _remember(self, now: datetime, gained: Mapping[str, envoy.Totals], elapsed: float) -> None:
        loads = {
            spec.name: gained.get(spec.name, envoy.Totals()).completed / elapsed / spec.replica_capacity
            for spec in self._stack.services
        }
        for group_name, services in self._topology.groups.items():
            ready = ready_replicas(self.snapshot.group(group_name))
            load = sum(loads[name] for name in services)
            for name in services:
                counted = gained.get(name, envoy.Totals())
                moment = Moment(
                    at=now.timestamp(),
                    interval_s=elapsed,
                    requests=counted.completed,
                    errors=counted.errors,
                    lag=self._link.lag(name),
                    ready=ready,
                    utilisation=load / ready if ready else 0.0,
                    latencies=counted.latencies,
                    work=self.snapshot.reports.get(name, NOTHING).work,
                )
                self._history.add(name, moment)

    def _envelope(self, now: datetime, observation: Observation, elapsed: float) -> Envelope[StackSampled]:
        replicas = (replica for group in observation.groups for replica in group.replicas)
        memory = [part.memory_bytes for part in observation.parts] + [replica.memory_bytes for replica in replicas]
        sampled = StackSampled(
            interval_s=elapsed,
            services=[self._service(spec.name, now) for spec in self._stack.services],
            parts=self.parts(),
            cpu_cores=sum(self.snapshot.cpu.values()),
            memory_bytes=sum(memory),
        )
        return Envelope(id=uuid7(now), source=SOURCE, subject=SAMPLE_KEY, time=now, data=sampled)

    def hot_partition(self, service: str) -> str | None:
        """The partition that holds most of what waits for a service; None when none does."""
        behind = self._link.behind(service)
        return behind.hot if behind and behind.seconds > 0 else None

    def parts(self) -> dict[str, bool]:
        """Which floors are up, by name."""
        observed = self.snapshot.observation.parts if self.snapshot.observation else ()
        up = {part.name: part.state == "ready" for part in observed}
        return up | {"gateway": self.snapshot.gateway_error is None, "log": self._link.down_because is None}

    def _service(self, name: str, now: datetime) -> ServiceSample:
        group_name = self._topology.group_of(name)
        group = self.snapshot.group(group_name)
        replicas = group.replicas if group else []
        recent = self._history.window(name, now.timestamp() - VIEW_S, now.timestamp())
        p50, p95, p99 = latencies(recent)
        last, report = recent[-1], self.snapshot.reports.get(name, NOTHING)
        behind = self._link.behind(name)
        return ServiceSample(
            service=name,
            group=group_name,
            ready=last.ready,
            desired=group.desired if group else 0,
            request_rate=last.requests / last.interval_s,
            error_rate=last.errors / last.requests if last.requests else 0.0,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            lag=last.lag,
            cpu_cores=sum(self.snapshot.cpu.get(replica.process, 0.0) for replica in replicas),
            memory_bytes=sum(replica.memory_bytes for replica in replicas),
            outbox_age_s=report.outbox_age_s,
            stopped_aggregates=len(report.stopped),
            work=list(report.work),
            lag_s=behind.seconds if behind else 0.0,
            orders_waiting=behind.orders_waiting if behind else 0,
            waiting_minor=behind.waiting_minor if behind else 0,
            partitions=waiting_partitions(behind),
        )


def waiting_partitions(behind: GroupLag | None) -> list[PartitionLag]:
    """Of a group's partitions those in which records wait."""
    return [one for one in behind.partitions if one.seconds > 0] if behind else []


def ready_replicas(group: Group | None) -> int:
    """How many replicas of a group are ready."""
    return sum(1 for replica in group.replicas if replica.state == "ready") if group else 0


def cpu_cores(earlier: Observation | None, later: Observation, known: Mapping[str, float]) -> dict[str, float]:
    """CPU in cores by process between two observations; what is known already where none was read in between."""
    before = _cpu_read(earlier) if earlier else {}
    found = {}
    for process, (used, at) in _cpu_read(later).items():
        if process in before:
            used_before, at_before = before[process]
            new = at > at_before
            found[process] = max(0.0, used - used_before) / (at - at_before) if new else known.get(process, 0.0)
    return found


def _cpu_read(observation: Observation) -> dict[str, tuple[float, float]]:
    """CPU seconds of each process, and when they were read."""
    running: list[Replica | Part] = [*observation.parts]
    for group in observation.groups:
        running += group.replicas
    return {one.process: (one.cpu_s, observation.at if one.cpu_at is None else one.cpu_at) for one in running}
