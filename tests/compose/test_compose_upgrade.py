"""The running project brought to another version under load, replica by replica."""

import json
import subprocess
from dataclasses import replace

from tests.compose.project import Project, inspected, until
from tests.compose.test_compose import balanced

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
MIX = (
    "select count(*) filter (where data->>'channel' is null) as old, "
    "count(*) filter (where data->>'channel' = 'web') as new "
    "from raw_events where type = 'shop.order.placed.v1'"
)
GROUPS = ("storefront", "customers", "catalog", "inventory", "orders", "payments", "shipping", "recommendations")
ORDERS = ("psql", "-U", "postgres", "-d", "shop_orders", "-Atc", "select order_id from orders order by 1")


def test_a_rolling_upgrade_under_load_fails_no_request_and_loses_no_order(project: Project) -> None:
    subprocess.run(["docker", "build", "-q", "-t", "shopfloor:next", "-"], input=NEXT, text=True, check=True,
                   capture_output=True, timeout=120, env=project.environment | {"DOCKER_BUILDKIT": "0"})  # fmt: skip
    project.shopfloor("scale", "orders", "2", "--reason", "two of a service are replaced too", "--force")
    placed = set(project.compose("exec", "-T", "postgres", *ORDERS).split())
    load = project.load(rate=3, seconds=80)
    until(lambda: len(project.compose("exec", "-T", "postgres", *ORDERS).split()) > len(placed) + 5, 60)
    later = replace(project, version="next")
    later.run("./compose.upgrade", "--no-build", timeout_s=400)
    next_image = inspected(["shopfloor:next"])[0]["Id"]
    for service in (*GROUPS, "analytics", "operations", "runtime", "dashboard", "provider"):
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
