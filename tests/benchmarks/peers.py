"""Measures ingestion against others, from one real Kafka broker: `python -m tests.benchmarks.peers`.

Ours from Kafka and from the embedded log (rows with the same guarantee, then marts and checkpoint too), DuckDB alone
from a file of the same lines (the limit), stoik, quixstreams and datafun-streaming. They take turns, each in a process
of its own, so often as `--times` says; figures are CPU microseconds an event and events a second, medians of the turns.
The others are installed from PyPI into an environment in the temporary folder.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from analytics.ingest import Ingest
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog
from shop_stack.eventlog.kafka import KafkaLog
from tests.benchmarks.ingest import JARS
from tests.benchmarks.shop_day import ShopDay
from tests.brokers import running_broker

PEERS = Path(__file__).with_name("peer_consumers.py")
OURS = ("ours from Kafka", "ours from the embedded log", "DuckDB alone from a file")
OTHERS = ("stoik", "quixstreams", "datafun-streaming")
_STOIK = ("stoik[flight]", "prometheus-client", "adbc-driver-flightsql", "adbc-driver-manager", "fastapi", "pyarrow")
_FEW = 2_000  # a statement a row: of datafun-streaming a part says as much as the whole
_READ = """insert into events select * from read_json($file, format = 'newline_delimited', columns = {
    id: 'varchar', source: 'varchar', type: 'varchar', subject: 'varchar', time: 'timestamp', sequence: 'bigint',
    correlationid: 'varchar', causationid: 'varchar', data: 'json'})"""


def prepare(folder: Path, events: int) -> int:
    """The same events in an embedded log, as lines with keys for Kafka, and as plain lines; how many."""
    if (folder / "count").exists():
        return int((folder / "count").read_text())
    (folder / "lines").mkdir(parents=True)
    count = 0
    hours = 24 * events / 10_000_000
    with EmbeddedLog(folder / "log") as log, (folder / "lines.json").open("wb") as plain:
        for span in ShopDay(events, hours=hours).by_span():
            for topic, records in span.items():
                log.append(topic, records)
                with (folder / "lines" / f"{topic}.tsv").open("ab") as keyed:
                    keyed.writelines(f"{one.key}\t".encode() + one.value + b"\n" for one in records)
                plain.writelines(one.value + b"\n" for one in records)
                count += len(records)
    (folder / "count").write_text(str(count))
    return count


def environment(folder: Path) -> tuple[Path, dict[str, str]]:
    """A virtual environment with the others, and what could not be installed and why."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    missing: dict[str, str] = {}
    # stoik 0.3.0 does not import without more than it declares
    # stoik 0.3.0 does not import without more than it declares
    for line in ([*_STOIK, "orjson"], ["quixstreams"], ["datafun-streaming"]):
        done = _pip(folder, line)
        if done.returncode:
            missing[line[0]] = done.stderr.strip().splitlines()[-1]
    if "datafun-streaming" in missing:  # it asks for Python 3.14; what is used of it runs on older ones
        done = _pip(folder, ["--ignore-requires-python", "--no-deps", "datafun-streaming", "datafun-toolkit"])
        missing["datafun-streaming"] += "" if done.returncode else "; installed with --ignore-requires-python"
    return folder / "bin" / "python", missing


def _pip(folder: Path, packages: list[str]) -> subprocess.CompletedProcess[str]:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    return subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)


def own(name: str, address: str, folder: Path) -> dict[str, float]:
    """One of ours in this process: CPU seconds and wall of the rows, and of all with marts and checkpoint."""
    place = Path(tempfile.mkdtemp(prefix="ours-", dir=folder))
    try:
        if name == OURS[2]:
            return _file_alone(folder / "lines.json", place)
        log = KafkaLog(address) if name == OURS[0] else EmbeddedLog(folder / "log")
        with log:
            return _ingested(log, place)
    finally:
        shutil.rmtree(place)


def _ingested(log: EventLog, place: Path) -> dict[str, float]:
    with closing(Warehouse(place / "warehouse.duckdb")) as warehouse:
        ingest = Ingest(log, warehouse)
        began, clock, rolling, rolling_wall = time.process_time(), time.monotonic(), 0.0, 0.0
        kept = 0
        while read := ingest.step():
            kept += read
            rolled, rolled_wall = time.process_time(), time.monotonic()
            ingest.roll_up_when_due()
            rolling += time.process_time() - rolled
            rolling_wall += time.monotonic() - rolled_wall
        cpu, wall = time.process_time() - began - rolling, time.monotonic() - clock - rolling_wall
        ingest.roll_up()
        warehouse.settle()
        rows = warehouse.write("select count(*) from raw_events where not repeat")[0][0]
        whole = {"with_marts_cpu_s": time.process_time() - began, "with_marts_wall_s": time.monotonic() - clock}
        return {"events": kept, "rows": rows, "cpu_s": cpu, "wall_s": wall} | whole


def _file_alone(lines: Path, place: Path) -> dict[str, float]:
    with duckdb.connect(str(place / "alone.duckdb"), config={"threads": 1}) as connection:
        connection.execute(
            "create table events (id varchar, source varchar, type varchar, subject varchar, time timestamp, "
            "sequence bigint, correlation_id varchar, causation_id varchar, data json)"
        )
        began, clock = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        connection.execute(_READ, {"file": str(lines)})
        connection.execute("checkpoint")
        after, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - clock
        found = connection.execute("select count(*) from events").fetchone()
    cpu = after.ru_utime + after.ru_stime - began.ru_utime - began.ru_stime
    return {"events": found[0] if found else 0, "rows": found[0] if found else 0, "cpu_s": cpu, "wall_s": wall}


def turn(name: str, address: str, folder: Path, python: Path, events: int) -> dict[str, Any]:
    """One contender once, in a process of its own; `failed` in place of figures when it did not come to its end."""
    place = Path(tempfile.mkdtemp(prefix="turn-", dir=folder))
    line = [
        sys.executable,
        "-m",
        "tests.benchmarks.peers",
        "--run",
        name,
        "--address",
        address,
        "--folder",
        str(folder),
    ]
    if name in OTHERS:
        line = [str(python), str(PEERS), name, address, str(place), str(_FEW if name == OTHERS[2] else events)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=3600)
    finally:
        shutil.rmtree(place)
    with suppress(IndexError, json.JSONDecodeError):
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    return {"failed": (done.stderr or done.stdout).strip().splitlines()[-3:]}


def judged(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the turns."""
    good = [one for one in turns if "failed" not in one]
    if not good:
        return {"failed": turns[0]["failed"]}
    said: dict[str, Any] = {"events": good[0]["events"], "rows": good[0]["rows"], "turns": len(good)}
    for part in ("", "with_marts_"):
        if f"{part}cpu_s" in good[0]:
            each = [one[f"{part}cpu_s"] / one["events"] * 1e6 for one in good]
            said[f"{part}us_per_event"] = round(statistics.median(each), 2)
            said[f"{part}us_of_each_turn"] = [round(one, 2) for one in each]
            rates = [one["events"] / one[f"{part}wall_s"] for one in good]
            said[f"{part}events_per_s"] = round(statistics.median(rates))
    return said | {"versions": good[0].get("versions", {"duckdb": duckdb.__version__})}


def compare(folder: Path, events: int, times: int) -> dict[str, Any]:
    """All contenders in turn over one broker."""
    count = prepare(folder, events)
    python, missing = environment(folder / "environment")
    said: dict[str, Any] = {"records": count, "not_as_asked": missing, "load_before": os.getloadavg()[0]}
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in (*OURS, *OTHERS)}
    with running_broker(folder / "broker", JARS) as broker:
        with KafkaLog(broker.address):
            pass  # declares the topics
        subprocess.run([str(python), str(PEERS), "load", broker.address, str(folder / "lines")], check=True)
        for number in range(times):
            for name, found in turns.items():
                found.append(turn(name, broker.address, folder, python, count))
                print(number + 1, name, json.dumps(found[-1]), flush=True)
    said["contenders"] = {name: judged(found) for name, found in turns.items()}
    limit = said["contenders"][OURS[2]].get("us_per_event")
    for one in said["contenders"].values():
        if limit and "us_per_event" in one:
            one["times_the_limit"] = round(one["us_per_event"] / limit, 2)
    said["kafka-python"] = version("kafka-python")
    return said | {"load_after": os.getloadavg()[0]}


def main() -> None:
    """Prepare, take turns, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--keep", type=Path, help="a folder for events and environment, used again")
    parser.add_argument("--run", choices=OURS, help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        print(json.dumps(own(given.run, given.address, given.folder)))
        return
    folder = given.keep or Path(tempfile.mkdtemp(prefix="shopfloor-peers-"))
    try:
        said = json.dumps(compare(folder, given.events, given.times), indent=2)
        print(said)
        if given.json is not None:
            given.json.write_text(said)
    finally:
        if given.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
