"""The running project brought to another version under load, replica by replica."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.compose.project import ROOT, Project, inspected, until
from tests.compose.test_compose import balanced
from tests.compose.test_compose_commands import SERVICES, ready

# A next version of ours: an event of it has one more field.
NEXT = """
FROM shopfloor:0.1.0
USER 0
RUN python -c "\\
from pathlib import Path; \\
file = Path('/srv/shopfloor/shop_stack/events/shop.py'); \\
old = '    cart_id: str\\\\n    lines: list[Line]\\\\n    total_minor: int\\\\n'; \\
text = file.read_text(); \\
assert text.count(old) == 1; \\
file.write_text(text.replace(old, old + '    channel: str = \\\\'web\\\\'\\\\n'))"
USER 10001:10001
"""
# One that does not start: its recommendations, which come first, end at once.
BROKEN = """
FROM shopfloor:0.1.0
USER 0
RUN printf 'import sys\\nif sys.argv[1:] == ["recommendations"]:\\n    sys.exit("this version cannot start")\\n' \\
    > /tmp/first && cat /tmp/first /srv/shopfloor/shop_stack/hosting/__main__.py > /tmp/main \\
    && cp /tmp/main /srv/shopfloor/shop_stack/hosting/__main__.py
USER 10001:10001
"""
MIX = (
    "select count(*) filter (where data->>'channel' is null) as old, "
    "count(*) filter (where data->>'channel' = 'web') as new "
    "from raw_events where type = 'shop.order.placed.v1'"
)
ORDERS = ("psql", "-U", "postgres", "-d", "shop_orders", "-Atc", "select order_id from orders order by 1")


def build(tag: str, dockerfile: str, project: Project) -> str:
    """An image of these lines; its id."""
    subprocess.run(["docker", "build", "-q", "-t", f"shopfloor:{tag}", "-"], input=dockerfile, text=True, check=True,
                   capture_output=True, timeout=120, env=project.environment | {"DOCKER_BUILDKIT": "0"})  # fmt: skip
    return str(inspected([f"shopfloor:{tag}"])[0]["Id"])


def replicas(project: Project) -> dict[str, int]:
    """How many there are of each service, as operators are told; none while not everything is ready."""
    status = ready(project) or {"services": []}
    return {one["name"]: len(one["replicas"]) for one in status["services"]}


def test_other_settings_alone_are_a_new_version_too(project: Project, tmp_path: Path) -> None:
    override = tmp_path / "compose.override.yaml"
    override.write_text('services: {recommendations: {environment: {PYTHONHASHSEED: "7"}}}')
    before = {service: {one["Id"] for one in project.of(service)} for service in SERVICES}
    told = subprocess.run(
        ["./compose.upgrade", "--no-build"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env=project.environment | {"COMPOSE_FILE": f"compose.yaml:{override}"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    after = {service: {one["Id"] for one in project.of(service)} for service in SERVICES}
    assert [service for service in SERVICES if after[service] != before[service]] == ["recommendations"]
    (replaced,) = project.of("recommendations")
    assert "PYTHONHASHSEED=7" in replaced["Config"]["Env"]
    until(lambda: replicas(project) == dict.fromkeys(SERVICES, 1), 60, 2)


def test_a_version_that_does_not_start_is_taken_away_again_and_the_old_one_serves_on(project: Project) -> None:
    build("broken", BROKEN, project)
    before = {one["Id"] for one in project.of("recommendations")}
    told = subprocess.run(
        ["./compose.upgrade", "--no-build"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env=replace(project, version="broken").environment | {"UPGRADE_PATIENCE_S": "15"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert told.returncode == 1
    assert "this version cannot start" in told.stderr
    assert "recommendations: it is taken away again, and the old version serves on." in told.stderr
    assert {one["Id"] for one in project.of("recommendations")} == before
    until(lambda: replicas(project) == dict.fromkeys(SERVICES, 1), 60, 2)


def test_a_rolling_upgrade_under_load_fails_no_request_and_loses_no_order(project: Project) -> None:
    next_image = build("next", NEXT, project)
    project.shopfloor("scale", "orders", "2", "--reason", "two of a service are replaced too", "--force")
    placed = set(project.compose("exec", "-T", "postgres", *ORDERS).split())
    load = project.load(rate=3, seconds=80)
    until(lambda: len(project.compose("exec", "-T", "postgres", *ORDERS).split()) > len(placed) + 5, 60)
    later = replace(project, version="next")
    later.run("./compose.upgrade", "--no-build", timeout_s=400)
    for service in (*SERVICES, "analytics", "operations", "runtime", "dashboard", "provider"):
        containers = later.of(service)
        assert {one["Image"] for one in containers} == {next_image}, service
        assert len(containers) == (2 if service == "orders" else 1), service
    report = json.loads(load.communicate(timeout=300)[0])
    assert report["failed_requests"] == 0, report
    assert report["orders_open"] == 0, report
    assert report["orders_completed"] + report["orders_rejected"] == report["orders_placed"], report
    placed_by = json.loads(later.shopfloor("query", MIX, "--json"))["rows"][0]
    assert placed_by["old"] > 0, placed_by
    assert placed_by["new"] > 0, placed_by
    until(lambda: balanced(later), 60, 2)
