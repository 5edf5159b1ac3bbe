"""How far an import has come, kept beside the home's other state, and one import at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from shop_stack.errors import ImportRefused
from shop_stack.settings import Home


class ImportReport(msgspec.Struct, kw_only=True):
    """What became of every line of a file and of its money.

    `lines_read` = `lines_imported` + the sum of `reasons`; in minor units `net_sales_minor` =
    `imported_minor` + the sum of `reason_money_minor` + `rounding_minor`. `net_sales` is the file's own sum over all
    lines in the currency's unit, to the minor unit; `file_sum` is the same, exact. `peak_memory_bytes` is the
    largest resident size of this process.
    """

    file: str
    file_hash: str
    currency: str
    already_imported: bool
    lines_read: int
    lines_imported: int
    reasons: dict[str, int]
    net_sales: float
    net_sales_minor: int
    imported_minor: int
    reason_money: dict[str, float]
    reason_money_minor: dict[str, int]
    rounding_minor: int
    file_sum: str
    orders: int
    products: int
    products_added: int
    products_kept: int
    customers: int
    anonymous_lines: int
    first: datetime | None
    last: datetime | None
    seconds: float
    peak_memory_bytes: int


class Progress(msgspec.Struct, kw_only=True):
    """How far: products that were sent, orders that were appended; `report` once all is done.

    It is good for one event log, named by `log_id`. It may lag behind the log by what one append holds:
    those events come twice under the same ids, and readers take the first.
    """

    log_id: str
    products_added: int = 0
    products_kept: int = 0
    products_sent: bool = False
    orders_appended: int = 0
    report: ImportReport | None = None


def load(home: Home, file_hash: str, log_id: str) -> Progress:
    """The progress of this file on this log; a new one when there is none."""
    try:
        kept = msgspec.json.decode(_path(home, file_hash).read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress(log_id=log_id)
    except msgspec.MsgspecError:
        return Progress(log_id=log_id)  # all that it saves is work: every step can be done again
    return kept if kept.log_id == log_id else Progress(log_id=log_id)


def save(home: Home, file_hash: str, progress: Progress) -> None:
    """Keep the progress; replaced by rename, so that a reader sees the old or the new."""
    path = _path(home, file_hash)
    written = path.with_suffix(".new")
    written.write_bytes(msgspec.json.encode(progress))
    written.replace(path)


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """One import at a time on a home. Raises ImportRefused when another one runs."""
    folder = home.path / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ImportRefused("another import runs on this home; wait until it is done") from None
    else:
        yield
    finally:
        os.close(descriptor)


def _path(home: Home, file_hash: str) -> Path:
    return home.path / "imports" / f"{file_hash}.json"
