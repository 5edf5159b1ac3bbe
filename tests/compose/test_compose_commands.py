"""Commands typed in the console's container, which knows an operator's token and nothing else."""

import json
import subprocess
from typing import Any

import pytest

from tests.compose.project import ROOT, Project, until

SERVICES = {"storefront", "customers", "catalog", "inventory", "orders", "payments", "shipping", "recommendations"}

BESIDE = ("analytics", "operations", "provider", "dashboard", "runtime", "shoppers")
ONCE = {
    "prepare": "secrets lie ready for",
    "engines": "there is a database for each of 8 services",
    "past": "56 of 56 days of the past are made",
}


def test_status_and_logs_are_told_by_operations(project: Project) -> None:
    status = until(lambda: ready(project), 60, 2)
    assert {service["name"] for service in status["services"]} == SERVICES
    assert {part["name"] for part in status["parts"]} >= {"gateway", "analytics", "operations", "provider", "dashboard"}
    replica = next(one for one in status["services"] if one["name"] == "orders")["replicas"][0]
    assert replica["name"].endswith("-orders-1")
    lines = project.shopfloor("logs", "orders", "--replica", replica["name"], "--lines", "3").splitlines()
    assert {line.split()[0] for line in lines} <= {replica["name"]}
    assert project.shopfloor("logs", "kafka", "--lines", "3").count("kafka-1 ") == 3


def test_every_line_of_our_containers_is_json_and_what_runs_once_says_what_it_did(project: Project) -> None:
    told: dict[str, list[dict[str, object]]] = {}
    for service in (*SERVICES, *BESIDE, *ONCE):
        lines = project.compose("logs", "--no-log-prefix", "--no-color", service).splitlines()
        told[service] = [json.loads(line) for line in lines]
        assert all({"at", "level", "replica", "message"} <= line.keys() for line in told[service]), service
    for service, words in ONCE.items():
        assert words in str([line["message"] for line in told[service]])
    assert "the past is made" in project.shopfloor("logs", "past")


def ready(project: Project) -> dict[str, Any] | None:
    """The status, once it says that everything is ready."""
    status = json.loads(project.shopfloor("status", "--json", check=False))
    return status if status["ready"] else None


def test_the_audit_is_made_by_operations(project: Project) -> None:
    report = json.loads(project.shopfloor("audit", "--json", check=False))
    assert len(report["invariants"]) >= 20, report
    assert "violated" not in {one["status"] for one in report["invariants"]}, report


@pytest.mark.parametrize(("word", "instead"), [("up", "docker compose up -d"), ("down", "docker compose down")])
def test_starting_and_stopping_is_left_to_compose(project: Project, word: str, instead: str) -> None:
    line = ["docker", "compose", "run", "--rm", "-T", "console", "shopfloor", word]
    done = subprocess.run(line, cwd=ROOT, env=project.environment, capture_output=True, text=True, timeout=120,
                          check=False, stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 5
    assert f"outside of this container type: {instead}" in done.stderr
