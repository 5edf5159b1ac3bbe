"""The ordeal of a whole stack: seeded shoppers buy while replicas come, go and are killed; no order may go missing."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analytics.client import QuestionsClient
from shop_stack.errors import NotRunning
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.home_lock import holder
from shop_stack.settings import Home, read_endpoints
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.history import add_products
from tests.stack.command import SHOPFLOOR, shopfloor
from tests.stack.gateway_bench import until

LOAD = ("--rate", "5", "--for", "10s", "--seed", "1", "--think", "0.1", "--conversion", "0.3")
PATIENCE_S = 60.0


@contextmanager
def running_shop(folder: Path, log: str) -> Iterator[Home]:
    """A stack with a made-up catalog on this log; stopped at the end."""
    home = Home(folder)
    try:
        shopfloor("up", "--detach", "--port", "0", "--delivery-seconds", "1", "--log", log, home=home)
        add_products(home, made_up_products())
        yield home
    finally:
        if holder(home) is not None:
            shopfloor("down", home=home)


def undergo(home: Home) -> None:
    """Send shoppers, scale orders to three and back, kill a replica and analytics with -9; then count."""
    before = orders_by_state(home)
    load = _start_load(home)
    try:
        runtime = SupervisorRuntime(home)
        runtime.scale("orders", 3)
        _kill(_replica_pid(runtime, "orders", "orders-2"))
        _kill(_part_pid(runtime, "analytics"))
        assert load.poll() is None, "the load was over before anything was killed"
        runtime.scale("orders", 1)
        words, complaints = load.communicate(timeout=120)
    finally:
        load.kill()
    assert load.returncode == 0, complaints
    report = json.loads(words)
    assert (report["failed_requests"], report["orders_open"]) == (0, 0), report
    assert report["orders_placed"] > 5
    wanted = before + Counter({state: report[f"orders_{state}"] for state in ("completed", "rejected", "cancelled")})
    until(lambda: orders_by_state(home) == wanted, PATIENCE_S)
    until(lambda: runtime.observe().ready, PATIENCE_S)


def orders_by_state(home: Home) -> Counter[str]:
    """How many orders analytics knows of in each state; waits for analytics to answer."""
    found: Counter[str] = Counter()
    for row in until(lambda: _answer(home), PATIENCE_S):
        found[row["state"]] += row["orders"]
    return found


def _answer(home: Home) -> tuple[dict[str, Any], ...] | None:
    """The rows of orders_by_minute through the gateway, asked with the operator's token; None while it is away."""
    token = home.token("operator").read_text().strip()
    with QuestionsClient(read_endpoints(home).gateway, token) as client:
        try:
            return (*client.ask("orders_by_minute").rows, {"state": "open", "orders": 0})
        except NotRunning:
            return None


def _start_load(home: Home) -> "subprocess.Popen[str]":
    line = [SHOPFLOOR, "load", "--home", str(home.path), *LOAD, "--json"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _replica_pid(runtime: SupervisorRuntime, group: str, name: str) -> int:
    return next(one.pid for found in runtime.observe().groups if found.name == group
                for one in found.replicas if one.name == name)  # fmt: skip


def _part_pid(runtime: SupervisorRuntime, name: str) -> int:
    return next(part.pid for part in runtime.observe().parts if part.name == name) or 0


def _kill(pid: int) -> None:
    assert pid > 1
    os.kill(pid, signal.SIGKILL)
