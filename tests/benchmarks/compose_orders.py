"""CPU an order, completion and memory on Docker Compose and embedded: `python -m tests.benchmarks.compose_orders`.

The project is started without simulated shoppers and history, measured at each rate, stopped, and the embedded stack
is measured at the same rates in the same run. On Compose CPU is that of every container's processes, health checks not
counted; the shoppers are outside of what is measured in both.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from shop_stack.settings import Home, Settings
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.history import add_products
from tests.benchmarks import orders
from tests.benchmarks.process_tree import cpu_seconds
from tests.compose.project import UP_S, Project, from_nothing, inspected

TAKEN = """
select count(*) as orders, median(ms) as median_ms, quantile_cont(ms, 0.95) as p95_ms
from (
    select epoch_ms(min(a.time)) - epoch_ms(p.time) as ms
    from raw_events as p
    inner join raw_events as a on a.subject = p.subject
    where p.type = 'shop.order.placed.v1' and not p.repeat
        and a.type = 'shop.order.advanced.v1' and a.data ->> 'state' = 'shipped'
        and p.time >= to_timestamp({since})::timestamp
    group by p.subject, p.time
)
"""
PRODUCTS = (
    "from shop_stack.settings import from_environment; from shop_stack.traffic.catalog import made_up_products; "
    "from shop_stack.traffic.history import add_products; add_products(from_environment().home, made_up_products())"
)


def pids(project: Project) -> dict[str, int]:
    """The first process of each running container, by name."""
    found = inspected(project.compose("ps", "-q").split())
    return {one["Name"].lstrip("/"): int(one["State"]["Pid"]) for one in found if one["State"]["Pid"]}


def used(project: Project) -> dict[str, float]:
    """CPU seconds by container since each was started."""
    return {name: cpu_seconds(pid) for name, pid in pids(project).items()}


def memory_mib(project: Project) -> float:
    """Memory of all containers by their cgroups as `docker stats` tells it, the file cache not counted."""
    line = project.run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", *pids(project))
    return sum(_mib(one.split(" / ")[0]) for one in line.splitlines())


def _mib(text: str) -> float:
    for unit, factor in (("GiB", 1024.0), ("MiB", 1.0), ("KiB", 1 / 1024), ("B", 1 / 1048576)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def idle(project: Project) -> float:
    """CPU seconds a second while nothing is asked: the median of five windows of six seconds."""
    found = []
    for _ in range(5):
        before, begun = sum(used(project).values()), time.monotonic()
        time.sleep(6)
        found.append((sum(used(project).values()) - before) / (time.monotonic() - begun))
    return statistics.median(found)


def measured(project: Project, rate: float, seconds: float) -> dict[str, Any]:
    """One load at a rate, against what was idle right before it."""
    resting = idle(project)
    before, begun, since = used(project), time.monotonic(), time.time()
    report = json.loads(project.load(rate, seconds).communicate(timeout=seconds + 300)[0])
    elapsed, after = time.monotonic() - begun, used(project)
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    engines = {part: round(sum(s for name, s in spent.items() if part in name) * 1000 / report["orders_completed"], 1)
               for part in ("kafka", "postgres", "gateway", "analytics", "operations")}  # fmt: skip
    taken = json.loads(project.shopfloor("query", TAKEN.format(since=since), "--json"))["rows"][0]
    return {
        "rate": rate, "orders_completed": report["orders_completed"], "failed_requests": report["failed_requests"],
        "idle_ms_cpu_per_s": round(resting * 1000, 1),
        "cpu_ms_per_order": round((sum(spent.values()) - resting * elapsed) / report["orders_completed"] * 1000, 1),
        "of_it_with_idling": engines, "completion_ms_median": taken["median_ms"], "completion_ms_p95": taken["p95_ms"],
        "p50_ms": report["p50_ms"], "p95_ms": report["p95_ms"], "orders_open": report["orders_open"],
        "memory_mib": round(memory_mib(project)), "elapsed_s": round(elapsed, 1),
    }  # fmt: skip


def on_compose(rates: list[float], seconds: float) -> None:
    """The unmodified compose.yaml without the demo's shoppers."""
    os.environ["SHOPFLOOR_DEMO"] = "0"
    with from_nothing() as project:
        begun = time.monotonic()
        project.compose("up", "-d", "--wait", timeout_s=UP_S)
        print(json.dumps({"compose_start_s": round(time.monotonic() - begun, 1)}), flush=True)
        project.compose("run", "--rm", "-T", "console", "python", "-c", PRODUCTS)
        for rate in rates:
            print(json.dumps({"compose": measured(project, rate, seconds)}), flush=True)


def embedded(rates: list[float], seconds: float) -> None:
    """The stack of processes, with the embedded log and SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        orders.shopfloor("up", "--detach", "--home", str(home.path))
        try:
            add_products(home, made_up_products())
            for rate in rates:
                print(json.dumps({"embedded": orders.measure(Settings(home=home), rate, seconds)}), flush=True)
        finally:
            orders.down(home)


def main() -> None:
    """Measure both and print a line of JSON a rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="2,10")
    parser.add_argument("--seconds", type=float, default=40)
    chosen = parser.parse_args()
    rates = [float(rate) for rate in chosen.rates.split(",")]
    print(json.dumps({"load": os.getloadavg()[0]}))
    on_compose(rates, chosen.seconds)
    embedded(rates, chosen.seconds)


if __name__ == "__main__":
    main()
