"""An operator's action from request to verdict, and what becomes of it when something dies on the way."""

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shop_stack.access import Principal
from shop_stack.envelope import Envelope, decode
from shop_stack.errors import ActionRefused, LogUnavailable
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.events import (
    ActionApplied,
    ActionFailed,
    ActionRequested,
    Event,
    IncidentAcknowledged,
    IncidentOpened,
    IncidentResolved,
    StackSampled,
    VerdictReached,
)
from shop_stack.operations.api import run_operations
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.history import Moment
from shop_stack.operations.log_link import KEPT_SAMPLES
from shop_stack.operations.model import RestartRequest, ScaleRequest
from shop_stack.operations.replica_reports import Report, Stopped
from shop_stack.operations.sampling import Snapshot
from shop_stack.settings import Settings
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded

ANNA = Principal("anna", "operator")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(make_home(tmp_path))
    yield stand
    stand.runtime.gate.set()
    stand.engine.stop()


def state_of(stand: Stand, action_id: str) -> str:
    action = stand.engine.store.action(action_id)
    assert action is not None
    return action.state


def settled(stand: Stand, action_id: str) -> Callable[[], bool]:
    return lambda: state_of(stand, action_id) != "requested"


def lie(stand: Stand, start: datetime, seconds: int, p95: float, rate: float = 10, ready: int = 1) -> None:
    """Put a minute of measurements into the history."""
    for second in range(1, seconds + 1):
        at = start.timestamp() + second
        moment = Moment(at, 1.0, rate, 0, 0, ready, 0.2, latencies={(p95, p95): round(rate)})
        stand.engine.sampler._history.add("orders", moment)


def published(stand: Stand, topic: str) -> list[Envelope[Event]]:
    log = stand.engine.link.log()
    return [decode(record.value) for record in log.read(topic, 0, 0)]


def test_from_request_to_verdict(stand: Stand) -> None:
    began = datetime.now(UTC)
    lie(stand, began - timedelta(seconds=60), 60, p95=100)
    action_id = stand.engine.performer.scale("orders", ScaleRequest(3, " p95 is high "), ANNA)
    until(settled(stand, action_id))
    applied = stand.engine.store.action(action_id)
    assert applied is not None
    assert applied.applied_at is not None
    assert (applied.state, applied.previous, applied.replicas, applied.reason) == ("applied", 1, 3, "p95 is high")
    lie(stand, applied.applied_at, 60, p95=40)
    stand.engine.performer.measure_due(Snapshot(), applied.applied_at + timedelta(seconds=59))
    assert state_of(stand, action_id) == "applied"
    stand.engine.performer.measure_due(Snapshot(), applied.applied_at + timedelta(seconds=61))
    measured = stand.engine.store.action(action_id)
    assert measured is not None
    assert measured.before is not None
    assert measured.after is not None
    assert (measured.before.p95_ms, measured.after.p95_ms) == (100, 40)
    assert measured.verdict == "helped"
    assert "p95 100 ms -> 40 ms" in (measured.because or "")
    stand.engine.link.turn()
    events = [envelope.data for envelope in published(stand, "ops.actions")]
    assert [type(event) for event in events] == [ActionRequested, ActionApplied, VerdictReached]
    assert isinstance(events[0], ActionRequested)
    assert events[0].audit_head
    assert stand.engine.store.broken_link() is None


def test_advice_after_a_scaling_waits_for_samples_from_after_it(stand: Stand) -> None:
    def advised(at: datetime) -> tuple[int | None, str]:
        snapshot = Snapshot(at=at, observation=stand.runtime.observe())
        view = stand.engine.views.stack_view(snapshot, ANNA, at)
        return next((v.recommended, v.recommended_because) for v in view.services if v.name == "orders")

    began = datetime.now(UTC)
    lie(stand, began - timedelta(seconds=90), 90, p95=100, rate=150)
    assert advised(began)[0] == 4
    until(settled(stand, stand.engine.performer.scale("orders", ScaleRequest(5, "load"), ANNA)))
    lie(stand, began, 10, p95=40, rate=200, ready=5)
    waiting = advised(began + timedelta(seconds=10))
    assert waiting[0] is None
    assert "advice waits for 30 s of samples" in waiting[1]
    lie(stand, began + timedelta(seconds=10), 30, p95=40, rate=200, ready=5)
    replicas, why = advised(began + timedelta(seconds=40))
    assert replicas == 5
    assert "the rate of the last 39 s" in why


def test_the_answer_comes_before_the_effect_and_a_key_acts_once(stand: Stand) -> None:
    stand.runtime.gate.clear()
    first = stand.engine.performer.scale("orders", ScaleRequest(3, "load"), ANNA, "key-1")
    assert state_of(stand, first) == "requested"
    assert stand.engine.performer.scale("orders", ScaleRequest(3, "load"), ANNA, "key-1") == first
    stand.runtime.gate.set()
    until(settled(stand, first))
    assert stand.runtime.calls == [("scale", "orders", 3)]


def test_actions_on_one_group_come_one_after_another(stand: Stand) -> None:
    stand.runtime.gate.clear()
    up = stand.engine.performer.scale("orders", ScaleRequest(3, "up"), ANNA)
    until(lambda: stand.runtime.calls)
    down = stand.engine.performer.scale("orders", ScaleRequest(2, "down", force=True), ANNA)
    other = stand.engine.performer.restart("payments", RestartRequest("stuck"), ANNA)
    until(lambda: len(stand.runtime.calls) == 2)
    assert [call[0] for call in stand.runtime.calls] == ["scale", "restart"]
    stand.runtime.gate.set()
    until(lambda: all(state_of(stand, a) == "applied" for a in (up, down, other)))
    assert stand.runtime.groups["orders"].desired == 2
    action = stand.engine.store.action(up)
    assert action is not None
    assert action.measure_until is not None
    stand.engine.performer.measure_due(Snapshot(), action.measure_until)
    verdict = stand.engine.store.action(up)
    assert verdict is not None
    assert (verdict.verdict, "scale orders to 2" in (verdict.because or "")) == ("unclear", True)


def test_a_failure_is_kept_and_published(stand: Stand) -> None:
    stand.runtime.fails_with = "a replica of orders does not become ready"
    action_id = stand.engine.performer.scale("orders", ScaleRequest(3, "load"), ANNA)
    until(settled(stand, action_id))
    action = stand.engine.store.action(action_id)
    assert action is not None
    assert (action.state, action.error) == ("failed", "a replica of orders does not become ready")
    stand.engine.link.turn()
    assert isinstance(published(stand, "ops.actions")[-1].data, ActionFailed)


def test_nothing_is_kept_of_a_refused_action(stand: Stand) -> None:
    with pytest.raises(ActionRefused):
        stand.engine.performer.scale("orders", ScaleRequest(0, "stop it"), ANNA)
    assert stand.engine.store.actions(10) == []
    confirmed = stand.engine.performer.scale("orders", ScaleRequest(0, "stop it", confirm_zero=True), ANNA)
    until(settled(stand, confirmed))
    assert stand.runtime.groups["orders"].replicas == []


@pytest.mark.parametrize("done_meanwhile", [True, False])
def test_an_action_under_way_is_taken_up_after_a_death(stand: Stand, done_meanwhile: bool) -> None:
    stand.runtime.gate.clear()
    action_id = stand.engine.performer.scale("orders", ScaleRequest(3, "load"), ANNA)
    until(lambda: stand.runtime.calls)
    successor = Stand(stand.settings.home)
    if done_meanwhile:
        successor.runtime.scale("orders", 3)
    calls = len(successor.runtime.calls)
    successor.engine.performer.recover()
    until(settled(successor, action_id))
    action = successor.engine.store.action(action_id)
    assert action is not None
    assert action.state == "applied"
    assert ("found in place" in (action.because or "")) is done_meanwhile
    assert len(successor.runtime.calls) == calls + (0 if done_meanwhile else 1)
    assert successor.runtime.groups["orders"].desired == 3
    successor.engine.stop()


def test_an_old_action_under_way_is_not_done_late(stand: Stand) -> None:
    stand.runtime.gate.clear()
    action_id = stand.engine.performer.scale("orders", ScaleRequest(3, "load"), ANNA)
    successor = Stand(stand.settings.home)
    successor.engine.performer._now = lambda: datetime.now(UTC) + timedelta(minutes=11)
    successor.engine.performer.recover()
    until(settled(successor, action_id))
    action = successor.engine.store.action(action_id)
    assert action is not None
    assert (action.state, successor.runtime.calls) == ("failed", [])
    successor.engine.stop()


def test_the_log_may_be_down_meanwhile(stand: Stand) -> None:
    opened = stand.engine.link._opener
    stand.engine.link._opener = _refuse
    with stand.served(), stand.client() as client:
        until(lambda: stand.engine.link.down_because == "no broker answers")
        action_id = client.scale("orders", 2, "load")
        until(settled(stand, action_id))
        log = next(part for part in client.stack().parts if part.name == "log")
        assert not log.up
        assert log.because.startswith("no broker answers")
        stand.engine.link._opener = opened
        stand.engine.link.wake()
        until(lambda: stand.engine.link.down_because is None, 15)
        kinds = [type(envelope.data) for envelope in published(stand, "ops.actions")]
        assert kinds == [ActionRequested, ActionApplied]


def _refuse() -> None:
    raise LogUnavailable("no broker answers")


def test_waiting_samples_are_bounded_and_the_loss_is_counted(stand: Stand) -> None:
    stand.engine.sampler.tick(datetime.now(UTC))
    link, now = stand.engine.link, datetime.now(UTC)
    observation = stand.engine.sampler.snapshot.observation
    assert observation is not None
    for _ in range(KEPT_SAMPLES + 4):
        link.offer(stand.engine.sampler._envelope(now, observation, 1.0))
    assert (link.waiting, link.dropped) == (KEPT_SAMPLES, 5)
    link.turn()
    assert (link.waiting, len(published(stand, "ops.samples")) > 0) == (0, True)


def test_a_sample_tells_of_the_whole_stack_and_outlives_operations(stand: Stand) -> None:
    now = datetime.now(UTC)
    stand.engine.link.turn()
    stand.engine.sampler.tick(now)
    stand.engine.link.turn()
    sampled = published(stand, "ops.samples")[0].data
    assert isinstance(sampled, StackSampled)
    assert [sample.service for sample in sampled.services][:2] == ["storefront", "customers"]
    assert (sampled.parts["log"], sampled.parts["gateway"], sampled.parts["analytics"]) == (True, False, False)
    assert sampled.memory_bytes == 8 * 20_000_000 + 1
    successor = Stand(stand.settings.home)
    successor.engine.link.turn()
    remembered = successor.engine.sampler._history.last("orders", 10)
    assert [(moment.at, moment.ready) for moment in remembered] == [(now.timestamp(), 1)]
    successor.engine.stop()


def test_old_samples_are_removed_in_due_time(stand: Stand) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=3)
    log = EmbeddedLog(stand.settings.home.log, clock=long_ago.timestamp)
    log.append("ops.samples", [Record(key="stack", value=b"{}")])
    log.close()
    stand.engine.link.turn()
    assert stand.engine.link.log().starts("ops.samples") == [0]
    stand.engine.link._retention_due = 0.0
    stand.engine.link.turn()
    assert stand.engine.link.log().starts("ops.samples") == [1]


def test_a_crash_loop_is_an_incident_until_it_ends(stand: Stand) -> None:
    now = datetime.now(UTC)
    stand.engine.sampler.tick(now)
    stand.runtime.crash("payments", 3)
    stand.engine.sampler.hurry()
    stand.engine.sampler.tick(now + timedelta(seconds=1))
    stand.engine.sampler.tick(now + timedelta(seconds=2))
    [incident] = stand.engine.store.incidents()
    assert (incident.kind, incident.service, incident.resolved_at) == ("crash_loop", "payments", None)
    assert stand.engine.incidents.acknowledge(incident.incident_id, "anna", now).acknowledged_by == "anna"
    with pytest.raises(ActionRefused, match="anna looks after it"):
        stand.engine.incidents.acknowledge(incident.incident_id, "bert", now)
    assert stand.engine.store.incidents()[0].acknowledged_by == "anna"
    stand.engine.incidents.acknowledge(incident.incident_id, "bert", now, take_over=True)
    later = stand.runtime.observe()
    quiet = Snapshot(observation=type(later)(at=later.at + 120, ready=True, groups=later.groups, parts=later.parts))
    stand.engine.incidents.watch(quiet, now + timedelta(seconds=120))
    [incident] = stand.engine.store.incidents()
    assert (incident.resolved_at is not None, incident.acknowledged_by) == (True, "bert")
    with pytest.raises(ActionRefused, match="is over"):
        stand.engine.incidents.acknowledge(incident.incident_id, "anna", now, take_over=True)
    stand.engine.link.turn()
    told = [e.data for e in published(stand, "ops.incidents")]
    taken = [IncidentAcknowledged(incident_id=incident.incident_id, actor=who) for who in ("anna", "bert")]
    assert [type(event) for event in told] == [IncidentOpened, *map(type, taken), IncidentResolved]
    assert told[1:3] == taken


def test_stopped_aggregates_of_a_topic_are_one_incident(stand: Stand) -> None:
    now = datetime.now(UTC)

    def snapshot(number: int) -> Snapshot:
        stopped = tuple(Stopped("orders", "shop.payments", f"o-{n}", "KeyError: 'x'\nmore", 2) for n in range(number))
        return Snapshot(observation=stand.runtime.observe(), reports={"orders": Report(0.0, stopped)})

    stand.engine.incidents.watch(snapshot(1), now)
    stand.engine.incidents.watch(snapshot(300), now)
    [incident] = stand.engine.store.incidents()
    assert incident.summary == (
        "orders stopped o-0 and 299 more: an event of shop.payments cannot be handled (KeyError: 'x'); "
        "600 events wait behind it, the neighbours flow"
    )
    stand.engine.incidents.watch(snapshot(0), now)
    [incident] = stand.engine.store.incidents()
    assert incident.resolved_at == now


def test_a_changed_audit_record_is_found(stand: Stand) -> None:
    for replicas in (2, 3):
        until(settled(stand, stand.engine.performer.scale("orders", ScaleRequest(replicas, "load", force=True), ANNA)))
    assert stand.engine.store.broken_link() is None
    with sqlite3.connect(stand.settings.home.operations_store) as other:
        other.execute("update audit set actor = 'nobody' where number = 1")
    assert stand.engine.store.broken_link() == 1


@pytest.mark.parametrize("goodbye", ["signal", "channel"])
def test_the_process_answers_and_leaves(stand: Stand, free_port: int, goodbye: str) -> None:
    settings = Settings(home=stand.settings.home, ports={"operations": free_port})
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run_operations, args=(settings, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(20)
        assert ours.recv() == ("ready", True)
        address = f"http://127.0.0.1:{free_port}"
        assert httpx.get(f"{address}/readyz").status_code == 200
        with OperationsClient(address, stand.token("viewer")) as client:
            assert "no supervisor answers" in client.stack().services[0].because
        assert process.pid is not None
        if goodbye == "signal":
            os.kill(process.pid, signal.SIGTERM)
        else:
            ours.close()
        process.join(10)
        assert process.exitcode is not None
    finally:
        process.kill()
        process.join()


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
