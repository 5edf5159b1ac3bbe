"""Unix sockets at paths of any length: the kernel takes 107 bytes, a home folder may lie deeper."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 107


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for `path` that fits a socket address while the block lasts.

    A longer one goes through a descriptor of its folder (Linux). Raises OSError when the folder is missing.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
