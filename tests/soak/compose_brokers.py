"""Three brokers, of which one is lost under load and comes back: `python -m tests.soak.compose_brokers`.

Prints JSON: seconds from the loss until the replicas are ready, the shop answers and every group has read what there
is, for two seconds; the same from the broker's return, with every partition on three brokers again; what the shoppers
saw; the strict audit.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from shop_stack.errors import ShopfloorError
from tests.compose.project import UP_S, Project, from_nothing, until
from tests.compose.stand import ComposeStand

NEAR_THE_END = 50
STEADY_S = 2.0
PATIENCE_S = 180.0
MISSING = (
    "from kafka import KafkaAdminClient\n"
    "topics = KafkaAdminClient(bootstrap_servers='brokers:9092').describe_topics()\n"
    "print(sum(len(p['isr_nodes']) < 3 for topic in topics for p in topic['partitions']))\n"
)


def seconds_until(look: Callable[[], dict[str, bool]]) -> dict[str, float | None]:
    """From now until each of these holds to the end, which is when all have for two seconds; None for what does not."""
    begun = time.monotonic()
    since: dict[str, float | None] = {}
    while (now := time.monotonic()) - begun < PATIENCE_S:
        for name, holds in look().items():
            since[name] = (since.get(name) or now) if holds else None
        if all(at is not None and now - at >= STEADY_S for at in since.values()):
            break
        time.sleep(0.2)
    return {name: None if at is None else round(at - begun, 1) for name, at in since.items()}


def normal(stand: ComposeStand) -> dict[str, bool]:
    """Whether all replicas are ready, the shop answers, and no group is far behind; brokers are not asked."""
    return {
        "replicas_ready": _holds(
            lambda: all(one.state == "ready" for group in stand.runtime.observe().groups for one in group.replicas)
        ),
        "shop_answers": _holds(lambda: _answer(stand.project.gateway).status_code < 500),
        "groups_caught_up": _holds(lambda: stand.behind() <= NEAR_THE_END),
    }


def _answer(gateway: int) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{gateway}/v1/pages/search?q=", timeout=2, trust_env=False)


def _holds(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except (ShopfloorError, OSError, httpx.HTTPError, psycopg.Error):
        return False


def placed(project: Project) -> int:
    """How many orders the database has."""
    counted = ("psql", "-U", "postgres", "-d", "shop_orders", "-Atc", "select count(*) from orders")
    return int(project.compose("exec", "-T", "postgres", *counted))


def on_three(project: Project) -> bool:
    """Whether every partition lies on three brokers."""
    said = project.compose("exec", "-T", "operations", "python", "-c", MISSING, check=False)
    return said.strip() == "0"


def seen_by_shoppers(report: dict[str, Any]) -> dict[str, object]:
    """Of a load's report: what became of the orders and of the requests."""
    requests = ("requests", "failed_requests", "retried_requests", "p95_ms")
    states = ("placed", "completed", "rejected", "cancelled", "open")
    return {name: report[name] for name in (*(f"orders_{state}" for state in states), *requests)}


def books(stand: ComposeStand, patience_s: float) -> dict[str, object]:
    """Whether nothing was on its way any more in time, and the strict audit's verdict."""
    quiet, audit = stand.quiet(patience_s), stand.audit()
    return {"quiet_after": quiet, "audit": {"ok": audit["ok"], "invariants": len(audit["invariants"])}}


def main() -> None:
    """Start three brokers and the shop, lose one, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5.0, help="orders a second")
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--broker", default="kafka-2")
    chosen = parser.parse_args()
    os.environ["COMPOSE_FILE"] = "compose.yaml:compose.kafka3.yaml"
    with from_nothing() as project, tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        project.compose("up", "-d", "--wait", timeout_s=UP_S)
        said: dict[str, object] = {"start_s": round(time.monotonic() - begun, 1), "broker": chosen.broker}
        project.compose("stop", "shoppers")
        stand = ComposeStand.on(project, Path(folder))
        said["quiet_before"] = stand.quiet(300)
        before = placed(project)
        load = project.load(chosen.rate, chosen.seconds)
        until(lambda: placed(project) > before + 10 * chosen.rate, 60)
        project.compose("kill", chosen.broker)
        said["normal_without_it_s"] = seconds_until(lambda: normal(stand))
        project.compose("start", chosen.broker)
        said["normal_with_it_again_s"] = seconds_until(lambda: normal(stand) | {"on_three": on_three(project)})
        report = json.loads(load.communicate(timeout=chosen.seconds + 300)[0])
        said |= seen_by_shoppers(report) | books(stand, 120)
        stand.close()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
