"""Fixtures that several tiers share: one Kafka broker a run, an embedded log a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_stack.eventlog.embedded import EmbeddedLog
from tests import needs
from tests.brokers import Broker, running_broker
from tests.postgres_server import PostgresServer, running_postgres

pytest.register_assert_rewrite("tests.contracts.runtime_promises")


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Apache Kafka broker, started when the first test asks for it and stopped after the last."""
    with running_broker(tmp_path_factory.mktemp("kafka"), needs.kafka()) as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, started when the first test asks for it and stopped after the last."""
    with running_postgres(needs.postgres()) as server:
        yield server


@pytest.fixture
def embedded_log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """An empty embedded log."""
    with EmbeddedLog(tmp_path / "log") as log:
        yield log


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers share the tests by file; what needs the broker stays with one of them: one broker a run."""
    for item in items:
        needs_broker = "event_log" in item.path.name or "log_repair" in item.path.name
        item.add_marker(pytest.mark.xdist_group("kafka" if needs_broker else str(item.path)))
