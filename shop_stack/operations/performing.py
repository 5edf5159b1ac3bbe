"""Operators' actions at work: intent committed, runtime moved, outcome committed, effect measured, verdict kept."""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

import msgspec

from shop_stack.access import Principal
from shop_stack.errors import NotRunning, SettingError, ShopfloorError
from shop_stack.events import ActionApplied, ActionFailed, ActionRequested, Effect, VerdictReached
from shop_stack.hosting.topology import Topology
from shop_stack.ids import uuid7
from shop_stack.operations import actions
from shop_stack.operations.history import VIEW_S, History, effect, latency, request_rate
from shop_stack.operations.model import ActionView, Expectation, ReplayRequest, RestartRequest, ScaleRequest
from shop_stack.operations.replaying import DeadLetters
from shop_stack.operations.sampling import Sampler, Snapshot, ready_replicas
from shop_stack.operations.store import Pending, Store
from shop_stack.runtime.interface import Group, Observation, Runtime
from shop_stack.stack import Stack
from shop_stack.telemetry.tracing import here, within

RETRY_WITHIN = timedelta(minutes=10)
_MEASURED = timedelta(seconds=actions.WINDOW_S)
_EFFECT_IS_MEASURED = ("scale", "restart")
Kind = Literal["scale", "restart", "replay", "discard"]


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class Performer:
    """Does actions, those on one process group one after another, each on a thread of its own."""

    def __init__(
        self,
        stack: Stack,
        topology: Topology,
        store: Store,
        runtime: Runtime,
        history: History,
        sampler: Sampler,
        published: Callable[[], None],
        dead_letters: DeadLetters,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._stack, self._topology, self._store, self._runtime = stack, topology, store, runtime
        self._history, self._sampler, self._published, self._now = history, sampler, published, now
        self._dead_letters = dead_letters
        self._workers: list[threading.Thread] = []
        self._accepting = threading.Lock()
        self._turns = {group: threading.Lock() for group in topology.groups}
        self._due = min((a.measure_until for a in store.unmeasured() if a.measure_until), default=None)

    def expectation(self, service: str, replicas: int) -> Expectation:
        """What scaling would do. Raises SettingError for an unknown service, NotRunning without a supervisor."""
        return actions.expect(self._target(service), replicas)

    def scale(self, service: str, request: ScaleRequest, principal: Principal, key: str | None = None) -> str:
        """Commit the intent to scale, begin, and return the action's id.

        Raises ActionRefused, SettingError for an unknown service, NotRunning. The same key leads to the same action.
        """
        with self._accepting:
            if known := self._known(principal, key):
                return known
            reason, target = actions.check_reason(request.reason), self._target(service)
            actions.check_scale(target, request.replicas, confirm_zero=request.confirm_zero, force=request.force)
            reason = f"{reason} (forced)" if target.rests_s > 0 else reason
            intent = self._intent("scale", target, reason, principal)
            view = msgspec.structs.replace(
                intent,
                replicas=request.replicas,
                previous=target.replicas,
                expected=actions.expect(target, request.replicas),
            )
            return self._begin(view, None, principal, key)

    def restart(self, service: str, request: RestartRequest, principal: Principal, key: str | None = None) -> str:
        """Commit the intent to restart one replica or all, begin, and return the action's id. Raises as `scale`."""
        with self._accepting:
            if known := self._known(principal, key):
                return known
            reason, target = actions.check_reason(request.reason), self._target(service)
            group, name = _find(self._runtime.observe(), target.group), request.replica
            if name is not None and name not in [replica.name for replica in group.replicas]:
                raise SettingError(f"{service} has no replica {name!r}; see its replicas in: shopfloor status")
            return self._begin(self._intent("restart", target, reason, principal), name, principal, key)

    def replay(self, request: ReplayRequest, principal: Principal, key: str | None = None) -> str:
        """Commit the intent to try dead letters again, begin, and return the action's id. Raises as `scale`."""
        with self._accepting:
            if known := self._known(principal, key):
                return known
            reason = actions.check_reason(request.reason)
            kind: Kind = "discard" if request.discard else "replay"
            self._dead_letters.check(request)
            view = self._view(kind, request.service or "all", "", reason, principal)
            return self._begin(view, None, principal, key, partial(self._replay, request))

    def recover(self) -> None:
        """Take up actions that were under way when operations last stopped: those found done count as applied."""
        for pending in self._store.pending():
            self._work(self._resume, pending)

    def stop(self, patience_s: float = 1.0) -> None:
        """Wait a little for actions under way; what is not done by then is taken up at the next start."""
        deadline = time.monotonic() + patience_s
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _work(self, work: Callable[[Pending], None], pending: Pending) -> None:
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        action = pending.action

        def traced() -> None:
            told = {"shop.action_id": action.action_id, "shop.service": action.service}
            with within("operations", f"perform {action.kind}", "internal", here.get(), told):
                work(pending)

        asked_in = copy_context()
        worker = threading.Thread(target=asked_in.run, args=(traced,), name=f"action {action.action_id}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def measure_due(self, _snapshot: Snapshot, now: datetime) -> None:
        """Reach the verdict of every action whose minute after is over."""
        if self._due is None or now < self._due:
            return
        for action in self._store.unmeasured():
            if action.measure_until and action.measure_until <= now:
                self._measure(action, now)
        self._due = min((a.measure_until for a in self._store.unmeasured() if a.measure_until), default=None)

    def _known(self, principal: Principal, key: str | None) -> str | None:
        return self._store.action_of_key(principal.subject, key) if key else None

    def _target(self, service: str) -> actions.Target:
        spec = self._stack.service(service)
        name = self._topology.group_of(service)
        group = _find(self._runtime.observe(), name)
        services = tuple(self._stack.service(member) for member in self._topology.groups[name])
        now = self._now().timestamp()
        windows = {s.name: self._history.window(s.name, now - VIEW_S, now) for s in services}
        return actions.Target(
            service=spec,
            group=name,
            services=services,
            replicas=group.desired,
            load=sum(request_rate(windows[s.name]) / s.replica_capacity for s in services),
            p95_ms=latency(windows[service], 0.95),
            lag=windows[service][-1].lag if windows[service] else 0,
            rests_s=self._rest_s(name),
            hot=self._sampler.hot_partition(service),
        )

    def _rest_s(self, group: str) -> float:
        now, cooldown_s = self._now(), self._stack.operating.cooldown_s
        recent = self._store.of_group(group, now - timedelta(seconds=cooldown_s))
        scaled = [action.requested_at for action in recent if action.kind == "scale" and action.state != "failed"]
        return actions.rest_s(max(scaled, default=None), now, cooldown_s)

    def _intent(self, kind: Kind, target: actions.Target, reason: str, principal: Principal) -> ActionView:
        view = self._view(kind, target.service.name, target.group, reason, principal)
        start = view.requested_at - _MEASURED
        return msgspec.structs.replace(view, before=self._effect(view.service, start, view.requested_at))

    def _view(self, kind: Kind, service: str, group: str, reason: str, principal: Principal) -> ActionView:
        now = self._now()
        return ActionView(
            action_id=uuid7(now),
            kind=kind,
            service=service,
            group=group,
            actor=principal.subject,
            reason=reason,
            state="requested",
            requested_at=now,
            applied_at=None,
            error=None,
            replicas=None,
            previous=None,
            expected=None,
            before=None,
            after=None,
            verdict=None,
            because=None,
            measure_until=None,
        )

    def _effect(self, service: str, start: datetime, end: datetime) -> Effect:
        return effect(self._history.window(service, start.timestamp(), end.timestamp()))

    def _begin(
        self,
        view: ActionView,
        replica: str | None,
        principal: Principal,
        key: str | None,
        work: Callable[[Pending], None] | None = None,
    ) -> str:
        with self._store.write(view.requested_at) as t:
            t.save_action(view, replica)
            if key:
                t.keep_key(principal.subject, key, view.action_id)
            did = f"{view.action_id} {view.kind} {view.service} {view.replicas} {replica}: {view.reason}"
            t.publish(_requested(view, t.record(principal.subject, did, publish=False)), view.action_id)
        self._published()
        self._work(work or self._perform, Pending(view, replica))
        return view.action_id

    def _replay(self, request: ReplayRequest, pending: Pending) -> None:
        try:
            outcome = self._dead_letters.replay(request)
        except (ShopfloorError, OSError) as error:
            self._fail(pending.action, f"{error}; what was done stays done, and the rest may be replayed again")
        else:
            self._applied(pending.action, outcome)

    def _perform(self, pending: Pending, note: str | None = None) -> None:
        action, replica = pending
        self._sampler.hurry(10.0)
        try:
            with self._turns[action.group]:
                if action.kind == "scale" and action.replicas is not None:
                    self._runtime.scale(action.group, action.replicas)
                else:
                    self._runtime.restart(action.group, replica)
        except (ShopfloorError, OSError) as error:
            self._fail(action, str(error))
        else:
            self._applied(action, note)
        self._sampler.hurry(5.0)

    def _applied(self, action: ActionView, because: str | None = None) -> None:
        now = self._now()
        until = now + _MEASURED if action.kind in _EFFECT_IS_MEASURED else None
        view = msgspec.structs.replace(action, state="applied", applied_at=now, measure_until=until, because=because)
        seconds = (now - action.requested_at).total_seconds()
        with self._store.write(now) as t:
            t.save_action(view)
            t.publish(
                ActionApplied(action_id=action.action_id, service=action.service, seconds=seconds), action.action_id
            )
        self._due = min((due for due in (self._due, until) if due is not None), default=None)
        self._published()

    def _fail(self, action: ActionView, why: str) -> None:
        now = self._now()
        with self._store.write(now) as t:
            t.save_action(msgspec.structs.replace(action, state="failed", error=why))
            t.publish(ActionFailed(action_id=action.action_id, service=action.service, error=why), action.action_id)
        self._published()

    def _measure(self, action: ActionView, now: datetime) -> None:
        assert action.applied_at is not None
        assert action.before is not None
        after = self._effect(action.service, action.applied_at, action.applied_at + _MEASURED)
        expected = action.expected.p95_then_ms if action.expected else None
        verdict = self._disturbed(action, now) or actions.reach_verdict(action.before, after, expected)
        view = msgspec.structs.replace(
            action, state="measured", after=after, verdict=verdict.verdict, because=verdict.because
        )
        event = VerdictReached(
            action_id=action.action_id,
            service=action.service,
            before=action.before,
            after=after,
            verdict=verdict.verdict,
            because=verdict.because,
        )
        with self._store.write(now) as t:
            t.save_action(view)
            t.publish(event, action.action_id)
        self._published()

    def _disturbed(self, action: ActionView, now: datetime) -> actions.Verdict | None:
        since = action.requested_at - _MEASURED
        others = [
            f"{other.kind} {other.service}" + (f" to {other.replicas}" if other.replicas is not None else "")
            for other in self._store.of_group(action.group, since)
            if other.action_id != action.action_id and other.requested_at < now and other.state != "failed"
        ]
        return actions.disturbed(others)

    def _resume(self, pending: Pending) -> None:
        action = pending.action
        if action.kind not in _EFFECT_IS_MEASURED:
            self._fail(action, "operations was stopped before it was done; ask anew, it is safe to repeat")
            return
        try:
            group = _find(self._runtime.observe(), action.group)
        except (ShopfloorError, OSError) as error:
            self._fail(action, f"operations was stopped meanwhile, and then: {error}")
            return
        if _is_done(pending, group):
            self._applied(action, "operations was stopped meanwhile; its effect was found in place afterwards")
        elif self._now() - action.requested_at <= RETRY_WITHIN:
            self._perform(pending, "operations was stopped meanwhile; it was asked for again afterwards")
        else:
            self._fail(action, "operations was stopped before it was done, too long ago to try again; ask anew")


def _is_done(pending: Pending, group: Group) -> bool:
    action, name = pending
    if action.kind == "scale":
        return group.desired == action.replicas == ready_replicas(group) == len(group.replicas)
    since = action.requested_at.timestamp()
    concerned = [replica for replica in group.replicas if name is None or replica.name == name]
    return bool(concerned) and all(r.started_at >= since and r.state == "ready" for r in concerned)


def _find(observation: Observation, name: str) -> Group:
    for group in observation.groups:
        if group.name == name:
            return group
    raise NotRunning(f"the supervisor runs no process group called {name!r}; see: shopfloor status")


def _requested(view: ActionView, audit_head: str) -> ActionRequested:
    expected = view.expected
    return ActionRequested(
        action_id=view.action_id,
        kind=view.kind,
        service=view.service,
        group=view.group,
        actor=view.actor,
        reason=view.reason,
        replicas=view.replicas,
        previous=view.previous,
        expected_utilisation=expected.utilisation_then if expected else None,
        expected_p95_ms=expected.p95_then_ms if expected else None,
        audit_head=audit_head,
    )
