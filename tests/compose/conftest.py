"""One project for all tests of this folder: made from nothing, taken down with its volumes at the end.

With SHOPFLOOR_COMPOSE_UP=1 a project that is up already (COMPOSE_PROJECT_NAME, GATEWAY_PORT) is used and left as it is.
"""

import os
from collections.abc import Iterator

import pytest

from tests import needs
from tests.compose.project import UP_S, Project, from_nothing


@pytest.fixture(scope="session")
def project() -> Iterator[Project]:
    """The demo, up and healthy."""
    needs.docker()
    if os.environ.get("SHOPFLOOR_COMPOSE_UP") == "1":
        yield Project(int(os.environ["GATEWAY_PORT"]), int(os.environ["DASHBOARD_PORT"]))
        return
    with from_nothing() as running:
        running.compose("build", "--quiet", timeout_s=900)
        try:
            running.compose("up", "-d", "--wait", timeout_s=UP_S)
            yield running
        finally:
            print(running.compose("logs", "--no-color", "--tail", "5", check=False)[-6000:])
