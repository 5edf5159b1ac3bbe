"""CPU per completed order, completion times, start and memory of a stack: `python -m tests.benchmarks.orders`.

CPU per order is (CPU under load - CPU idle over the same time) / completed orders, of the whole process tree below
the supervisor; the load generator is outside it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shop_stack.envelope import decode
from shop_stack.eventlog.opening import open_log
from shop_stack.events import ORDERS, OrderAdvanced, OrderPlaced
from shop_stack.settings import Home, Settings
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.history import add_products
from tests.benchmarks.process_tree import cpu_seconds, pss_mib

SHOPFLOOR = str(Path(sys.executable).with_name("shopfloor"))


def down(home: Home) -> None:
    """Stop the stack."""
    subprocess.run([SHOPFLOOR, "down", "--home", str(home.path)], capture_output=True, check=True)


def shopfloor(*words: str) -> dict[str, Any]:
    """Run a command with --json and return what it printed."""
    done = subprocess.run([SHOPFLOOR, *words, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"shopfloor {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def completion_ms(settings: Settings, since: float) -> list[float]:
    """Milliseconds from OrderPlaced to the order being shipped (paid, handed over), of orders placed since then."""
    placed: dict[str, float] = {}
    taken: list[float] = []
    with open_log(settings) as log:
        for partition in range(log.partitions(ORDERS.name)):
            position = log.starts(ORDERS.name)[partition]
            while records := log.read(ORDERS.name, partition, position, 2000):
                for record in records:
                    event = decode(record.value)
                    if isinstance(event.data, OrderPlaced):
                        placed[event.subject] = event.time.timestamp()
                    elif isinstance(event.data, OrderAdvanced) and event.data.state == "shipped":
                        begun = placed.get(event.subject, 0.0)
                        if begun >= since:
                            taken.append((event.time.timestamp() - begun) * 1000)
                position = records[-1].position + 1
    return taken


def supervisor_pid(home: Home) -> int:
    """The supervisor's pid, from its lock file."""
    return int(home.supervisor_lock.read_text().split()[0])


def settle(pid: int) -> None:
    """Wait until the start is over: five seconds in which the tree used less than a tenth of a core."""
    deadline = time.monotonic() + 120
    used = 1.0
    while used > 0.5 and time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(5)
        used = cpu_seconds(pid) - before


def idle_cpu(pid: int) -> float:
    """CPU seconds a second of the idle tree: the median of five windows of three seconds, so that a forecast that is
    fitted meanwhile does not count as idling."""
    found = []
    for _ in range(5):
        before, begun = cpu_seconds(pid), time.monotonic()
        time.sleep(3)
        found.append((cpu_seconds(pid) - before) / (time.monotonic() - begun))
    return statistics.median(found)


def measure(settings: Settings, rate: float, seconds: float) -> dict[str, Any]:
    """One load at a rate against an idle baseline taken right before it."""
    pid = supervisor_pid(settings.home)
    settle(pid)
    idle = idle_cpu(pid)
    since = time.time()
    before, begun = cpu_seconds(pid), time.monotonic()
    report = shopfloor("load", "--home", str(settings.home.path), "--rate", str(rate), "--for", f"{seconds}s",
                       "--orders-only")  # fmt: skip
    elapsed = time.monotonic() - begun
    used = cpu_seconds(pid) - before
    taken = completion_ms(settings, since)
    return {
        "rate": rate, "orders_completed": report["orders_completed"], "failed_requests": report["failed_requests"],
        "idle_ms_cpu_per_s": round(idle * 1000, 1),
        "cpu_ms_per_order": round((used - idle * elapsed) / max(report["orders_completed"], 1) * 1000, 1),
        "completion_ms_median": round(statistics.median(taken), 1) if taken else None,
        "completion_ms_p95": round(statistics.quantiles(taken, n=20)[18], 1) if len(taken) > 20 else None,
        "memory_pss_mib": round(sum(pss_mib(pid).values())), "p50_ms": report["p50_ms"], "p95_ms": report["p95_ms"],
        "orders_open": report["orders_open"], "elapsed_s": round(elapsed, 1),
    }  # fmt: skip


def main() -> None:
    """Start a stack on a temporary home twice, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="10,60")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--log", default="embedded:")
    parser.add_argument("--topology", default="microservices")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        up = ["up", "--detach", "--home", str(home.path), "--log", chosen.log, "--topology", chosen.topology,
              "--delivery-seconds", "1"]  # fmt: skip
        starts = []
        for attempt in range(3):
            begun = time.monotonic()
            shopfloor(*up)
            starts.append(round(time.monotonic() - begun, 2))
            if attempt < 2:
                down(home)
        try:
            print(json.dumps({"start_s": starts}))
            add_products(home, made_up_products())
            settings = Settings(home=home, log_url=chosen.log)
            print(json.dumps({"pss_mib": round(sum(pss_mib(supervisor_pid(home)).values()))}))
            for rate in map(float, chosen.rates.split(",")):
                print(json.dumps(measure(settings, rate, chosen.seconds)), flush=True)
        finally:
            down(home)


if __name__ == "__main__":
    main()
