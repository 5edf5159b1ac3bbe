"""Delivery and pruning run over both engines: the toy's store as a file, and as a database on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.toy_parts import STORES

_BOTH = {
    "test_dead_letters", "test_delivery_idempotency", "test_delivery_inbox", "test_delivery_outbox",
    "test_delivery_timers", "test_delivery_troubles", "test_delivery_turns", "test_pruning",
}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Twice, unless a test is marked as one of SQLite's own."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in _BOTH and "sqlite" not in metafunc.function.__name__:
        metafunc.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Where toy_context puts its store."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield
        return
    settings = request.getfixturevalue("postgres").settings(tmp_path, ["toy"])
    token = STORES.set(settings)
    yield
    STORES.reset(token)
