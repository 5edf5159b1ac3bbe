"""The runtime of processes keeps every promise (tests/contracts/runtime_promises.py)."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shop_stack.mesh.envoy import EnvoyFiles, envoy_files
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.home_lock import holder
from shop_stack.settings import Home, read_endpoints
from tests import needs
from tests.contracts.runtime_promises import RuntimePromises
from tests.contracts.runtime_watch import until
from tests.stack.command import shopfloor

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Processes:
    """A supervisor with processes of this machine."""

    home: Home

    @property
    def runtime(self) -> SupervisorRuntime:
        return SupervisorRuntime(self.home)

    @property
    def socket(self) -> Path:
        return self.home.supervisor_socket

    @property
    def mesh(self) -> EnvoyFiles:
        return envoy_files(self.home)

    @property
    def door(self) -> str:
        return read_endpoints(self.home).trial

    @property
    def inner_door(self) -> str:
        return read_endpoints(self.home).mesh

    def pid(self, replica: str) -> int:
        groups = self.runtime.observe().groups
        return next((one.pid for group in groups for one in group.replicas if one.name == replica), 0)

    def kill_runtime(self) -> None:
        killed = holder(self.home)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        until(lambda: holder(self.home) is None)
        shopfloor("up", "--detach", "--port", "0", home=self.home)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A stack of processes, up."""
    needs.envoy()
    home = Home(tmp_path_factory.mktemp("processes") / "home")
    try:
        shopfloor("up", "--detach", "--port", "0", home=home)
        yield Processes(home)
    finally:
        if holder(home) is not None:
            shopfloor("down", home=home)


class TestProcesses(RuntimePromises):
    """The suite, over processes."""
