"""What was written to a file or renamed in a folder stays after a power cut, once it was made durable here."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until the file, or the folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
