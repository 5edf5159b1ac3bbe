"""Processes under a supervisor: each is watched by a descriptor of its own and killed by it, never by a reused pid."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import IO, Any

import psutil

_LOOK_EVERY_S = 0.02


class Process:
    """One running process. `gone` is set, and `on_exit` called, once it has ended; `status` is then its exit status."""

    def __init__(self, pid: int, popen: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        self.started_at = time.time()
        self.gone = asyncio.Event()
        self.status: int | None = None
        self.on_exit: Callable[[], None] | None = None
        self._popen = popen
        self.lifeline: IO[bytes] | None = None
        self._watch = os.pidfd_open(pid)
        self._meter: psutil.Process | None = None
        self._usage = (0.0, 0)
        asyncio.get_running_loop().add_reader(self._watch, self._ended)

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if not self.gone.is_set():
            try:
                signal.pidfd_send_signal(self._watch, number)
            except ProcessLookupError:
                return

    async def stop(self, patience_s: float) -> None:
        """SIGTERM, then SIGKILL when it has not ended in time."""
        self.signal(signal.SIGTERM)
        if not await self.ended_within(patience_s):
            self.signal(signal.SIGKILL)
            await self.gone.wait()

    async def ended_within(self, patience_s: float) -> bool:
        """Wait for its end; False when it still runs then."""
        try:
            await asyncio.wait_for(self.gone.wait(), patience_s)
        except TimeoutError:
            return False
        return True

    def usage(self, *, with_children: bool = True) -> tuple[float, int]:
        """CPU seconds since it started (with children that it waited for, unless told not) and resident bytes."""
        try:
            if self._meter is None:
                self._meter = psutil.Process(self.pid)
            times = self._meter.cpu_times()
            spent = times.user + times.system
            if with_children:
                spent += times.children_user + times.children_system
            self._usage = (spent, self._meter.memory_info().rss)
        except psutil.Error:
            pass
        return self._usage

    def ending(self) -> str:
        """How it ended, in words."""
        if self.status is None:
            return "ended"
        if self.status < 0:
            return f"killed by {_signal_name(-self.status)}"
        return f"ended with exit code {self.status}"

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        if self._popen is None:
            _reap(self.pid)
            self._finish()
        else:
            self.status = self._popen.wait()
            self._end_group(patience=250)

    def _end_group(self, patience: int) -> None:
        """A program is gone when what it has left in its session (a model being fitted) is gone too."""
        _reap(-self.pid)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            patience = 0
        if patience == 0:
            self._finish()
        else:
            asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._end_group, patience - 1)

    def _finish(self) -> None:
        self.gone.set()
        if self.on_exit is not None:
            self.on_exit()


def spawn(command: list[str], log: int, **options: Any) -> tuple[Process, "subprocess.Popen[bytes]"]:
    """Start a program in a session of its own (a Ctrl-C on the terminal is the supervisor's alone)."""
    popen = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **options)
    return Process(popen.pid, popen), popen


def listen(channel: Connection, hear: Callable[[str, Any], None]) -> None:
    """Call `hear(kind, value)` for each message of a child until it closes its end."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        try:
            kind, value = channel.recv()
        except (EOFError, OSError):
            loop.remove_reader(channel.fileno())
            channel.close()
            return
        hear(kind, value)

    loop.add_reader(channel.fileno(), readable)


def _reap(pid: int) -> None:
    """Children of a dead fork server or program are adopted by the supervisor and must be waited for."""
    try:
        while os.waitpid(pid, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
