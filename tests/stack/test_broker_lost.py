"""A broker that lost its data: noticed while the stack runs, refused, and the next `up` rebuilds the log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.client import QuestionsClient
from shop_stack.errors import NotRunning
from shop_stack.eventlog.belonging import note_log, note_rebuild, noted_log, noted_rebuild
from shop_stack.eventlog.interface import Record
from shop_stack.eventlog.kafka import KafkaLog
from shop_stack.eventlog.loss import ids_of
from shop_stack.events import SAMPLES, TOPICS
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.home_lock import holder
from shop_stack.runtime.repairing import outboxes_of, repair_at_start
from shop_stack.settings import Home, Settings, read_endpoints
from tests import needs
from tests.brokers import Broker, running_broker
from tests.stack.command import shopfloor, shopfloor_json
from tests.stack.gateway_bench import until
from tests.stack.ordeal import PATIENCE_S, orders_by_state, running_shop

pytestmark = pytest.mark.real
LOAD = ("load", "--orders-only", "--rate", "5", "--for", "3s", "--seed")
NOTICED_S = 60.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One of its own: it loses its data."""
    with running_broker(tmp_path / "broker", needs.kafka()) as running:
        yield running


def test_up_rebuilds_a_log_whose_broker_lost_its_data(broker: Broker, tmp_path: Path) -> None:
    needs.envoy()
    with running_shop(tmp_path / "home", f"kafka://{broker.address}") as home:
        placed = shopfloor_json(*LOAD, "1", home=home)["orders_placed"]
        assert placed > 5
        wanted = until(lambda: found if (found := orders_by_state(home))["open"] == 0 else None, PATIENCE_S)
        first = noted_log(home)
        broker.stop()
        broker.format()
        broker.start()
        until(lambda: "has lost its data" in (halted(home) or ""), NOTICED_S)
        shopfloor("down", home=home)
        assert noted_log(home) == first
        said = " ".join(shopfloor("up", "--detach", "--log", f"kafka://{broker.address}", home=home).split())
        assert "events were missing from it and are sent again from the outboxes" in said, said
        assert f"of {SAMPLES.name}" in said.partition("lost with the old log")[2], said
        assert len(list(home.path.glob("analytics-until-*/warehouse.duckdb"))) == 1
        until(lambda: SupervisorRuntime(home).observe().ready, PATIENCE_S)
        until(lambda: +orders_by_state(home) == +wanted, PATIENCE_S)
        report = shopfloor_json(*LOAD, "2", home=home)
        assert (report["failed_requests"], report["orders_open"]) == (0, 0)
        audit = shopfloor_json("audit", home=home)
        assert {one["status"] for one in audit["invariants"]} == {"ok"}, audit
        shopfloor("down", home=home)
        assert_log_has_every_event(home, broker)


def test_a_broker_with_events_of_another_shop_is_refused_and_gets_nothing(broker: Broker, tmp_path: Path) -> None:
    needs.envoy()
    address = f"kafka://{broker.address}"
    emptied, foreign = Home(tmp_path / "emptied"), Home(tmp_path / "foreign")
    note_log(emptied, "kafka-gone-1")
    note_log(foreign, "kafka-elsewhere-1")
    assert repair_at_start(Settings(home=emptied, log_url=address), print) is not None
    with KafkaLog(broker.address, known=noted_log(emptied)) as log:
        log.append("shop.orders", [Record("o1", b"{}")])
        before = {topic: log.ends(topic) for topic in TOPICS}
        with pytest.raises(AssertionError, match=r"up --detach .*: 2: shopfloor: .* holds the events of another shop"):
            shopfloor("up", "--detach", "--log", address, home=foreign)
        assert {topic: log.ends(topic) for topic in TOPICS} == before
        assert noted_log(foreign) == "kafka-elsewhere-1"
        assert holder(foreign) is None
        note_log(foreign, "kafka-elsewhere-1")
        note_rebuild(foreign, log.log_id)  # as a start that was killed while it sent has left it
        assert repair_at_start(Settings(home=foreign, log_url=address), print) is not None
        assert (noted_log(foreign), noted_rebuild(foreign)) == (log.log_id, None)


def halted(home: Home) -> str | None:
    """Why analytics halted, as its answers say; None while it goes on or does not answer."""
    token = home.token("operator").read_text().strip()
    with QuestionsClient(read_endpoints(home).gateway, token) as client:
        try:
            why: str | None = client.ask("freshness").watermark["halted"]
        except NotRunning:
            return None
    return why


def assert_log_has_every_event(home: Home, broker: Broker) -> None:
    with KafkaLog(broker.address, known=noted_log(home)) as log:
        for topic in TOPICS:
            decided = {row.id for outbox in outboxes_of(Settings(home=home)) for row in outbox.all_of(topic)}
            assert decided <= ids_of(log, topic)
