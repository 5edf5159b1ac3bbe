"""The running project backed up into one file under load, forgotten, and brought back from that file alone."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.compose.project import ROOT, Project, until
from tests.compose.test_compose import balanced

ORDERS = ("psql", "-U", "postgres", "-d", "shop_orders", "-Atc", "select order_id from orders order by 1")


def placed(project: Project) -> set[str]:
    return set(project.compose("exec", "-T", "postgres", *ORDERS).split())


def test_backed_up_under_load_and_brought_back_from_nothing(project: Project, tmp_path: Path) -> None:
    image = project.of("runtime")[0]["Config"]["Image"]
    running = replace(project, version=image.rpartition(":")[2])
    before = placed(running)
    load = running.load(rate=2, seconds=15)
    until(lambda: len(placed(running)) > len(before) + 5, 60)
    kept = placed(running)
    print(running.run("./compose.backup", str(tmp_path)))
    report = json.loads(load.communicate(timeout=300)[0])
    assert (report["failed_requests"], report["orders_open"]) == (0, 0), report
    after = placed(running)
    refused = subprocess.run(["./compose.restore", str(tmp_path)], cwd=ROOT, env=running.environment, check=False,
                             capture_output=True, text=True, timeout=60)  # fmt: skip
    assert refused.returncode == 1
    assert "nothing was changed" in refused.stderr
    assert placed(running) >= after
    running.compose("down", "-v", "--timeout", "5")
    running.run("./compose.restore", str(tmp_path), timeout_s=420)
    assert kept <= placed(running)
    until(lambda: balanced(running), 120, 2)
