"""`shopfloor up` against what can go wrong before it: strangers who want its ports, and a log that lost its tail."""

import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.loss import ids_of
from shop_stack.events import TOPICS
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.repairing import outboxes_of
from shop_stack.settings import Home, Settings, read_endpoints
from tests import needs
from tests.stack.command import shopfloor, shopfloor_json
from tests.stack.gateway_bench import until
from tests.stack.ordeal import PATIENCE_S, orders_by_state, running_shop

pytestmark = pytest.mark.real
UP = ("up", "--detach", "--port", "0", "--delivery-seconds", "1")
LOAD = ("load", "--orders-only", "--rate", "5", "--for", "3s", "--seed")


class Strangers:
    """Servers that want every port of a home, from the moment it is known until all are ready."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.attempts = 0
        self.got: list[socket.socket] = []

    def __enter__(self) -> "Strangers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for server in self.got:
            server.close()

    def _run(self) -> None:
        while not self._home.endpoints.exists() and not self._over.is_set():
            self._over.wait(0.001)
        addresses = read_endpoints(self._home)
        ports = [int(getattr(addresses, part).rpartition(":")[2]) for part in ("gateway", "trial", "mesh", "operations",
                                                                              "analytics", "provider")]  # fmt: skip
        while not self._over.wait(0.001):
            for port in ports:
                self._want(port)

    def _want(self, port: int) -> None:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.attempts += 1
        try:
            server.bind(("127.0.0.1", port))
            server.listen()
        except OSError:
            server.close()
        else:
            self.got.append(server)


def test_no_stranger_gets_a_port_between_its_choice_and_its_use(tmp_path: Path) -> None:
    needs.envoy()
    home = Home(tmp_path / "home")
    try:
        with Strangers(home) as strangers:
            shopfloor(*UP, "--topology", "monolith", home=home)
        assert strangers.got == []
        assert strangers.attempts > 100
        assert SupervisorRuntime(home).observe().ready
    finally:
        shopfloor("down", home=home)


def test_up_repairs_a_log_that_lost_its_tail_and_everything_goes_on(tmp_path: Path) -> None:
    needs.envoy()
    with running_shop(tmp_path / "home", "embedded:") as home:
        shopfloor(*LOAD, "1", home=home)
        subprocess.run(["cp", "-r", str(home.log / "topics"), str(tmp_path / "older")], check=True)
        placed = shopfloor_json(*LOAD, "2", home=home)["orders_placed"]
        assert placed > 5
        wanted = until(lambda: found if (found := orders_by_state(home))["open"] == 0 else None, PATIENCE_S)
        shopfloor("down", home=home)
        lose_what_came_after(tmp_path / "older", home)
        said = shopfloor(*UP, home=home)
        assert "published events were missing from it and are sent again" in " ".join(said.split())
        until(lambda: SupervisorRuntime(home).observe().ready, PATIENCE_S)
        assert orders_by_state(home) == wanted
        report = shopfloor_json(*LOAD, "3", home=home)
        assert (report["failed_requests"], report["orders_open"]) == (0, 0)
        wanted["completed"] += report["orders_completed"]
        wanted["rejected"] += report["orders_rejected"]
        wanted["cancelled"] += report["orders_cancelled"]
        until(lambda: +orders_by_state(home) == +wanted, PATIENCE_S)
        shopfloor("down", home=home)
        assert_log_has_every_event(home)


def lose_what_came_after(older: Path, home: Home) -> None:
    """Put older topic files back; the notes of their ends stay as they were."""
    for path in (home.log / "topics").iterdir():
        if path.suffix != ".ends":
            path.unlink()
    for path in older.iterdir():
        if path.suffix != ".ends":
            shutil.copy(path, home.log / "topics")


def assert_log_has_every_event(home: Home) -> None:
    with EmbeddedLog(home.log) as log:
        for topic in TOPICS:
            decided = {row.id for outbox in outboxes_of(Settings(home=home)) for row in outbox.all_of(topic)}
            assert decided <= ids_of(log, topic)
