"""What every runtime promises, whatever runs the replicas: the suite that processes and containers both go through.

`tests/stack` has it for processes, `tests/compose` for containers of the unmodified compose.yaml.
"""

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.runtime.client import SupervisorRuntime
from shop_stack.runtime.interface import Group, Observation, Replica
from shop_stack.runtime.sockets import reachable
from shop_stack.settings import Place
from tests.contracts.runtime_watch import HOT, PATIENCE_S, Callers, Held, Trial, Watch, readyz, until

OTHER = "recommendations"
"""Another group than the one that callers ask while it is scaled."""
PARTS = {"gateway", "analytics", "operations", "provider"}
NOT_A_PRODUCT = 400


class RuntimePromises:
    """The suite; a subclass gives `trial`, a stack that is up."""

    @pytest.fixture
    def runtime(self, trial: Trial) -> Iterator[SupervisorRuntime]:
        """The runtime, with one replica of each group ready, before and after."""
        until(lambda: _ready(trial.runtime))
        yield trial.runtime
        until(lambda: _ready(trial.runtime))
        for group in (HOT, OTHER):
            if self.group(trial.runtime, group).desired != 1:
                trial.runtime.scale(group, 1)

    def group(self, runtime: SupervisorRuntime, name: str) -> Group:
        return next(one for one in runtime.observe().groups if one.name == name)

    def replicas(self, runtime: SupervisorRuntime, name: str) -> list[Replica]:
        return self.group(runtime, name).replicas

    def pids(self, trial: Trial, name: str) -> list[int]:
        return [trial.pid(one.name) for one in self.replicas(trial.runtime, name)]

    def test_it_tells_every_group_replica_and_part(self, trial: Trial, runtime: SupervisorRuntime) -> None:
        seen = runtime.observe()
        assert abs(seen.at - time.time()) < 5
        assert {service for group in seen.groups for service in group.services} >= {HOT, OTHER, "orders", "payments"}
        assert {part.name for part in seen.parts} >= PARTS
        for group in seen.groups:
            assert [one.state for one in group.replicas] == ["ready"] * group.desired
            for one in group.replicas:
                assert re.fullmatch(rf"(.+-)?{group.name}-\d+", one.name), one.name
                assert readyz(one.place) == "readyz 200"
                assert 0 < one.started_at < seen.at
                assert one.restarts >= 0
        assert all(part.state in ("ready", "stopped") for part in seen.parts)
        until(lambda: all(one.cpu_s > 0 and one.memory_bytes > 10e6 for one in _all_replicas(runtime.observe())))

    def test_new_ones_enter_once_ready_and_leaving_ones_drain_then_are_out_then_end(
        self, trial: Trial, runtime: SupervisorRuntime
    ) -> None:
        with Callers(trial.door) as callers, Watch(trial) as watch:
            runtime.scale(HOT, 3)
            three = self.replicas(runtime, HOT)
            assert [(one.name[-1], one.state) for one in three] == [(str(n), "ready") for n in (1, 2, 3)]
            until(lambda: watch.stories.keys() >= {one.place for one in three}, 2)
            watch.follow(three[1:])
            with ThreadPoolExecutor(1) as other:
                for leaving in (three[2], three[1]):
                    held = Held(trial.inner_door, 9)
                    until(lambda: self.busy(trial, leaving.place), 5)  # noqa: B023 - asked at once
                    scaled = other.submit(runtime.scale, HOT, int(leaving.name[-1]) - 1)
                    until(lambda: watch.stories[leaving.place][-1] == "DRAINING", 30)  # noqa: B023
                    assert trial.pid(leaving.name) != 0
                    assert held.release() == [NOT_A_PRODUCT] * 9
                    scaled.result(PATIENCE_S)
                    assert leaving.place not in [one.place for one in self.replicas(runtime, HOT)]
            until(lambda: all(watch.stories[one.place][-1] == "ended" for one in three[1:]), 2)
        assert set(callers.statuses) == {200}
        assert watch.stories == {three[0].place: ["readyz 200", "HEALTHY"]} | {
            one.place: ["readyz 200", "HEALTHY", "DRAINING", "out", "ended"] for one in three[1:]
        }

    def busy(self, trial: Trial, place: Place) -> bool:
        """Whether the gateway has a request in flight to this replica that is not over soon."""
        hosts = EnvoyAdmin(trial.mesh.admin_socket).hosts()
        return any(host.active > 1 for host in hosts if host.place == place)

    def test_out_of_bounds_or_unknown_is_refused_and_changes_nothing(
        self, trial: Trial, runtime: SupervisorRuntime
    ) -> None:
        before = self.pids(trial, HOT)
        for wrong in (-1, 9, 10**6):
            with pytest.raises(ActionRefused, match=rf"{HOT} runs \d to 8 replicas.*, not {wrong}"):
                runtime.scale(HOT, wrong)
        for ask in (lambda: runtime.scale("cellar", 1), lambda: runtime.restart("cellar"),
                    lambda: runtime.logs("cellar")):  # fmt: skip
            with pytest.raises(ActionRefused, match=r"no process group is called 'cellar'.*there are: .*catalog"):
                ask()
        for of_none in (lambda: runtime.restart(HOT, "orders-1"), lambda: runtime.logs(HOT, "../runtime")):
            with pytest.raises(ActionRefused, match=rf"{HOT} has no replica '.*'; there are: .*{HOT}-1"):
                of_none()
        assert (self.pids(trial, HOT), self.group(runtime, HOT).desired) == (before, 1)

    def test_a_restart_in_turn_fails_no_request(self, trial: Trial, runtime: SupervisorRuntime) -> None:
        runtime.scale(HOT, 2)
        before, begun = self.pids(trial, HOT), time.time()
        with Callers(trial.door) as callers:
            runtime.restart(HOT)
        assert set(callers.statuses) == {200}
        after = self.pids(trial, HOT)
        assert len(after) == 2
        assert not set(before) & set(after)
        until(lambda: all(one.started_at > begun - 1 for one in self.replicas(runtime, HOT)), 5)

    def test_a_restart_of_one_leaves_the_other_alone(self, trial: Trial, runtime: SupervisorRuntime) -> None:
        runtime.scale(HOT, 2)
        first, second = self.replicas(runtime, HOT)
        kept, replaced = trial.pid(first.name), trial.pid(second.name)
        with Callers(trial.door) as callers:
            runtime.restart(HOT, second.name)
        assert set(callers.statuses) == {200}
        after = self.pids(trial, HOT)
        assert (len(after), kept in after, replaced in after) == (2, True, False)

    def test_a_lone_replica_is_replaced_without_a_failed_request(
        self, trial: Trial, runtime: SupervisorRuntime
    ) -> None:
        before = self.pids(trial, HOT)
        with Callers(trial.door) as callers:
            runtime.restart(HOT)
        assert set(callers.statuses) == {200}
        after = self.pids(trial, HOT)
        assert len(after) == 1
        assert after != before

    def test_a_killed_replica_comes_back_and_its_deaths_are_counted(
        self, trial: Trial, runtime: SupervisorRuntime
    ) -> None:
        runtime.scale(HOT, 2)
        victim = self.replicas(runtime, HOT)[1]
        pid = trial.pid(victim.name)
        with Callers(trial.door) as callers:
            os.kill(pid, signal.SIGKILL)
            until(lambda: trial.pid(victim.name) not in (pid, 0))
            back = until(lambda: self.revived(runtime, victim))
        assert set(callers.statuses) == {200}
        assert back.started_at > victim.started_at
        assert self.group(runtime, HOT).desired == 2

    def revived(self, runtime: SupervisorRuntime, victim: Replica) -> Replica | None:
        """The replica, once it is ready again and says that it has died once more."""
        found = [one for one in self.replicas(runtime, HOT) if one.name == victim.name]
        return next((one for one in found if one.state == "ready" and one.restarts == victim.restarts + 1), None)

    def test_scaling_ends_well_while_a_replica_dies(self, trial: Trial, runtime: SupervisorRuntime) -> None:
        with ThreadPoolExecutor(1) as other:
            (first,) = self.pids(trial, HOT)
            out = other.submit(runtime.scale, HOT, 3)
            until(lambda: self.group(runtime, HOT).desired == 3)
            os.kill(first, signal.SIGKILL)
            out.result(PATIENCE_S)
            until(lambda: _ready(runtime))
            assert len(self.replicas(runtime, HOT)) == 3
            dying = self.pids(trial, HOT)[1]
            back = other.submit(runtime.scale, HOT, 1)
            until(lambda: self.group(runtime, HOT).desired == 1)
            with contextlib.suppress(ProcessLookupError):
                os.kill(dying, signal.SIGKILL)
            back.result(PATIENCE_S)
        until(lambda: _ready(runtime))
        assert [one.state for one in self.replicas(runtime, HOT)] == ["ready"]

    def test_of_two_scalings_at_once_the_later_one_stands(self, trial: Trial, runtime: SupervisorRuntime) -> None:
        with ThreadPoolExecutor(2) as askers:
            earlier = askers.submit(runtime.scale, HOT, 3)
            until(lambda: self.group(runtime, HOT).desired == 3)
            later = askers.submit(runtime.scale, HOT, 2)
            earlier.result(PATIENCE_S)
            later.result(PATIENCE_S)
        assert self.group(runtime, HOT).desired == 2
        assert [one.state for one in self.replicas(runtime, HOT)] == ["ready", "ready"]

    def test_logs_bear_names_keep_to_their_number_and_are_of_groups_replicas_and_parts(
        self, trial: Trial, runtime: SupervisorRuntime
    ) -> None:
        runtime.scale(HOT, 2)
        names = [one.name for one in self.replicas(runtime, HOT)]
        for number in range(4):
            say(trial.pid(names[number % 2]), f"said {number}")
        until(
            lambda: (
                self.said(runtime, names[0]) + self.said(runtime, names[1]) == ["said 0", "said 2", "said 1", "said 3"]
            )
        )
        together = runtime.logs(HOT)
        assert {line.split()[0] for line in together if line.split()[1:2] == ["said"]} == set(names)
        assert len(together) <= 200
        assert [len(runtime.logs(HOT, lines=few)) for few in (1, 2)] == [1, 2]
        assert len(runtime.logs(HOT, names[1], lines=1)) == 1
        runtime.logs("analytics")

    def said(self, runtime: SupervisorRuntime, replica: str) -> list[str]:
        """What a replica has said; its name is before each line."""
        lines = [line.split(maxsplit=1) for line in runtime.logs(HOT, replica)]
        assert {line[0] for line in lines} <= {replica}
        return [line[1] for line in lines if line[1].startswith("said ")]

    def test_wanted_counts_outlive_the_runtime(self, trial: Trial, runtime: SupervisorRuntime) -> None:
        runtime.scale(OTHER, 2)
        trial.kill_runtime()
        until(lambda: _ready(runtime))
        assert self.group(runtime, OTHER).desired == 2
        assert len(self.replicas(runtime, OTHER)) == 2

    @pytest.mark.parametrize("line", [b"no json", b'{"do": "remove", "group": "orders"}', b'{"do": "observe", "x": 1}'])
    def test_what_it_does_not_know_it_refuses_and_goes_on(
        self, trial: Trial, runtime: SupervisorRuntime, line: bytes
    ) -> None:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(10)
            with reachable(trial.socket) as name:
                channel.connect(name)
            channel.sendall(line + b"\n")
            reply = json.loads(channel.makefile("rb").readline())
        assert reply["error"] == "SettingError"
        assert runtime.observe().groups


def say(pid: int, words: str) -> None:
    """Have a process say a line on its standard output."""
    with open(f"/proc/{pid}/fd/1", "ab", buffering=0) as output:
        output.write(words.encode() + b"\n")


def _all_replicas(seen: Observation) -> list[Replica]:
    return [one for group in seen.groups for one in group.replicas]


def _ready(runtime: SupervisorRuntime) -> bool:
    try:
        return runtime.observe().ready
    except NotRunning:
        return False
