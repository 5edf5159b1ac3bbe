"""The whole stack on the embedded log: scaled and wounded under load, no request fails and no order is lost."""

from pathlib import Path

import pytest

from tests import needs
from tests.stack.ordeal import running_shop, undergo

pytestmark = pytest.mark.real


def test_no_order_is_lost_while_replicas_come_go_and_die(tmp_path: Path) -> None:
    needs.envoy()
    with running_shop(tmp_path / "home", "embedded:") as home:
        undergo(home)
