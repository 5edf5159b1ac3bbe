"""Fixtures that several tiers share: one Kafka broker a run, an embedded log a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

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


class ByFile(LoadScopeScheduling):
    """A file's tests stay with one worker, which makes what they share once; what needs the broker is one file here.

    xdist 3.8 writes its own groups into node ids where pytest 9.2 does not read them: each test was a group by itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "kafka" if "event_log" in path or "log_repair" in path else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """However the workers were asked to share."""
    return ByFile(config, log)
