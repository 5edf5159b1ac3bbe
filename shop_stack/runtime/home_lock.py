"""One supervisor a home: a lock that dies with its holder, and what an earlier supervisor left running."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import psutil

from shop_stack.errors import HomeInUse, NotRunning
from shop_stack.settings import Home, read_endpoints

LEAVE_S = 25.0
_SAME_PROCESS_S = 2.0


class Left(msgspec.Struct, frozen=True):
    """A process that a supervisor has started: its pid, and when, so that a reused pid is told apart."""

    pid: int
    started_at: float


class HomeLock:
    """Held while a supervisor runs; the kernel lets go when its process dies, however it dies."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._descriptor = -1

    def take(self) -> None:
        """Raises HomeInUse naming the holder's pid and its gateway's address."""
        self._home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._home.supervisor_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise HomeInUse(_in_use(self._home)) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let go."""
        os.close(self._descriptor)


def holder(home: Home) -> int | None:
    """The pid of the supervisor that runs on this home; None when none does."""
    try:
        descriptor = os.open(home.supervisor_lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 32, 0) or b"0")
    else:
        return None
    finally:
        os.close(descriptor)


def _in_use(home: Home) -> str:
    try:
        address = f", {read_endpoints(home).gateway}"
    except NotRunning:
        address = ""
    pid = home.supervisor_lock.read_text() or "starting"
    return (
        f"Shopfloor already runs on {home.path} (pid {pid}{address}); stop it with: "
        f"shopfloor down --home {home.path}, or name another folder with --home"
    )


def remember(home: Home, processes: Iterable[Left]) -> None:
    """Write down which processes run, for the supervisor that comes after a kill -9."""
    write_whole(_list(home), msgspec.json.encode(list(processes)))


def see_off(home: Home, say: Callable[[str], None]) -> None:
    """Wait until the processes of a killed supervisor have left by their lifelines; kill those that do not."""
    left = [process for entry in _remembered(home) if (process := _still_there(entry)) is not None]
    if not left:
        return
    say(f"waiting for {len(left)} processes of a killed run to leave")
    deadline = time.monotonic() + LEAVE_S
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    for process in left:
        process.send_signal(signal.SIGKILL)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a small file so that a reader sees the old or the new one, never half."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def _list(home: Home) -> Path:
    return home.path / "processes.json"


def _remembered(home: Home) -> list[Left]:
    try:
        return msgspec.json.decode(_list(home).read_bytes(), type=list[Left])
    except (OSError, msgspec.MsgspecError):
        return []


def _still_there(entry: Left) -> psutil.Process | None:
    try:
        process = psutil.Process(entry.pid)
        same = abs(process.create_time() - entry.started_at) < _SAME_PROCESS_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
