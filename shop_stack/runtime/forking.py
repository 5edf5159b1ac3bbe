"""The supervisor's side of the fork server: keep one running and ask it for children."""

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec

from shop_stack.errors import NotRunning
from shop_stack.runtime.forkserver import ForkAnswer, ForkRequest
from shop_stack.runtime.processes import Process, spawn
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.settings import Settings, to_environment


class ForkServer:
    """Starts children by forking; when the fork server itself dies, the next child starts a new one."""

    def __init__(self, settings: Settings, logs: ReplicaLogs) -> None:
        self._settings = settings
        self._logs = logs
        self._turn = asyncio.Lock()
        self._socket: socket.socket | None = None
        self._answers: asyncio.Queue[int | None] = asyncio.Queue()
        self._warm = asyncio.Event()
        self._children: dict[int, Process] = {}
        self.process: Process | None = None

    async def start(self) -> None:
        """Start the process; it warms up by itself."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._warm.clear()
        self._answers = asyncio.Queue()
        log = self._logs.open("forkserver")
        try:
            command = [sys.executable, "-m", "shop_stack.runtime.forkserver", str(theirs.fileno())]
            environment = os.environ | to_environment(self._settings)
            self.process, _ = spawn(command, log, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        finally:
            os.close(log)
            theirs.close()
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear, ours)

    async def fork(self, module: str, function: str, arguments: list[str], log_name: str) -> tuple[Process, Connection]:
        """A child that runs `module.function(settings, *arguments, channel)`, and our end of its channel.

        Raises NotRunning when the fork server cannot be started.
        """
        request = ForkRequest(module, function, pickle.dumps(self._settings), arguments)
        async with self._turn:
            for _ in range(3):
                if self._socket is None:
                    await self.start()
                started = await self._ask(request, log_name)
                if started is not None:
                    return started
        words = self._logs.last_words("forkserver")
        raise NotRunning(f"the fork server does not start ({words}); see: shopfloor logs forkserver")

    async def stop(self) -> None:
        """Close our end, which ends it."""
        self._forget()
        if self.process is not None:
            await self.process.stop(2)

    async def _ask(self, request: ForkRequest, log_name: str) -> tuple[Process, Connection] | None:
        await self._warm.wait()
        if self._socket is None:
            return None
        answers = self._answers
        ours, theirs = Pipe(duplex=True)
        log = self._logs.open(log_name)
        try:
            socket.send_fds(self._socket, [msgspec.msgpack.encode(request)], [theirs.fileno(), log])
            pid = await answers.get()
            if pid is None:
                ours.close()
                return None
            child = Process(pid)
        except (OSError, ProcessLookupError):
            ours.close()
            return None
        finally:
            os.close(log)
            theirs.close()
        self._children[pid] = child
        return child, ours

    def _hear(self, ours: socket.socket) -> None:
        try:
            message = ours.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._forget()
            return
        answer = msgspec.msgpack.decode(message, type=ForkAnswer)
        if answer.kind == "warm":
            self._warm.set()
        elif answer.kind == "forked":
            self._answers.put_nowait(answer.pid)
        elif answer.kind == "exited" and answer.pid in self._children:
            self._children.pop(answer.pid).status = os.waitstatus_to_exitcode(answer.status)

    def _forget(self) -> None:
        """The fork server is gone; whoever waits for it is told."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._answers.put_nowait(None)
        self._warm.set()
