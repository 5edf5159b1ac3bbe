"""Waking of waiting processes by Unix datagrams: listeners follow channels, a send reaches all who follow."""

import os
import select
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

_ADDRESS_LIMIT = 100
_LONGEST_NAME = 60
_SETTLED_NS = 50_000_000


class Channels:
    """The folder of channels: a subfolder each, with a link to every socket that follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sockets").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle: int | None = None
        self.base = str(folder)
        if len(self.base) + _LONGEST_NAME > _ADDRESS_LIMIT:  # a socket's address has 108 bytes
            self._handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            self.base = f"/proc/self/fd/{self._handle}"
        self._sweep()
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._known: dict[str, tuple[int, list[str]]] = {}
        self._closing = threading.Lock()

    def send(self, channel: str, message: bytes) -> None:
        """Wake all who follow the channel; a full queue means that its owner is about to look anyway."""
        for address in self._followers(channel):
            try:
                self._sender.sendto(message, address)
            except BlockingIOError:
                continue
            except (ConnectionRefusedError, FileNotFoundError):
                self._forget(channel, address)
            except OSError:
                continue  # closed, or short of buffers: listeners look by themselves once a second

    def close(self) -> None:
        with self._closing:
            self._sender.close()
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _followers(self, channel: str) -> list[str]:
        """Addresses by the folder's listing, kept until the folder changes."""
        folder = f"{self.base}/{channel}"
        known = self._known.get(channel)
        try:
            changed = os.stat(folder).st_mtime_ns
            if known is not None and known[0] == changed:
                return known[1]
            addresses = [f"{folder}/{name}" for name in os.listdir(folder)]
        except OSError:
            return []
        if time.time_ns() - changed > _SETTLED_NS:  # file times are coarse: a fresh one may hide a later change
            self._known[channel] = (changed, addresses)
        return addresses

    def _sweep(self) -> None:
        """Remove the sockets of processes that were killed; the links to them go when they are next sent to."""
        for name in os.listdir(f"{self.base}/sockets"):
            try:
                os.kill(int(name.partition("-")[0]), 0)
            except ProcessLookupError:
                with suppress(OSError):
                    os.unlink(f"{self.base}/sockets/{name}")
            except (PermissionError, ValueError):
                continue

    def _forget(self, channel: str, address: str) -> None:
        name = address.rpartition("/")[2]
        for stale in (address, f"{self.base}/sockets/{name}"):
            with suppress(OSError):
                os.unlink(stale)


class Listener:
    """One socket that follows channels. `hear` belongs to one thread; `nudge` may come from any."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._name = f"{os.getpid()}-{token_hex(4)}"
        self._address = f"{channels.base}/sockets/{self._name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self._address)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._followed: set[str] = set()

    def follow(self, channel: str) -> None:
        """Hear what is sent to the channel from now on."""
        if channel in self._followed:
            return
        folder = f"{self._channels.base}/{channel}"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.symlink(f"../sockets/{self._name}", f"{folder}/{self._name}")
        self._followed.add(channel)

    def leave(self, channel: str) -> None:
        """Hear no more of the channel."""
        if channel in self._followed:
            self._followed.discard(channel)
            self._remove(f"{self._channels.base}/{channel}/{self._name}")

    def hear(self, timeout_s: float) -> list[bytes]:
        """Messages that came, or come within the time; empty after it."""
        messages = self._drain()
        if not messages and timeout_s > 0:
            self._readable.poll(timeout_s * 1000)
            messages = self._drain()
        return messages

    def nudge(self, message: bytes = b"") -> None:
        """Make a waiting `hear` return."""
        try:
            self._socket.sendto(message, self._address)
        except OSError:
            return  # a full queue wakes as well; a closed socket waits for nothing

    def close(self) -> None:
        for channel in self._followed:
            self._remove(f"{self._channels.base}/{channel}/{self._name}")
        self._remove(self._address)
        self._followed.clear()
        self._socket.close()

    def _drain(self) -> list[bytes]:
        messages: list[bytes] = []
        while True:
            try:
                messages.append(self._socket.recv(4096))
            except BlockingIOError:
                return messages

    @staticmethod
    def _remove(path: str) -> None:
        with suppress(OSError):
            os.unlink(path)
