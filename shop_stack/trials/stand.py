"""A stack on trial: started on a home of its own with short deadlines, loaded, wounded, drained and audited."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from shop_stack.errors import NotRunning, ShopfloorError
from shop_stack.eventlog.opening import open_log
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.home_lock import holder
from shop_stack.runtime.interface import Observation
from shop_stack.runtime.repairing import outboxes_of
from shop_stack.settings import Home, Settings, from_environment, read_endpoints
from shop_stack.stack import read_stack
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.history import add_products

STEP_DEADLINE_S = 5
_COMMAND = (sys.executable, "-m", "shop_stack")
_UP_S, _DOWN_S, _AUDIT_S = 180.0, 60.0, 120.0
_LOOK_S = 0.2
_NEAR_THE_END = 50
DRAIN_S = 20  # four step deadlines: what is still open then waits for a replay, and the audit looks at it later
_STEADY_S = 1.0


class BrokerControl(Protocol):
    """A Kafka broker that the trial may stop and start; its data stays unless formatted."""

    def stop(self) -> None:
        """Stop it and wait for its end."""

    def start(self) -> None:
        """Start it and wait until it answers."""

    def format(self) -> None:
        """Throw its data away, while it is stopped."""


@dataclass
class Stand:
    """A stack on trial. `broker` is there when the trial owns the Kafka broker behind `log_url`."""

    home: Home
    log_url: str = "embedded:"
    broker: BrokerControl | None = None
    _killed: set[int] = field(default_factory=set)

    @property
    def runtime(self) -> SupervisorRuntime:
        """The supervisor, over its socket."""
        return SupervisorRuntime(self.home)

    @property
    def settings(self) -> Settings:
        """Those of the running stack. Raises NotRunning when none ever ran here."""
        return from_environment({"SHOPFLOOR_SETTINGS": (self.home.path / "settings.json").read_text()})

    def up(self) -> None:
        """Start the stack and wait until it is ready. Raises ShopfloorError with what `shopfloor up` said."""
        self.command(
            "up", "--detach", "--port", self._port(), "--delivery-seconds", "1", "--log", self.log_url,
            "--stack", str(_stack_file(self.home)), timeout_s=_UP_S,
        )  # fmt: skip

    def _port(self) -> str:
        """The gateway's port of the last start, so that shoppers find it again; at first any free one."""
        with suppress(OSError):
            return str(self.settings.ports.get("gateway", 0))
        return "0"

    def down(self) -> None:
        """Stop the stack if it runs."""
        if holder(self.home) is not None:
            self.command("down", timeout_s=_DOWN_S)

    def restart(self) -> None:
        """Stop it and start it where it was: shoppers who are on their way find it at the same addresses."""
        addresses = self.home.endpoints.read_bytes()
        self.down()
        self.home.endpoints.write_bytes(addresses)
        self.up()

    def command(self, *words: str, timeout_s: float) -> str:
        """Run `shopfloor WORDS` on this home; what it printed. Raises ShopfloorError with its complaint."""
        line = [*_COMMAND, *words, "--home", str(self.home.path)]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise ShopfloorError(f"shopfloor {words[0]} was not done after {timeout_s:g} s") from None
        if done.returncode != 0 and not (words[0] == "audit" and done.stdout):
            raise ShopfloorError(f"shopfloor {words[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout

    def audit(self) -> dict[str, Any]:
        """What `shopfloor audit --strict --json` answers, violations or not; for a stack that is quiet."""
        answer: dict[str, Any] = json.loads(self.command("audit", "--strict", "--json", timeout_s=_AUDIT_S))
        return answer

    @contextmanager
    def load(self, rate: float, seconds: float, seed: int) -> Iterator["subprocess.Popen[str]"]:
        """Shoppers in a process of their own; killed on leaving if they are not done."""
        line = [*_COMMAND, *load_words(rate, seconds, seed, DRAIN_S), "--home", str(self.home.path)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def back_to_normal(self, patience_s: float, since: float | None = None) -> float | None:
        """Seconds until all is ready, the shop answers and no group or outbox is far behind, for a second on end.

        Counted from `since` (monotonic; now). None when that does not come about within `patience_s` from now.
        """
        looking_since = time.monotonic()
        begun = looking_since if since is None else since
        good_since: float | None = None
        while (now := time.monotonic()) - looking_since < patience_s:
            if not self._is_normal():
                good_since = None
            elif good_since is None:
                good_since = now
            elif now - good_since >= _STEADY_S:
                return round(good_since - begun, 2)
            time.sleep(_LOOK_S)
        return None

    def quiet(self, patience_s: float) -> bool:
        """Wait until no group has anything to read and no outbox anything to send; False when it does not come."""
        ends = time.monotonic() + patience_s
        while time.monotonic() < ends:
            if self._is_normal(most_behind=0):
                return True
            time.sleep(_LOOK_S)
        return False

    def _is_normal(self, most_behind: int = _NEAR_THE_END) -> bool:
        try:
            observed = self.runtime.observe()
            self._killed &= set(self.pids(observed).values())  # of these the supervisor has not heard yet
            return not self._killed and observed.ready and self._answers() and self.behind() <= most_behind
        except (ShopfloorError, OSError, sqlite3.Error):
            return False

    def _answers(self) -> bool:
        with suppress(OSError, HTTPException, NotRunning):
            gateway = urlsplit(read_endpoints(self.home).gateway)
            with closing(HTTPConnection(gateway.hostname or "", gateway.port, timeout=2.0)) as connection:
                connection.request("GET", "/v1/pages/search?q=")
                return connection.getresponse().status < 500
        return False

    def behind(self) -> int:
        """Records that the slowest group of services has still to read, and events that outboxes have still to send.

        Raises EventLogError, and sqlite3.Error for an outbox that does not answer.
        """
        return behind(self.settings)

    def pids(self, observation: Observation, groups: Sequence[str] = ()) -> dict[str, int]:
        """The pids of replicas and parts by name; of these groups and parts only, when any are given."""
        found = {r.name: r.pid for g in observation.groups for r in g.replicas if not groups or g.name in groups}
        return found | {p.name: p.pid for p in observation.parts if p.pid and (not groups or p.name in groups)}

    def kill(self, pid: int) -> None:
        """kill -9 a process of this stack; no complaint when it has just gone."""
        assert pid > 1
        self._killed.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def kill_everything(self) -> None:
        """kill -9 the supervisor and all it started, and wait until they are gone."""
        pids = set(self.pids(self.runtime.observe()).values())
        supervisor = holder(self.home)
        for pid in ([supervisor] if supervisor else []) + sorted(pids):
            self.kill(pid)
        ends = time.monotonic() + 10.0
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < ends:
            time.sleep(0.05)


def load_words(rate: float, seconds: float, seed: int, drain_s: float) -> list[str]:
    """`load` as trials type it: shoppers in a hurry, of whom a third orders."""
    return ["load", "--rate", str(rate), "--for", f"{seconds:g}s", "--drain", f"{drain_s:g}s", "--seed", str(seed),
            "--think", "0.1", "--conversion", "0.3", "--json"]  # fmt: skip


def behind(settings: Settings) -> int:
    """What `Stand.behind` answers, of the stack with these settings."""
    waiting = sum(outbox.waiting() for outbox in outboxes_of(settings))
    with open_log(settings) as log:
        return waiting + max((sum(log.lag(group).values()) for group in log.groups()), default=0)


def prepared(stand: Stand) -> Stand:
    """Start a stand and give its shop something to sell."""
    stand.up()
    add_products(stand.home, made_up_products())
    return stand


def _stack_file(home: Home) -> Path:
    """The bundled shop with short deadlines, in the home folder."""
    text = files("shop_stack").joinpath("stack.toml").read_text()
    wanted = f"step_deadline_s = {read_stack().checkout.step_deadline_s:g}"
    assert wanted in text, "the bundled stack.toml has no step_deadline_s to shorten"
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home.path / "trial-stack.toml"
    path.write_text(text.replace(wanted, f"step_deadline_s = {STEP_DEADLINE_S}"))
    return path
