"""What each process writes to its standard output and error: one file a process, bounded in size."""

import os
from pathlib import Path

CAP_BYTES = 1 << 20
_TAIL_BYTES = 256 * 1024


class ReplicaLogs:
    """The log files of one home: `NAME.log` and, once it was full, the part before it as `NAME.log.1`.

    Processes append to their file themselves, so that a dead supervisor costs no line.
    """

    def __init__(self, folder: Path, cap_bytes: int = CAP_BYTES) -> None:
        self._folder = folder
        self._cap_bytes = cap_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, name: str) -> Path:
        """The file of a replica (`orders-1`) or part (`gateway`)."""
        return self._folder / f"{name}.log"

    def open(self, name: str) -> int:
        """A descriptor for appending; the caller closes it."""
        return os.open(self.path(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def trim(self) -> None:
        """Move what is in each full file aside. Its process goes on appending to the emptied file."""
        for path in self._folder.glob("*.log"):
            if path.stat().st_size > self._cap_bytes:
                path.with_suffix(".log.1").write_bytes(path.read_bytes()[-self._cap_bytes :])
                os.truncate(path, 0)

    def tail(self, names: list[str], lines: int) -> list[str]:
        """The last lines of these processes, each with its name before it; one process after the other."""
        each = [[f"{name}  {line}" for line in self._lines(name)[-lines:]] for name in names]
        share = max(1, lines // max(1, sum(1 for tail in each if tail)))
        spare = lines - sum(min(len(tail), share) for tail in each)
        kept = []
        for tail in each:
            extra = min(max(0, len(tail) - share), max(0, spare))
            spare -= extra
            kept += tail[-(share + extra) :]
        return kept[-lines:]

    def last_words(self, name: str) -> str:
        """The last line that is not empty; the reason of most deaths."""
        return next((line.strip()[:200] for line in reversed(self._lines(name)) if line.strip()), "")

    def names(self, group: str) -> list[str]:
        """The processes of a group that have a file, in the order of their numbers."""
        found = [path.stem for path in self._folder.glob("*.log") if path.stem.rpartition("-")[0] == group]
        return sorted(found, key=lambda name: int(name.rpartition("-")[2]) if name.rpartition("-")[2].isdigit() else 0)

    def _lines(self, name: str) -> list[str]:
        text = b""
        for path in (self.path(name), self.path(name).with_suffix(".log.1")):
            if path.exists() and len(text) < _TAIL_BYTES:
                text = _end_of(path) + text
        return text.decode(errors="replace").splitlines()


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        return file.read()
