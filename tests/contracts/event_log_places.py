"""Where the contract suite's logs lie: an embedded folder or a Kafka broker, opened again by other processes."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Consumer, EventLog, StoredRecord
from shop_stack.eventlog.kafka import KafkaLog
from shop_stack.events.topics import Topic

ROOT = Path(__file__).parents[2]
Log = EmbeddedLog | KafkaLog


def open_at(address: str, topics: Iterable[Topic]) -> Log:
    """The log at `embedded:FOLDER` or `kafka:HOST:PORT`."""
    kind, _, rest = address.partition(":")
    declared = {topic.name: topic for topic in topics}
    return KafkaLog(rest, declared) if kind == "kafka" else EmbeddedLog(Path(rest), declared, lease_s=3.0)


@dataclass
class Place:
    """One log with topics and a group of its own, so that tests can share a broker."""

    address: str
    topic: Topic
    brief: Topic
    group: str
    opened: list[Log]
    processes: list[subprocess.Popen[str]]

    @classmethod
    def at(cls, address: str) -> "Place":
        name = f"trial-{uuid4().hex[:8]}"
        return cls(address, Topic(name), Topic(f"{name}-brief", partitions=2, retention_days=1), name, [], [])

    @property
    def embedded(self) -> bool:
        return self.address.startswith("embedded:")

    def open(self) -> Log:
        """Another handle on the log, as another process would have it."""
        log = open_at(self.address, [self.topic, self.brief])
        self.opened.append(log)
        return log

    def run(self, role: str, *arguments: object) -> subprocess.Popen[str]:
        """A process of tests/contracts/event_log_process.py on this log."""
        command = [sys.executable, "-m", "tests.contracts.event_log_process", role, self.address, self.topic.name]
        process = subprocess.Popen(
            [*command, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        for log in self.opened:
            log.close()


def drain(
    consumers: Sequence[Consumer],
    enough: Callable[[list[StoredRecord]], bool],
    within_s: float = 20.0,
    commit: bool = True,
) -> list[StoredRecord]:
    """Poll the consumers, each on a thread of its own, until `enough`; commits what each poll brought.

    An error of a poll is raised here.
    """
    found: list[StoredRecord] = []
    stop = threading.Event()

    def work(consumer: Consumer) -> None:
        while not stop.is_set():
            records = consumer.poll(timeout_s=0.1)
            found.extend(records)
            if commit and records:
                consumer.commit(positions_after(records))

    deadline = time.monotonic() + within_s
    with ThreadPoolExecutor(len(consumers)) as pool:
        working = [pool.submit(work, consumer) for consumer in consumers]
        try:
            while not enough(list(found)) and not any(one.done() for one in working):
                assert time.monotonic() < deadline, f"only {len(found)} records within {within_s:g} s"
                time.sleep(0.01)
        finally:
            stop.set()
    for one in working:
        one.result()
    return found


def settle(consumers: list[Consumer], partitions: int, within_s: float = 20.0) -> None:
    """Poll until the consumers share all partitions, each some, and say that they are ready."""

    def settled(_: list[StoredRecord]) -> bool:
        shares = [consumer.assignment() for consumer in consumers]
        whole = len(frozenset().union(*shares)) == partitions == sum(map(len, shares))
        return whole and all(shares) and all(consumer.ready() for consumer in consumers)

    drain(consumers, settled, within_s)


def positions_after(records: Iterable[StoredRecord]) -> dict[tuple[str, int], int]:
    """What to commit once these records are done."""
    return {(record.topic, record.partition): record.position + 1 for record in records}


def read_all(log: EventLog, topic: str) -> list[StoredRecord]:
    """Every record of a topic, partition by partition."""
    found: list[StoredRecord] = []
    for partition, end in enumerate(log.ends(topic)):
        position = log.starts(topic)[partition]
        while position < end:
            records = log.read(topic, partition, position)
            found += records
            position = records[-1].position + 1
    return found
