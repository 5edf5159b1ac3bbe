"""The unmodified compose.yaml: what runs, what is published, scaling, faults, and whether the books balance."""

import json
import re
from pathlib import Path
from typing import Any

import httpx

from tests import needs
from tests.compose.project import NAME, Project, until
from tests.terminal import Terminal

OURS = ("storefront", "customers", "catalog", "inventory", "orders", "payments", "shipping", "recommendations")
ONCE = {"prepare", "engines", "past"}


def balanced(project: Project) -> bool:
    """Whether the audit finds nothing and skips only what was not asked for."""
    found = project.audit().get("invariants", [])  # an audit that cannot be made answers with its reason alone
    return all(one["status"] in ("ok", "skipped") for one in found) and _read(found, "analytics_equals_log") == "ok"


def _read(invariants: list[dict[str, Any]], name: str) -> str:
    return next((str(one["status"]) for one in invariants if one["name"] == name), "absent")


def test_everything_is_healthy_and_two_ports_are_published_on_loopback(project: Project) -> None:
    published = set()
    for one in project.containers():
        service = one["Config"]["Labels"]["com.docker.compose.service"]
        if service in ONCE:
            assert one["State"]["ExitCode"] == 0, service
        else:
            assert one["State"]["Running"], service
            assert one["State"].get("Health", {"Status": "healthy"})["Status"] == "healthy", service
        for bindings in (one["HostConfig"]["PortBindings"] or {}).values():
            published |= {(service, binding["HostIp"]) for binding in bindings}
    assert published == {("gateway", "127.0.0.1"), ("dashboard", "127.0.0.1")}
    assert httpx.get(f"http://127.0.0.1:{project.gateway}/v1/products", trust_env=False).json()
    assert httpx.get(f"http://127.0.0.1:{project.dashboard}/", trust_env=False).status_code == 200


def test_nothing_runs_as_root_and_ours_can_write_nowhere(project: Project) -> None:
    for one in project.containers():
        if not one["State"]["Running"]:
            continue
        name = one["Name"]
        status = Path(f"/proc/{one['State']['Pid']}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        effective = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
        assert "0" not in uids, f"{name} runs as root"
        assert int(effective, 16) == 0, f"{name} has capabilities"
        if one["Config"]["Image"].startswith("shopfloor"):
            assert one["HostConfig"]["ReadonlyRootfs"], name


def test_each_container_knows_its_own_secrets_and_one_holds_the_engine(project: Project) -> None:
    holders = set()
    for one in project.containers():
        service = one["Config"]["Labels"]["com.docker.compose.service"]
        holders |= {service for mount in one["Mounts"] if mount["Destination"].endswith("docker.sock")}
    assert holders == {"runtime"}
    for service in ("storefront", "orders"):
        assert project.compose("exec", "-T", service, "ls", "/run/secrets").split() == [service]
    assert "shoppers.pem" in project.compose("exec", "-T", "customers", "ls", "/run/secrets")
    asked = (
        "import os, psycopg\n"
        "password = open('/run/secrets/orders').read().strip()\n"
        "for database in ('shop_orders', 'shop_payments'):\n"
        "    try:\n"
        "        psycopg.connect(host='postgres', user='shop_orders', password=password, dbname=database).close()\n"
        "        print(database, 'entered')\n"
        "    except psycopg.OperationalError as error:\n"
        "        print(database, 'permission denied' in str(error))\n"
    )
    assert project.compose("exec", "-T", "orders", "python", "-c", asked).split("\n")[:2] == [
        "shop_orders entered",
        "shop_payments True",
    ]


def test_scaled_to_three_and_back_by_console_keys_under_load_without_a_failed_request(project: Project) -> None:
    name = f"{NAME}-operator"
    console = Terminal(needs.tmux(), project.in_a_terminal("run", "--rm", "--name", name, "console"), 120, 40)
    load = project.load(rate=4, seconds=50)
    try:
        console.until("live", "▸", seconds=60)
        for service in ("orders", "payments"):
            by_keys(console, service, 3)
            until(lambda: numbers(project, service) == ["1", "2", "3"], 60)  # noqa: B023 - asked at once
        until(lambda: len(shares := _sharing(project, "orders")) == 3 and min(shares) > 0, 30)
        for service in ("orders", "payments"):
            by_keys(console, service, 1)
            until(lambda: numbers(project, service) == ["1"], 60)  # noqa: B023
    finally:
        console.close()
        project.run("docker", "rm", "-f", name, check=False)  # a container outlives the terminal that it was shown in
    report = json.loads(load.communicate(timeout=240)[0])
    assert report["failed_requests"] == 0, report
    assert report["orders_placed"] >= 100
    assert report["orders_completed"] + report["orders_rejected"] == report["orders_placed"], report
    until(lambda: balanced(project), 60, 2)


def by_keys(console: Terminal, service: str, replicas: int) -> None:
    """Select a service with the arrows, choose a number, and do it: as an operator who reads what the screen says."""
    at = console.until_changed(selected, None)
    while at != service:
        console.press("Down" if OURS.index(at) < OURS.index(service) else "Up")
        at = console.until_changed(selected, at)
    console.press("s")
    console.until(f"scale {service}")
    number = console.until_changed(chosen, None)
    while number != replicas:
        console.press("+" if number < replicas else "-")
        number = console.until_changed(chosen, number)
    said = console.until_changed(promised, None)
    console.press("Enter")
    if said == "refused":
        console.until("one more Enter")
        console.press("Enter")
    console.until(f"scale {service} {'1→3' if replicas > 1 else '3→1'}", seconds=90)


def selected(screen: str) -> str | None:
    """The service at the cursor."""
    found = re.search(rf"▸.?({'|'.join(OURS)}) ", screen)
    return found[1] if found else None


def chosen(screen: str) -> int | None:
    """The number of replicas in the dialog."""
    found = re.search(r"\[−\] +\d+ → (\d+) +\[\+\]", screen)
    return int(found[1]) if found else None


def promised(screen: str) -> str | None:
    """Whether the dialog tells what to expect, or that it would be refused."""
    found = re.search(r"│ (refused|Expected)", screen)
    return found[1] if found else None


def numbers(project: Project, service: str) -> list[str]:
    return [one["Config"]["Labels"]["com.docker.compose.container-number"] for one in project.of(service)]


ASK_BROKER = (
    "import json; from kafka import KafkaAdminClient\n"
    "found = KafkaAdminClient(bootstrap_servers='kafka:9092').describe_groups(['{group}'])\n"
    "print(json.dumps(found, default=str))\n"
)


def _sharing(project: Project, group: str) -> list[int]:
    """How many partitions each member of a consumer group has, as the broker tells."""
    found = json.loads(project.compose("exec", "-T", "operations", "python", "-c", ASK_BROKER.format(group=group)))
    members = found[group]["members"]
    return sorted(sum(len(topic["partitions"]) for topic in _assigned(one)) for one in members)


def _assigned(member: dict[str, Any]) -> list[dict[str, Any]]:
    assignment = member["member_assignment"]
    if not isinstance(assignment, dict):  # between two assignments a member has none
        return []
    return list(assignment.get("assigned_partitions") or assignment.get("assignment") or [])
