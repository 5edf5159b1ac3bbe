"""Budgets that burn: counted from what the gateway saw, an incident by edges, with what changed shortly before."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shop_stack.access import Principal
from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import Origin, PriceChanged, RecordParked
from shop_stack.ids import uuid7
from shop_stack.operations import changes
from shop_stack.operations.burning import Burning, above
from shop_stack.operations.history import Moment
from shop_stack.operations.model import IncidentView, ScaleRequest
from shop_stack.operations.sampling import Snapshot
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded
START = datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(make_home(tmp_path / "home"))
    stand.engine.link.turn()
    yield stand
    stand.engine.stop()


class Clock:
    """Lets minutes pass in which orders answers so many requests, so many of them with an error, so slowly."""

    def __init__(self, stand: Stand, burning: Burning | None = None) -> None:
        self.stand, self.now = stand, START
        self.burning = burning or stand.engine.burning

    def minutes(self, number: int, failed: int = 0, ms: float = 20.0, requests: int = 100) -> None:
        for _ in range(number):
            for _ in range(2):
                self.now += timedelta(seconds=30)
                bins = {(ms, ms + 1): requests // 2}
                moment = Moment(self.now.timestamp(), 30.0, requests / 2, failed / 2, 0, 1, 0.1, latencies=bins)
                self.stand.engine.views.history.add("orders", moment)
                snapshot = Snapshot(observation=self.stand.runtime.observe())
                self.burning.observe(snapshot, self.now)
                self.stand.engine.incidents.watch(snapshot, self.now)

    def incidents(self) -> list[IncidentView]:
        return self.stand.engine.store.incidents()


def test_an_outage_opens_an_incident_and_its_end_closes_it(stand: Stand) -> None:
    clock = Clock(stand)
    clock.minutes(60)
    assert clock.incidents() == []
    clock.minutes(15, failed=100)
    [incident] = clock.incidents()
    assert (incident.kind, incident.service, incident.resolved_at) == ("objective_availability", "orders", None)
    assert "promised: 99% answered without an error" in incident.summary
    assert incident.summary.endswith("nothing that is recorded changed in the 15 minutes before")
    assert timedelta(minutes=68) < incident.opened_at - START < timedelta(minutes=72)
    clock.minutes(7)
    [incident] = clock.incidents()
    assert incident.resolved_at is not None
    clock.minutes(3)
    assert len(clock.incidents()) == 1


def test_slowness_burns_a_budget_of_its_own(stand: Stand) -> None:
    clock = Clock(stand)
    clock.minutes(60, ms=5000.0)
    assert [one.kind for one in clock.incidents()] == ["objective_latency"]
    views = {(one.service, one.kind): one for one in stand.engine.burning.views(clock.now)}
    slow, available = views["orders", "latency"], views["orders", "availability"]
    assert slow.burns
    assert slow.budget_left < 1.0
    assert slow.burn_rates["5"] == pytest.approx(20.0, rel=0.3)
    assert (available.burns, available.budget_left) == (False, 1.0)


def test_the_incident_says_what_changed_before_and_keeps_its_words(stand: Stand) -> None:
    clock = Clock(stand)
    clock.minutes(60)
    stand.engine.performer.scale("orders", ScaleRequest(replicas=2, reason="more"), Principal("anna", "operator"), None)
    log = stand.engine.link.log()
    origin = Origin(topic="shop.orders", partition=0, position=1, key="o", event_id="e")
    parked = RecordParked(consumer="payments", origin=origin, headers={}, value=None, reason="KeyError", error="x",
                          attempts=5)  # fmt: skip
    for event, key in ((PriceChanged(product_id="p", list_price_minor=2, previous_minor=1), "p"), (parked, "e")):
        envelope = Envelope(id=uuid7(clock.now), source="/x", subject=key, time=clock.now, data=event)
        log.append(event.topic.name, [Record(key, encode(envelope)), Record(key, b"{no json")])
    until(lambda: stand.engine.store.actions(1)[0].state == "applied")
    found = changes.Changes(stand.engine.store.since(START - timedelta(days=1)), changes.read_events(log, START))
    words = changes.in_words(found, stand.engine.stack.zone)
    assert "orders scaled 1 -> 2 by anna" in words
    assert "1 price changed, the last at " in words
    assert "1 dead letter of payments from " in words
    assert "the log does not answer" in changes.in_words(changes.Changes([], None), stand.engine.stack.zone)


def test_a_restart_of_operations_keeps_the_minutes_and_the_open_incident(stand: Stand) -> None:
    clock = Clock(stand)
    clock.minutes(60)
    clock.minutes(15, failed=100)
    [before] = clock.incidents()
    engine = stand.engine
    again = Burning(engine.stack, engine.views.history, engine.store, lambda _: changes.Changes([], None))
    assert [trouble.summary for trouble in again.troubles()] == [before.summary]
    kept = {one.service: one.minutes for one in again.views(clock.now)}
    assert kept["orders"] == 75


def test_a_bin_that_the_limit_cuts_is_shared_out() -> None:
    assert above({(0, 10): 5, (90, 110): 8, (200, 220): 3}, 100) == 4 + 3
