"""A group without a ready replica is an incident within seconds, and says what was done shortly before."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shop_stack.access import Principal
from shop_stack.operations.changes import Changes
from shop_stack.operations.incidents import Incidents
from shop_stack.operations.model import IncidentView, ScaleRequest
from shop_stack.operations.outages import PATIENCE, Outages
from shop_stack.operations.sampling import Snapshot
from shop_stack.operations.stuck import Causes
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded
START = datetime.now(UTC)


class Watch:
    """Looks at the stack when told to, as the sampler does; `at` is in seconds from the start."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        engine = stand.engine
        self.outages = Outages(engine.stack.zone, engine.store, lambda since: Changes(engine.store.since(since), []))
        causes = Causes(engine.stack.zone, engine.stack.currency, engine.views.topology.groups)
        self.incidents = Incidents(engine.store, engine.views.projection, causes, self.outages.troubles)

    def look(self, at: float, error: str = "") -> list[IncidentView]:
        now = START + timedelta(seconds=at)
        snapshot = Snapshot(observation=self.stand.runtime.observe(), runtime_error=error)
        self.outages.observe(snapshot, now)
        self.incidents.watch(snapshot, now)
        return self.stand.engine.store.incidents()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(make_home(tmp_path / "home"))
    made.engine.link.turn()
    yield made
    made.engine.stop()


def test_a_service_that_was_scaled_away_is_an_incident_with_who_did_it(stand: Stand) -> None:
    watch = Watch(stand)
    assert watch.look(0) == []
    wanted = ScaleRequest(replicas=0, reason="to see what happens", confirm_zero=True)
    stand.engine.performer.scale("inventory", wanted, Principal("anna", "operator"), None)
    until(lambda: stand.runtime.groups["inventory"].desired == 0)
    assert watch.look(1) == []
    assert watch.look(1 + PATIENCE.total_seconds() / 2) == []
    [incident] = watch.look(1 + PATIENCE.total_seconds())
    assert (incident.kind, incident.service, incident.resolved_at) == ("no_replica", "inventory", None)
    assert "no replica of inventory is ready since " in incident.summary
    assert "none is wanted" in incident.summary
    assert "inventory scaled 1 -> 0 by anna" in incident.summary
    assert watch.look(60, error="the supervisor does not answer") == [incident]
    stand.runtime.scale("inventory", 1)
    [over] = watch.look(70)
    assert over.resolved_at is not None
    assert watch.look(500) == [over]


def test_an_open_outage_keeps_its_words_over_a_restart_of_operations(stand: Stand) -> None:
    stand.runtime.scale("orders", 0)
    before = Watch(stand)
    before.look(0)
    [incident] = before.look(20)
    again = Watch(stand)
    assert again.look(21) == again.look(40) == [incident]
    stand.runtime.scale("orders", 2)
    assert again.look(41)[0].resolved_at is not None
