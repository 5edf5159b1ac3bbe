"""Operations on a real Kafka broker: samples and actions arrive, and its absence is said and survived."""

import time
from collections.abc import Iterator

import pytest

from shop_stack.envelope import decode
from shop_stack.events import ActionApplied, ActionRequested, StackSampled
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import TailEvent
from tests import needs
from tests.brokers import Broker, running_broker
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of its own: it is stopped on the way."""
    with running_broker(tmp_path_factory.mktemp("kafka"), needs.kafka()) as broker:
        yield broker


@pytest.fixture(scope="module")
def stand(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    home = make_home(tmp_path_factory.mktemp("home"))
    stand = Stand(home, log_url=f"kafka://{broker.address}")
    with stand.served():
        until(lambda: stand.engine.link.down_because is None, 30)
        yield stand


def kinds(stand: Stand, topic: str) -> list[type]:
    return [type(decode(record.value).data) for record in stand.engine.link.log().read(topic, 0, 0)]


def log_part(client: OperationsClient) -> tuple[bool, str]:
    part = next(part for part in client.stack().parts if part.name == "log")
    return part.up, part.because


def test_samples_actions_and_the_tail(stand: Stand) -> None:
    until(lambda: StackSampled in kinds(stand, "ops.samples"), 20)
    with stand.client() as client:
        action_id = client.scale("orders", 2, "load")
        for event in client.events(topic="ops.actions"):
            assert isinstance(event, TailEvent)
            assert event.subject == action_id
            break
        until(lambda: kinds(stand, "ops.actions") == [ActionRequested, ActionApplied], 20)
        assert client.consumer_groups() == []


def test_a_dead_broker_is_said_and_nothing_is_lost(stand: Stand, broker: Broker) -> None:
    before = len(kinds(stand, "ops.actions"))
    broker.stop()
    with stand.client() as client:
        until(lambda: not log_part(client)[0], 40)
        assert log_part(client)[1]
        began = time.monotonic()
        action_id = client.scale("payments", 2, "while the log is down")
        until(lambda: client.action(action_id).state == "applied")
        assert time.monotonic() - began < 5, "an action does not wait for the log"
        broker.start()
        until(lambda: log_part(client)[0], 60)
        until(lambda: len(kinds(stand, "ops.actions")) >= before + 2, 30)
