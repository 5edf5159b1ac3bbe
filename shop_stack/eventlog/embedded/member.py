"""Signs of life of a group's members: a locked file shows who lives, a lease in it who still works."""

import fcntl
import os
import time
from pathlib import Path
from secrets import token_hex


class Member:
    """This process's own sign of life. The lock vanishes with the process; `renew` says that it is at work."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = f"{os.getpid()}-{token_hex(4)}"
        self._path = folder / self.name
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.renew()

    def renew(self) -> None:
        """Start the lease anew."""
        os.pwrite(self._file, f"{time.monotonic_ns():020d}".encode(), 0)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def is_alive(folder: Path, name: str, lease_s: float) -> bool:
    """Whether a member's process lives and has renewed its lease within `lease_s`."""
    try:
        file = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        renewed = os.pread(file, 20, 0)
        return not renewed.isdigit() or time.monotonic_ns() - int(renewed) < lease_s * 1e9
    else:
        return False  # nobody holds it: the process is gone
    finally:
        os.close(file)
