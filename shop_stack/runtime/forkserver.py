"""A process that has imported the services once and forks each replica from there, so that they share memory.

Started as `python -m shop_stack.runtime.forkserver DESCRIPTOR`. It has one thread, asserted before every fork: a
lock held by another thread would stay locked in the child for ever.
"""

import gc
import importlib
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from shop_stack.settings import Settings, from_environment

_LARGEST = 1 << 16


class ForkRequest(msgspec.Struct, frozen=True):
    """Run `module.function(settings, *arguments, channel)`; channel and log come as descriptors beside it."""

    module: str
    function: str
    settings: bytes
    arguments: list[str]


class ForkAnswer(msgspec.Struct, frozen=True):
    """`warm`: imports are done. `forked`: the child's pid. `exited`: a child's wait status."""

    kind: str
    pid: int = 0
    status: int = 0


def main(descriptor: int) -> None:
    """Import, say `warm`, then fork on request until the supervisor's end of the socket closes."""
    server = socket.socket(fileno=descriptor)
    _warm_up(from_environment())
    wake_in, wake_out = os.pipe()
    os.set_blocking(wake_out, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(wake_out)
    _say(server, ForkAnswer("warm"))
    _serve(server, wake_in, wake_out)


def _warm_up(settings: Settings) -> None:
    """Import what the children need; freezing what is there keeps the collector from touching shared pages."""
    for name in ("shop_stack.hosting.host", "shop_stack.provider.app", "shop_stack.operations.api"):
        module = importlib.import_module(name)
        preload = getattr(module, "preload", None)
        if preload is not None:
            preload(settings)
    gc.collect()
    gc.freeze()


def _serve(server: socket.socket, wake_in: int, wake_out: int) -> None:
    while True:
        readable, _, _ = select.select([server.fileno(), wake_in], [], [])
        if wake_in in readable:
            os.read(wake_in, 4096)
            _reap(server)
        if server.fileno() in readable:
            message, descriptors, _, _ = socket.recv_fds(server, _LARGEST, 2)
            if not message:
                return
            request = msgspec.msgpack.decode(message, type=ForkRequest)
            pid = _fork(request, descriptors, server, (wake_in, wake_out))
            for descriptor in descriptors:
                os.close(descriptor)
            _say(server, ForkAnswer("forked", pid=pid))


def _reap(server: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(server, ForkAnswer("exited", pid=pid, status=status))


def _say(server: socket.socket, answer: ForkAnswer) -> None:
    try:
        server.send(msgspec.msgpack.encode(answer))
    except OSError:
        sys.exit(0)


def _fork(request: ForkRequest, descriptors: list[int], server: socket.socket, wake: tuple[int, int]) -> int:
    threads = len(os.listdir("/proc/self/task")) if Path("/proc/self/task").exists() else 1
    assert threads == 1, f"{threads} threads in the fork server: an import of the services started one"
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        server.close()
        for descriptor in wake:
            os.close(descriptor)
        _become(request, *descriptors)
    return pid


def _become(request: ForkRequest, channel: int, log: int) -> NoReturn:
    """The child: its output goes to its log, its life hangs on the channel."""
    status = 1
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _name_process(" ".join([request.function.removeprefix("run_"), *request.arguments]))
        target: Any = getattr(importlib.import_module(request.module), request.function)
        target(pickle.loads(request.settings), *request.arguments, Connection(channel))
        status = 0
    finally:
        problem = sys.exception()
        if isinstance(problem, SystemExit):
            status = problem.code if isinstance(problem.code, int) else int(problem.code is not None)
        elif problem is not None:
            traceback.print_exception(problem)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _name_process(name: str) -> None:
    """The name that `top` and `ps -c` show (15 characters)."""
    try:
        Path("/proc/self/comm").write_text(name.split()[-1][:15])
    except OSError:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
