"""The stack as screens see it, put together from the last sample, the history and what analytics advised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from shop_stack.access import Principal
from shop_stack.hosting.topology import Topology
from shop_stack.operations import actions
from shop_stack.operations.advice import RATE_S, Demand, Peak, forecast_peak, present_band, recommend, waits
from shop_stack.operations.health import judge, oldest_work
from shop_stack.operations.history import VIEW_S, History, error_rate, is_whole, latencies, request_rate
from shop_stack.operations.log_link import LogLink
from shop_stack.operations.model import GroupLag, Health, PartView, ReplicaView, ServiceView, StackView
from shop_stack.operations.projection import Projection
from shop_stack.operations.replica_reports import NOTHING
from shop_stack.operations.sampling import Snapshot, ready_replicas, waiting_partitions
from shop_stack.runtime.interface import Group, Part, Replica
from shop_stack.settings import Settings
from shop_stack.stack import ServiceSpec, Stack

_HEALTH_S = 30.0
_SPARK = 60
_NAMED = 100


def with_causes(services: list[ServiceView], stack: Stack) -> list[ServiceView]:
    """The views, each that is not ok naming the services that it calls, or waits for, and that are not ok either."""
    unwell = {view.name: view.health for view in services if view.health != "ok"}
    return [
        _with_cause(view, stack.service(view.name).calls, unwell) if view.name in unwell else view for view in services
    ]


def _with_cause(view: ServiceView, calls: Sequence[str], unwell: Mapping[str, Health]) -> ServiceView:
    called = [name for name in calls if name in unwell]
    awaited = [one.waits_for for one in view.work if one.waits_for in unwell and one.waits_for not in called]
    found = [("calls", called), ("waits for", awaited)]
    said = [f"it {how} {_named(names, unwell)}" for how, names in found if names]
    if not said:
        return view
    because = f"{' and '.join(said)}: look there first; {view.because}"
    return msgspec.structs.replace(view, waits_for=[*called, *awaited], because=because)


def _named(names: Sequence[str], unwell: Mapping[str, Health]) -> str:
    return " and ".join(f"{name}, which is {unwell[name]}" for name in names)


@dataclass(frozen=True)
class Views:
    """Where the view of the stack is read from."""

    settings: Settings
    stack: Stack
    topology: Topology
    history: History
    projection: Projection
    link: LogLink

    def stack_view(self, snapshot: Snapshot, principal: Principal, now: datetime) -> StackView:
        """The stack now, for this principal."""
        return StackView(
            name=self.stack.name,
            topology=self.topology.name,
            log=self.settings.log_url,
            currency=self.stack.currency,
            at=now,
            sampled_at=snapshot.at,
            services=with_causes([self._service(spec, snapshot, now) for spec in self.stack.services], self.stack),
            parts=self._parts(snapshot),
            actor=principal.subject,
            role=principal.role,
            time_zone=self.stack.time_zone,
        )

    def _service(self, spec: ServiceSpec, snapshot: Snapshot, now: datetime) -> ServiceView:
        group_name = self.topology.group_of(spec.name)
        group = snapshot.group(group_name) or Group(name=group_name, services=[], desired=0, replicas=[])
        specs = tuple(self.stack.service(name) for name in self.topology.groups[group_name])
        at = now.timestamp()
        recent = self.history.window(spec.name, at - VIEW_S, at)
        report = snapshot.reports.get(spec.name, NOTHING)
        target = actions.Target(spec, group_name, specs, group.desired, self._load(specs, at), None)
        health, because = self._health(spec, snapshot, group, now)
        recommended, why = self._recommended(specs, group, target.bounds, now)
        forecast = self.projection.forecast(spec.name)
        peak = forecast_peak(forecast, now)
        ready = ready_replicas(group)
        p50, p95, p99 = latencies(recent)
        return ServiceView(
            name=spec.name,
            group=group_name,
            moves_with=target.moves_with,
            purpose=spec.purpose,
            health=health,
            because=because,
            replicas=[_replica(replica, snapshot, at) for replica in group.replicas],
            ready=ready,
            desired=group.desired,
            recommended=recommended,
            recommended_because=why,
            min_replicas=target.bounds[0],
            max_replicas=target.bounds[1],
            request_rate=request_rate(recent),
            error_rate=error_rate(recent),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            objective_p95_ms=spec.p95_ms,
            objective_error_rate=spec.error_rate,
            lag=self.link.lag(spec.name),
            utilisation=actions.utilisation(target.load, ready),
            replica_capacity=spec.replica_capacity,
            recent_rates=[one.requests / one.interval_s for one in self.history.last(spec.name, _SPARK)],
            forecast_peak=peak.mean if peak else None,
            forecast_peak_at=peak.at if peak else None,
            forecast_band=present_band(forecast, now),
            minute_rate=request_rate(self.history.window(spec.name, at - RATE_S, at)),
            minute_settled=is_whole(self.history.window(spec.name, at - 2 * RATE_S, at), 2 * RATE_S),
            outbox_age_s=report.outbox_age_s,
            stopped_aggregates=report.stopped_names[:_NAMED],
            work=list(oldest_work(self.history.window(spec.name, at - _HEALTH_S, at))),
            objective_work_age_s=spec.work_age_s,
            behind=self._behind(spec.name),
        )

    def _behind(self, name: str) -> GroupLag | None:
        behind = self.link.behind(name)
        return msgspec.structs.replace(behind, partitions=waiting_partitions(behind)) if behind else None

    def _health(self, spec: ServiceSpec, snapshot: Snapshot, group: Group, now: datetime) -> tuple[Health, str]:
        if snapshot.observation is None:
            why = snapshot.runtime_error or "the first sample is being taken"
            return ("down" if snapshot.runtime_error else "starting"), f"its replicas are unknown: {why}"
        at = now.timestamp()
        recent = self.history.window(spec.name, at - _HEALTH_S, at)
        report = snapshot.reports.get(spec.name, NOTHING)
        health, because = judge(spec, group.desired, group.replicas, recent, report.outbox_age_s, report.stopped_names)
        if snapshot.runtime_error is None:
            return health, because
        unsure = f"the supervisor does not answer, so this is from {at - snapshot.observation.at:.0f} s ago"
        return ("degraded" if health == "ok" else health), f"{because}; {unsure}" if because else unsure

    def _load(self, specs: Sequence[ServiceSpec], at: float) -> float:
        windows = [(spec, self.history.window(spec.name, at - VIEW_S, at)) for spec in specs]
        return sum(request_rate(moments) / spec.replica_capacity for spec, moments in windows)

    def _recommended(
        self, specs: Sequence[ServiceSpec], group: Group, bounds: tuple[int, int], now: datetime
    ) -> tuple[int | None, str]:
        at = now.timestamp()
        if not any(self.history.last(spec.name, 1) for spec in specs):
            return None, "nothing is measured yet"
        changes = [at - changed for spec in specs if (changed := self.history.changed_at(spec.name)) is not None]
        if why := waits(group.desired, ready_replicas(group), min(changes, default=None)):
            return None, why
        rate_s = min([RATE_S, *changes])
        demands = [
            Demand(
                service=spec.name,
                rate=request_rate(self.history.window(spec.name, at - rate_s, at)),
                peak=self._peak(spec.name, now),
                replica_capacity=spec.replica_capacity,
            )
            for spec in specs
        ]
        advice = [advised for spec in specs if (advised := self.projection.advice(spec.name))]
        return recommend(demands, advice, bounds, now, rate_s)

    def _peak(self, service: str, now: datetime) -> Peak | None:
        return forecast_peak(self.projection.forecast(service), now)

    def _parts(self, snapshot: Snapshot) -> list[PartView]:
        observed = {part.name: part for part in (snapshot.observation.parts if snapshot.observation else ())}
        views = [self._part(part, snapshot) for part in observed.values() if part.name != "gateway"]
        return [self._gateway(observed.get("gateway"), snapshot), self._log(), *views]

    def _part(self, part: Part, snapshot: Snapshot) -> PartView:
        unsure = f"the supervisor does not answer: {snapshot.runtime_error}" if snapshot.runtime_error else ""
        up = part.state == "ready" and (part.name == "operations" or not unsure)
        because = unsure if part.state == "ready" else part.note or f"it is {part.state}"
        return _part_view(part, snapshot, up=up, because=because)

    def _gateway(self, part: Part | None, snapshot: Snapshot) -> PartView:
        known = part or Part(name="gateway", pid=None, state="stopped", restarts=0, cpu_s=0.0, memory_bytes=0)
        because = snapshot.gateway_error or ""
        return _part_view(known, snapshot, up=snapshot.gateway_error is None, because=because)

    def _log(self) -> PartView:
        because = self.link.down_because
        kept = f"; {self.link.waiting} samples wait for it, {self.link.dropped} were dropped" if because else ""
        return PartView(name="log", up=because is None, because=f"{because}{kept}" if because else "", cpu_cores=0.0,
                        memory_bytes=0, address=self.settings.log_url)  # fmt: skip


def _part_view(part: Part, snapshot: Snapshot, *, up: bool, because: str) -> PartView:
    cores = snapshot.cpu.get(part.process, 0.0)
    return PartView(
        name=part.name, up=up, because=because, cpu_cores=cores, memory_bytes=part.memory_bytes, address=part.address
    )


def _replica(replica: Replica, snapshot: Snapshot, at: float) -> ReplicaView:
    return ReplicaView(
        name=replica.name,
        pid=replica.pid,
        address=f"{replica.host}:{replica.port}",
        state=replica.state,
        age_s=max(0.0, at - replica.started_at),
        restarts=replica.restarts,
        cpu_cores=snapshot.cpu.get(replica.process, 0.0),
        memory_bytes=replica.memory_bytes,
    )
