"""CPU and memory of a running stack: its supervisor and everything below it."""

import contextlib
from pathlib import Path

import psutil


def members(supervisor_pid: int) -> list[psutil.Process]:
    """The supervisor and all its descendants."""
    root = psutil.Process(supervisor_pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(supervisor_pid: int) -> float:
    """User and system seconds that all processes of the tree have used, reaped children included."""
    total = 0.0
    for process in members(supervisor_pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def pss_mib(supervisor_pid: int, part: str = "Pss") -> dict[str, float]:
    """Proportional set size in MiB by process name and pid (shared pages counted once over the tree).

    `part`: Pss, or Pss_Anon without the pages of mapped files, which the kernel can drop at any time.
    """
    sizes: dict[str, float] = {}
    for process in members(supervisor_pid):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{part}:"))
            command = " ".join(process.cmdline())[-60:] or process.name()
            sizes[f"{process.pid} {command}"] = kib / 1024
    return sizes
