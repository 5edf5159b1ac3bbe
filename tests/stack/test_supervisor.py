"""The supervisor with the whole stack: scaled, wounded, killed and recovered, while requests go on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.home_lock import holder
from shop_stack.runtime.interface import Observation
from shop_stack.settings import Home, read_endpoints
from tests import needs
from tests.stack.gateway_bench import until

pytestmark = pytest.mark.real
PATIENCE_S = 90.0


def shopfloor(home: Home, command: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the real command."""
    line = [sys.executable, "-m", "shop_stack", command, "--home", str(home.path), *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)


def start(home: Home) -> dict[str, Any]:
    done = shopfloor(home, "up", "--detach", "--json", "--port", "0", "--topology", "hybrid")
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    needs.envoy()
    home = Home(tmp_path_factory.mktemp("a-home-folder-with-a-name-that-no-socket-address-would-hold" * 2))
    started = start(home)
    assert started["ready"] is True
    yield home
    if holder(home) is not None:
        assert shopfloor(home, "down").returncode == 0
    assert processes_of(home) == []


@pytest.fixture
def runtime(home: Home) -> SupervisorRuntime:
    runtime = SupervisorRuntime(home)
    until(lambda: runtime.observe().ready, PATIENCE_S)
    return runtime


def processes_of(home: Home) -> list[list[str]]:
    """The command lines of every process that was started for this home, by environment or working folder."""
    found = []
    for process in running_for(home):
        with contextlib.suppress(psutil.Error):
            found.append(process.cmdline())
    return found


def running_for(home: Home) -> list[psutil.Process]:
    """Those processes."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            settings = process.environ().get("SHOPFLOOR_SETTINGS", "")
            if str(home.path) in settings or process.cwd().startswith(str(home.path)):
                found.append(process)
        except psutil.Error:
            continue
    return found


class Callers:
    """Keep asking the catalog through the gateway, an address each, and note every answer."""

    def __init__(self, home: Home) -> None:
        self._url = f"{read_endpoints(home).trial}/v1/products"
        self._over = threading.Event()
        self.statuses: list[int] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with httpx.Client(timeout=10, trust_env=False) as client:
            while not self._over.is_set():
                headers = {"x-forwarded-for": f"198.51.100.{len(self.statuses) % 250}"}
                self.statuses.append(client.get(self._url, headers=headers).status_code)
                self._over.wait(0.01)


def replica_pids(seen: Observation, group: str) -> dict[str, int]:
    return {one.name: one.pid for found in seen.groups if found.name == group for one in found.replicas}


def part_pid(seen: Observation, name: str) -> int:
    return next(part.pid for part in seen.parts if part.name == name) or 0


def test_status_says_what_runs(home: Home, runtime: SupervisorRuntime) -> None:
    done = shopfloor(home, "status", "--json", "--memory")
    status = json.loads(done.stdout)
    assert (done.returncode, status["ready"]) == (0, True)
    assert status["address"].startswith("http://127.0.0.1:")
    assert {service["name"]: (service["ready"], service["desired"]) for service in status["services"]} == dict.fromkeys(
        ["storefront", "customers", "catalog", "inventory", "orders", "shipping", "payments", "recommendations"], (1, 1)
    )
    assert all(psutil.pid_exists(one["pid"]) for service in status["services"] for one in service["replicas"])
    assert 50e6 < status["memory"]["total_pss_bytes"] < 900e6
    assert "storefront" in shopfloor(home, "status").stdout


def test_a_second_up_says_who_has_the_home(home: Home, runtime: SupervisorRuntime) -> None:
    done = shopfloor(home, "up", "--detach")
    assert done.returncode == 4
    assert f"pid {holder(home)}" in done.stderr
    assert read_endpoints(home).gateway in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_private_is_private(home: Home, runtime: SupervisorRuntime) -> None:
    for path in (home.supervisor_socket, home.token("operator"), home.mesh / "admin.sock"):
        assert path.stat().st_mode & 0o077 == 0, path
    listening = {
        connection.laddr.ip
        for process in running_for(home)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_scaling_out_and_in_fails_no_request(home: Home, runtime: SupervisorRuntime) -> None:
    with Callers(home) as callers:
        runtime.scale("core", 3)
        assert sorted(replica_pids(runtime.observe(), "core")) == ["core-1", "core-2", "core-3"]
        runtime.scale("core", 1)
        assert list(replica_pids(runtime.observe(), "core")) == ["core-1"]
    assert set(callers.statuses) == {200}
    assert len(callers.statuses) > 20


def test_restarting_in_turn_fails_no_request(home: Home, runtime: SupervisorRuntime) -> None:
    before = replica_pids(runtime.observe(), "core")
    with Callers(home) as callers:
        runtime.restart("core")
    after = replica_pids(runtime.observe(), "core")
    assert len(after) == 1
    assert set(after.values()).isdisjoint(before.values())
    assert set(callers.statuses) == {200}


def test_a_killed_replica_comes_back_and_says_why(home: Home, runtime: SupervisorRuntime) -> None:
    killed = replica_pids(runtime.observe(), "payments")["payments-1"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: replica_pids(runtime.observe(), "payments")["payments-1"] not in (killed, 0), PATIENCE_S)
    until(lambda: runtime.observe().ready, PATIENCE_S)
    replica = next(one for group in runtime.observe().groups if group.name == "payments" for one in group.replicas)
    assert replica.restarts == 1


@pytest.mark.parametrize("part", ["gateway", "analytics", "provider", "operations"])
def test_a_killed_part_comes_back_at_its_address(home: Home, runtime: SupervisorRuntime, part: str) -> None:
    killed = part_pid(runtime.observe(), part)
    os.kill(killed, signal.SIGKILL)
    until(lambda: part_pid(runtime.observe(), part) not in (killed, 0), PATIENCE_S)
    until(lambda: runtime.observe().ready, PATIENCE_S)
    assert httpx.get(f"{read_endpoints(home).gateway}/v1/products", trust_env=False).status_code == 200


def test_services_outlive_the_fork_server_and_scale_after_it(home: Home, runtime: SupervisorRuntime) -> None:
    before = runtime.observe()
    os.kill(part_pid(before, "forkserver"), signal.SIGKILL)
    until(lambda: not psutil.pid_exists(part_pid(before, "forkserver")))
    assert replica_pids(runtime.observe(), "core") == replica_pids(before, "core")
    runtime.scale("recommendations", 2)
    assert len(replica_pids(runtime.observe(), "recommendations")) == 2
    runtime.scale("recommendations", 1)


def test_bounds_and_names_are_checked(runtime: SupervisorRuntime) -> None:
    with pytest.raises(ActionRefused, match="0 to 8 replicas"):
        runtime.scale("core", 9)
    with pytest.raises(ActionRefused, match="no process group is called 'cellar'"):
        runtime.scale("cellar", 1)
    with pytest.raises(ActionRefused, match="no replica 'core-7'"):
        runtime.restart("core", "core-7")


@pytest.mark.parametrize("replica", ["../secret", "gateway", "core-99", ""])
def test_a_replica_s_name_leads_to_no_file_but_its_own(home: Home, runtime: SupervisorRuntime, replica: str) -> None:
    (home.replica_logs.parent / "secret.log").write_text("a secret\n")
    with (home.replica_logs / "core-1.log").open("a") as file:
        file.write("its own line\n")
    with pytest.raises(ActionRefused, match="has no replica"):
        runtime.logs("core", replica, 5)
    assert runtime.logs("core", "core-1", 1) == ["core-1  its own line"]


def test_logs_are_read_by_service_and_part(home: Home, runtime: SupervisorRuntime) -> None:
    home_logs = home.replica_logs / "core-1.log"
    with home_logs.open("a") as file:
        file.write("said \x1b[31mred\n")
    by_service = shopfloor(home, "logs", "catalog", "--lines", "5")
    assert "said �[31mred" in by_service.stdout
    assert shopfloor(home, "logs", "gateway").returncode == 0
    unknown = shopfloor(home, "logs", "cellar")
    assert unknown.returncode == 5
    assert "cellar" in unknown.stderr


def kill_supervisor(home: Home) -> None:
    os.kill(holder(home) or 0, signal.SIGKILL)


def test_after_kill_9_of_the_supervisor_nothing_is_orphaned_and_up_recovers(
    home: Home, runtime: SupervisorRuntime
) -> None:
    runtime.scale("recommendations", 2)
    addresses = read_endpoints(home)
    kill_supervisor(home)
    with pytest.raises(NotRunning, match="shopfloor up"):
        runtime.observe()
    again = start(home)
    assert again["ready"] is True
    assert read_endpoints(home) == addresses
    desired = {service["name"]: service["ready"] for service in again["services"]}
    assert (desired["recommendations"], desired["payments"]) == (2, 1)
    kill_supervisor(home)
    until(lambda: processes_of(home) == [], 30)
    start(home)


def test_down_leaves_nothing(home: Home, runtime: SupervisorRuntime) -> None:
    assert len(processes_of(home)) > 5
    assert shopfloor(home, "down").returncode == 0
    assert processes_of(home) == []
    assert not home.endpoints.exists()
    assert shopfloor(home, "status").returncode == 3


def test_ctrl_c_in_the_foreground_stops_cleanly(tmp_path: Path) -> None:
    needs.envoy()
    home = Home(tmp_path / "home")
    line = [sys.executable, "-m", "shop_stack", "up", "--home", str(home.path), "--port", "0", "--topology", "monolith"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(_ready(home), PATIENCE_S)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "shopfloor console" in said
    assert "Traceback" not in said
    assert processes_of(home) == []


def _ready(home: Home) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            return SupervisorRuntime(home).observe().ready
        except NotRunning:
            return False

    return ready
