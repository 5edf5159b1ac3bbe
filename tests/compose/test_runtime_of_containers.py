"""The runtime of containers keeps every promise (tests/contracts/runtime_promises.py)."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from shop_stack.errors import NotRunning
from shop_stack.mesh.envoy import EnvoyFiles
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.settings import Home
from tests.compose.project import Project, until
from tests.contracts.runtime_promises import RuntimePromises


@dataclass(frozen=True)
class Containers:
    """The runtime of a Compose project, reached as this machine's root reaches its volumes and networks."""

    project: Project

    @property
    def runtime(self) -> SupervisorRuntime:
        folder = self.project.volume("runtime")
        return SupervisorRuntime(Home(folder, sockets=folder))

    @property
    def socket(self) -> Path:
        return self.project.volume("runtime") / "supervisor.sock"

    @property
    def mesh(self) -> EnvoyFiles:
        return EnvoyFiles(self.project.volume("mesh"))

    @property
    def door(self) -> str:
        return self.project.inside("trial")

    @property
    def inner_door(self) -> str:
        return self.project.inside("mesh")

    def pid(self, replica: str) -> int:
        asked = ["docker", "inspect", "-f", "{{.State.Pid}}", replica]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        return int(done.stdout) if done.returncode == 0 else 0

    def kill_runtime(self) -> None:
        (killed,) = self.project.of("runtime")
        self.project.kill("runtime")
        before = killed["State"]["StartedAt"]
        until(lambda: self.project.of("runtime")[0]["State"]["StartedAt"] != before, 60)
        until(self._answers, 60)

    def _answers(self) -> bool:
        try:
            return bool(self.runtime.observe().groups)
        except NotRunning:
            return False


@pytest.fixture(scope="module")
def trial(project: Project) -> Containers:
    """The project's runtime."""
    return Containers(project)


class TestContainers(RuntimePromises):
    """The suite, over containers."""
