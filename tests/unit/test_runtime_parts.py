"""The small pieces of the runtime: back-off, ports, bounded logs, desired counts, long socket paths, the command."""

import os
import socket
from pathlib import Path

import pytest

from shop_stack.__main__ import main
from shop_stack.commands.frame import plain
from shop_stack.errors import HomeInUse
from shop_stack.hosting.topology import read_topology
from shop_stack.runtime.backoff import Backoff
from shop_stack.runtime.desired import read_desired, write_desired
from shop_stack.runtime.home_lock import HomeLock, holder
from shop_stack.runtime.ports import PREFERRED, choose_ports, moved
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.runtime.sockets import reachable
from shop_stack.settings import Home
from shop_stack.stack import read_stack

pytestmark = pytest.mark.pure
COMMANDS = ("up", "down", "status", "console", "dashboard", "demo", "scale", "logs", "journey", "load", "import")


def test_the_first_restart_is_at_once_and_a_loop_slows_down_and_is_said() -> None:
    backoff = Backoff()
    assert [backoff.died(t) for t in (0, 1, 2, 3, 4, 5, 6, 7, 8)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.words(30, "ended with exit code 1").startswith("crash loop, 9 deaths in a minute; ended with")
    assert backoff.died(200) == 0
    assert "crash loop" not in backoff.words(0, "killed by SIGKILL")


def test_a_taken_port_moves_and_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = dict.fromkeys(PREFERRED, 0) | {"gateway": taken.getsockname()[1]}
        chosen = choose_ports(wanted)
    assert list(moved(wanted, chosen)) == ["gateway"]
    assert len(set(chosen.values())) == len(PREFERRED)
    assert 0 not in chosen.values()


def test_a_log_is_bounded_while_its_writer_goes_on(tmp_path: Path) -> None:
    logs = ReplicaLogs(tmp_path, cap_bytes=1000)
    descriptor = logs.open("orders-1")
    for n in range(100):
        os.write(descriptor, f"line {n:03}\n".encode())
        logs.trim()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2100
    assert logs.tail(["orders-1"], 3) == ["orders-1  line 097", "orders-1  line 098", "orders-1  line 099"]
    assert logs.last_words("orders-1") == "line 099"
    os.close(descriptor)


def test_a_groups_tail_shares_its_lines_among_its_replicas(tmp_path: Path) -> None:
    logs = ReplicaLogs(tmp_path)
    for name, count in (("orders-1", 50), ("orders-2", 2), ("orders-10", 50), ("payments-1", 5)):
        logs.path(name).write_text("".join(f"{n}\n" for n in range(count)))
    assert logs.names("orders") == ["orders-1", "orders-2", "orders-10"]
    tail = logs.tail(logs.names("orders"), 12)
    assert len(tail) == 12
    assert {line.split()[0] for line in tail} == {"orders-1", "orders-2", "orders-10"}
    assert tail[-1] == "orders-10  49"


def test_desired_counts_are_kept_within_bounds_and_per_topology(tmp_path: Path) -> None:
    home, stack = Home(tmp_path), read_stack()
    many, one = read_topology("microservices", stack), read_topology("monolith", stack)
    assert set(read_desired(home, many, stack).values()) == {1}
    write_desired(home, many, {"orders": 3, "payments": 0, "catalog": 99})
    kept = read_desired(home, many, stack)
    assert (kept["orders"], kept["payments"], kept["catalog"], kept["shipping"]) == (3, 0, 8, 1)
    assert read_desired(home, one, stack) == {"shop": 1}
    (tmp_path / "desired.json").write_text("torn")
    assert set(read_desired(home, many, stack).values()) == {1}


def test_one_supervisor_a_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert holder(home) is None
    lock = HomeLock(home)
    lock.take()
    assert holder(home) == os.getpid()
    with pytest.raises(HomeInUse, match=rf"pid {os.getpid()}.*shopfloor down"):
        HomeLock(home).take()
    lock.release()
    assert holder(home) is None


def test_a_socket_in_a_deep_folder_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "supervisor.sock"
    deep.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with reachable(deep) as name:
            server.bind(name)
        server.listen()
        with reachable(deep) as name:
            client.connect(name)
    assert deep.exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["status"], 3, "shopfloor up --home"),
        (["down"], 3, "nothing runs on"),
        (["logs", "orders"], 3, "nothing has run on"),
        (["scale", "orders", "2"], 3, "shopfloor up --home"),
        (["journey", "o-1"], 3, "shopfloor up --home"),
        (["demo", "peak"], 3, "shopfloor up --home"),
        (["load", "--rate", "1", "--for", "soon"], 2, "--for 'soon' is not a time"),
        (["up", "--log", "redis://x"], 2, "neither `embedded:` nor"),
        (["up", "--bind", "everywhere"], 2, "no IP address"),
        (["up", "--port", "70000"], 2, "not between 0 and 65535"),
        (["up", "--delivery-seconds", "-1"], 2, "must be more than 0"),
        (["up", "--stack", "/nowhere.toml"], 2, "cannot read the stack file"),
    ],
)
def test_an_error_is_one_sentence_with_what_to_do(
    words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([words[0], "--home", str(tmp_path), *words[1:]]) == code
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples_and_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([name, "--help"])
    assert leaving.value.code == 0
    told = capsys.readouterr().out
    assert f"shopfloor {name}" in told.split("examples:")[1]
    assert "exit codes:" in told


def test_text_from_logs_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2Jb\tc\x07") == "a�[2Jb\tc�"
