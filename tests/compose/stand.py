"""A Compose project on trial: the stand that chaos knows (shop_stack.trials), over containers instead of processes."""

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from shop_stack.errors import NotRunning, ShopfloorError
from shop_stack.runtime.interface import Observation
from shop_stack.settings import Endpoints, Home, Settings
from shop_stack.trials.chaos import NORMAL_WITHIN_S
from shop_stack.trials.chaos_faults import FAULTS, Fault
from shop_stack.trials.stand import Stand, load_words
from tests.compose.project import INSIDE, ROOT, Project, inspected

DRAIN_S = 90.0
_COUNTER = (
    "import json, sys\n"
    "from shop_stack.errors import ShopfloorError\n"
    "from shop_stack.settings import from_environment\n"
    "from shop_stack.trials.stand import behind\n"
    "import psycopg\n"
    "for _ in sys.stdin:\n"
    "    try: found = behind(from_environment())\n"
    "    except (ShopfloorError, OSError, psycopg.Error) as error: found = str(error)\n"
    "    print(json.dumps(found), flush=True)\n"
)
"""What is behind can be counted only where every store's password is: in the container that makes the databases."""


@dataclass
class ComposeStand(Stand):
    """A project whose shoppers are stopped. `home` is a folder of this machine: the runtime's socket, addresses."""

    project: Project = field(kw_only=True)
    _counter: "subprocess.Popen[str] | None" = None

    @classmethod
    def on(cls, project: Project, folder: Path) -> "ComposeStand":
        """The stand of a project that is up; `folder` is empty."""
        gateway = f"http://127.0.0.1:{project.gateway}"
        addresses = dict.fromkeys(Endpoints.__struct_fields__, gateway)
        (folder / "endpoints.json").write_bytes(msgspec.json.encode(addresses))
        home = Home(folder, sockets=project.volume("runtime"))
        return cls(home, "kafka://brokers:9092", project=project)

    @property
    def settings(self) -> Settings:
        """Where parts answer on the project's own network."""
        places = {part: self.project.inside(part).removeprefix("http://").partition(":") for part in INSIDE}
        return Settings(
            home=self.home,
            log_url=self.log_url,
            hosts={part: host for part, (host, _, _) in places.items()},
            ports={part: int(port) for part, (_, _, port) in places.items()},
        )

    def command(self, *words: str, timeout_s: float) -> str:
        """Run `shopfloor WORDS` in a console container; what it printed. Raises ShopfloorError with its complaint."""
        line = [*self._console, "shopfloor", *words]
        done = subprocess.run(line, cwd=ROOT, env=self.project.environment, capture_output=True, text=True, check=False,
                              timeout=timeout_s + 60, stdin=subprocess.DEVNULL)  # fmt: skip
        if done.returncode != 0 and not (words[0] == "audit" and '"invariants"' in done.stdout):
            raise ShopfloorError(f"shopfloor {words[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout

    @contextmanager
    def load(self, rate: float, seconds: float, seed: int) -> Iterator["subprocess.Popen[str]"]:
        """Shoppers in a container of their own."""
        line = [*self._console, "shopfloor", *load_words(rate, seconds, seed, DRAIN_S)]
        with subprocess.Popen(line, cwd=ROOT, env=self.project.environment, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    @property
    def _console(self) -> list[str]:
        return ["docker", "compose", "run", "--rm", "-T", "console"]

    def behind(self) -> int:
        """As of any stand, counted by a process in a container beside it."""
        counter = self._counting()
        assert counter.stdin is not None
        assert counter.stdout is not None
        counter.stdin.write("\n")
        counter.stdin.flush()
        line = counter.stdout.readline()
        if not line:
            self.close()
            raise NotRunning("who counts what is behind has gone")
        found = json.loads(line)
        if not isinstance(found, int):
            raise NotRunning(str(found))
        return found

    def _counting(self) -> "subprocess.Popen[str]":
        if self._counter is None:
            line = ["docker", "compose", "run", "--rm", "-T", "--no-deps", "engines", "python", "-u", "-c", _COUNTER]
            self._counter = subprocess.Popen(line, cwd=ROOT, env=self.project.environment, stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, text=True)  # fmt: skip
        return self._counter

    def close(self) -> None:
        """End who counts."""
        if self._counter is not None:
            self._counter.communicate()
            self._counter = None

    def pids(self, observation: Observation, groups: Sequence[str] = ()) -> dict[str, int]:
        """The first processes of replicas' and parts' containers, as this machine knows them."""
        label = "com.docker.compose.service"
        running = [one for one in inspected(self.project.compose("ps", "-q").split()) if one["State"]["Pid"]]
        named = [(one["Config"]["Labels"][label], one) for one in running]
        replicated = {group.name for group in observation.groups}
        return {
            one["Name"].lstrip("/") if service in replicated else service: int(one["State"]["Pid"])
            for service, one in named
            if not groups or service in groups
        }


def _kill(service: str, what: str) -> Fault:
    def kill(stand: Stand, _chance: random.Random) -> None:
        stand.kill(stand.pids(stand.runtime.observe(), (service,))[service])

    return Fault(f"kill-{service}", f"kill -9 of {what}", kill, ("kafka",))


def one_after_the_other(names: Sequence[str], normal: dict[str, float | None]) -> Fault:
    """These faults in one load, each once all is normal after the one before; `normal` learns how long that took."""

    def inflict(stand: Stand, chance: random.Random) -> None:
        for name in names:
            COMPOSE_FAULTS[name].inflict(stand, chance)
            normal[name] = stand.back_to_normal(NORMAL_WITHIN_S)

    return Fault("one-after-the-other", ", ".join(names), inflict, ("kafka",))


_SAME = (
    "none",
    "kill-replica",
    "kill-gateway",
    "kill-analytics",
    "kill-operations",
    "kill-provider",
    "rolling-restart",
    "scale-1-4-1",
    "hang",
    "slow-consumer",
    "lost-answers",
)
COMPOSE_FAULTS: dict[str, Fault] = {name: FAULTS[name] for name in _SAME} | {
    fault.name: fault
    for fault in (
        _kill("kafka", "the broker"),
        _kill("postgres", "the first process of PostgreSQL"),
        _kill("runtime", "the runtime, which holds the Engine's socket"),
    )
}
"""What befalls containers: the faults of processes that have nothing of processes alone, and the engines' deaths."""
