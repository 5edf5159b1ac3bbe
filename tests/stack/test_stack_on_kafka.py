"""The whole stack on a real Kafka broker: scaled and wounded under load, no request fails and no order is lost."""

from pathlib import Path

import pytest

from tests import needs
from tests.brokers import Broker
from tests.stack.ordeal import running_shop, undergo

pytestmark = pytest.mark.real


def test_no_order_is_lost_while_replicas_come_go_and_die(kafka_broker: Broker, tmp_path: Path) -> None:
    needs.envoy()
    with running_shop(tmp_path / "home", f"kafka://{kafka_broker.address}") as home:
        undergo(home)
