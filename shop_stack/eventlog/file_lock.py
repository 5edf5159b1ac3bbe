"""A lock on a file that processes take in turn, in the order in which they came, with a limit to the wait."""

import _thread
import fcntl
import os
from pathlib import Path


class Waiting:
    """One wait for a lock that is taken. The lock goes to whoever waits, or back if nobody does any more.

    A flock cannot be told to end, and one that is asked for again and again comes last: so a thread waits in the
    kernel. On bare threads and locks: a `Thread` would first wait for its own start, and that is a turn lost to the
    others.
    """

    def __init__(self, lock_file: int) -> None:
        self._lock_file = lock_file
        self._settling = _thread.allocate_lock()
        self._coming = _thread.allocate_lock()
        self._coming.acquire()
        self._given_up = False
        self._got = False

    def within(self, patience_s: float) -> bool:
        """Whether the lock came in time; if not, the file is closed once it comes, and with it the lock goes."""
        _thread.start_new_thread(self._wait, ())
        self._coming.acquire(timeout=patience_s)
        with self._settling:
            self._given_up = not self._got
        return self._got

    def _wait(self) -> None:
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        with self._settling:
            self._got = not self._given_up
            if self._given_up:
                os.close(self._lock_file)
        self._coming.release()


class FileLock:
    """The lock of one process; its threads must come one at a time. Nothing is opened before the first `take`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self, patience_s: float) -> bool:
        """Wait for the lock; False when its holder did not let go within so many seconds."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not Waiting(self._file).within(patience_s):
                self._file = None  # the thread's that waits for it, from now on
                return False
        return True

    def give_back(self) -> None:
        """Let the next one have it."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, and with it let go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
