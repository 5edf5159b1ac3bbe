"""The pipe between a supervisor and its processes: when it closes, the process goes, so that none is orphaned."""

import os
import signal
import threading


def follow_supervisor() -> None:
    """Follow the pipe on standard input, if a supervisor has started this process; a container is kept otherwise."""
    if "SHOPFLOOR_SETTINGS" in os.environ:
        follow(0)


def follow(descriptor: int) -> None:
    """Send this process SIGTERM once the other end of the pipe closes, and kill it 10 s later if it stays."""
    threading.Thread(target=_wait, args=(descriptor,), name="lifeline", daemon=True).start()


def _wait(descriptor: int) -> None:
    while True:
        try:
            if not os.read(descriptor, 1):
                break
        except OSError:
            break
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(10)
    os._exit(1)
