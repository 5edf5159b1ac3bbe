"""The unmodified compose.yaml, up as a project of its own, and what its tests ask of it."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop_stack.runtime.ports import choose_ports

ROOT = Path(__file__).parent.parent.parent
NAME = os.environ.get("COMPOSE_PROJECT_NAME", "shopfloor-test")
INSIDE = {
    "trial": ("gateway", 8084),
    "mesh": ("gateway", 8085),
    "operations": ("operations", 8081),
    "provider": ("provider", 8083),
}
UP_S = 420


@dataclass(frozen=True)
class Project:
    """A running project. Ports are the published ones, `version` is the image's tag."""

    gateway: int
    dashboard: int
    version: str = "0.1.0"

    @property
    def environment(self) -> dict[str, str]:
        """What Compose is told beside the file."""
        ports = {"GATEWAY_PORT": str(self.gateway), "DASHBOARD_PORT": str(self.dashboard)}
        return os.environ | ports | {"COMPOSE_PROJECT_NAME": NAME, "SHOPFLOOR_VERSION": self.version}

    def compose(self, *words: str, timeout_s: float = 300.0, check: bool = True) -> str:
        """`docker compose WORDS`; its standard output."""
        return self.run("docker", "compose", *words, timeout_s=timeout_s, check=check)

    def run(self, *words: str, timeout_s: float = 300.0, check: bool = True) -> str:
        """A command of the host; its standard output."""
        done = subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True,
                              text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)  # fmt: skip
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stderr[-3000:]}"
        return done.stdout

    def shopfloor(self, *words: str, timeout_s: float = 300.0, check: bool = True) -> str:
        """A command in a console container of its own."""
        return self.compose("run", "--rm", "-T", "console", "shopfloor", *words, timeout_s=timeout_s, check=check)

    def in_a_terminal(self, *words: str) -> str:
        """`docker compose WORDS` as a line for a shell, with what Compose is told beside the file."""
        told = ("GATEWAY_PORT", "DASHBOARD_PORT", "COMPOSE_PROJECT_NAME", "SHOPFLOOR_VERSION")
        given = [f"{name}={self.environment[name]}" for name in told]
        return shlex.join(["env", "-C", str(ROOT), *given, "docker", "compose", *words])

    def load(self, rate: float, seconds: float) -> "subprocess.Popen[str]":
        """Orders alone, in the background; ends with a report in JSON on its standard output."""
        words = ["run", "--rm", "-T", "console", "shopfloor", "load", "--orders-only", "--rate", str(rate)]
        return subprocess.Popen(["docker", "compose", *words, "--for", f"{seconds:g}s", "--json"], cwd=ROOT, text=True,
                                env=self.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)  # fmt: skip

    def containers(self) -> list[dict[str, Any]]:
        """Every container that Compose lists, inspected."""
        ids = self.compose("ps", "-a", "-q").split()
        return inspected(ids)

    def of(self, service: str) -> list[dict[str, Any]]:
        """The running containers of a service, in the order of their numbers."""
        label = "com.docker.compose.container-number"
        found = inspected(self.compose("ps", "-q", service).split())
        return sorted(found, key=lambda one: int(one["Config"]["Labels"][label]))

    def inside(self, part: str) -> str:
        """A part's address on the network without a way out, where this machine alone reaches it."""
        service, port = INSIDE[part]
        networks = self.of(service)[0]["NetworkSettings"]["Networks"]
        return f"http://{networks[f'{NAME}_inside']['IPAddress']}:{port}"

    def volume(self, name: str) -> Path:
        """A volume's folder, which this machine's root alone may enter."""
        asked = ["docker", "volume", "inspect", "-f", "{{.Mountpoint}}", f"{NAME}_{name}"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
        return Path(done.stdout.strip())

    def kill(self, service: str) -> None:
        """kill -9 of the first process of a service's first container, as a fault would: Docker starts it again."""
        os.kill(self.pid(service), 9)

    def pid(self, service: str) -> int:
        """The first process of a service's first container, as this machine knows it."""
        return int(self.of(service)[0]["State"]["Pid"])

    def audit(self) -> dict[str, Any]:
        """The strict audit's report, run where operations runs."""
        done = self.compose("exec", "-T", "operations", "shopfloor", "audit", "--json", check=False)
        report: dict[str, Any] = json.loads(done)
        return report


@contextmanager
def from_nothing() -> Iterator[Project]:
    """A project on free ports that is not started yet; what it had before, and has in the end, is forgotten."""
    ports = choose_ports({})
    project = Project(ports["gateway"], ports["dashboard"])
    project.compose("down", "-v", "--timeout", "1")
    try:
        yield project
    finally:
        project.compose("down", "-v", "--timeout", "5", check=False)


def inspected(ids: list[str]) -> list[dict[str, Any]]:
    """`docker inspect` of these; one that is gone by then is left out."""
    if not ids:
        return []
    done = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "No such object" in done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def until(holds: Callable[[], Any], patience_s: float, every_s: float = 0.5) -> Any:
    """The first true answer; fails when none comes in time."""
    deadline = time.monotonic() + patience_s
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {patience_s:g} s"
        time.sleep(every_s)
    return answer
