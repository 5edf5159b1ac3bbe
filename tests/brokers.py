"""A real Apache Kafka broker for tests: one KRaft node on free ports, in a folder of its own, with a small heap."""

import base64
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

START_S = 60.0
_QUIET = """
rootLogger.level = WARN
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n
"""


_LISTS = ("listeners", "advertised.listeners", "listener.security.protocol.map")


@dataclass
class Broker:
    """A running broker. `stop` and `start` keep its data and its port; `format` throws the data away."""

    folder: Path
    jars: Path
    port: int
    controller_port: int
    process: subprocess.Popen[bytes] | None = None
    more_settings: Mapping[str, object] = field(default_factory=dict)
    format_options: Sequence[str] = ()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def format(self) -> None:
        """Make the data folder anew, under a new cluster id."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        command = [
            "kafka.tools.StorageTool",
            "format",
            "-t",
            _cluster_id(),
            "-c",
            str(self._properties()),
            *self.format_options,
        ]
        done = subprocess.run([*self._java("-Xmx128m"), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start the broker and wait until it answers."""
        log = (self.folder / "stdout.log").open("ab")
        command = [*self._java("-Xms64m", "-Xmx256m"), "kafka.Kafka", str(self._properties())]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + START_S
        while not self._answers():
            died = self.process.poll() is not None
            if died or time.monotonic() > deadline:
                raise AssertionError(f"the broker in {self.folder} does not start: {self._last_words()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the broker and wait for its end."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _java(self, *options: str) -> list[str]:
        config = self.folder / "log4j2.properties"
        config.write_text(_QUIET.format(log=self.folder / "broker.log"))
        light = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto"]
        return ["java", *options, *light, f"-Dlog4j2.configurationFile={config}", "-cp", f"{self.jars}/*"]

    def _properties(self) -> Path:
        path = self.folder / "server.properties"
        path.write_text("\n".join(f"{key}={value}" for key, value in self._settings().items()))
        return path

    def _settings(self) -> dict[str, object]:
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.folder / "data",
            "num.partitions": 1,
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.enable": "false",
            "num.network.threads": 1,
            "num.io.threads": 2,
        }
        for key, value in self.more_settings.items():
            together = key in settings and key in _LISTS
            settings[key] = f"{value},{settings[key]}" if together else value
        return settings

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def _last_words(self) -> str:
        texts = [
            (self.folder / name).read_text() for name in ("broker.log", "stdout.log") if (self.folder / name).exists()
        ]
        return "\n".join(texts)[-2000:]


@contextmanager
def running_broker(
    folder: Path, jars: Path, more_settings: Mapping[str, object] | None = None, format_options: Sequence[str] = ()
) -> Iterator[Broker]:
    """A broker with fresh data in `folder`, stopped at the end; `more_settings` may add listeners of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    port, controller_port = free_ports(2)
    broker = Broker(
        folder, jars, port, controller_port, more_settings=more_settings or {}, format_options=format_options
    )
    broker.format()
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def free_ports(count: int) -> list[int]:
    """Ports that are free now and lie below the range from which outgoing connections take theirs."""
    found: list[int] = []
    start = 20000 + uuid4().int % 10000
    for port in range(start, start + 2000):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free port between 20000 and 32000")


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode().replace("-", "A", 1)
