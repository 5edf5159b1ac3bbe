"""A service's real database in memory, set back to a template before each schedule, where faults may strike."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from shop_stack.hosting.sqlite_store import Kept, SqliteStore


class Strikes(Protocol):
    """What may strike a store; each may raise StoreBusy or end the process."""

    def before_write(self, store: str) -> None:
        """A writer asks for its turn."""

    def before_commit(self, store: str) -> None:
        """A transaction is about to commit."""

    def after_commit(self, store: str, driver: sqlite3.Connection) -> None:
        """A transaction has committed, and nobody knows yet."""


class MemoryStore(SqliteStore):
    """The store of one service; all replicas of a schedule share it, as they share the file."""

    def __init__(self, name: str) -> None:
        super().__init__(None)
        self.name = name
        self.strikes: Strikes | None = None

    @contextmanager
    def write(self, wait_s: float = 5.0, holding: Sequence[str] = ()) -> Iterator[Kept]:
        """One write transaction; see Store.write."""
        strikes = self.strikes
        if strikes is None:
            with super().write(wait_s) as kept:
                yield kept
            return
        strikes.before_write(self.name)
        with super().write(wait_s) as kept:
            yield kept
            strikes.before_commit(self.name)
        strikes.after_commit(self.name, kept.driver)

    def image(self) -> bytes:
        """The whole database."""
        return self.kept().driver.serialize()

    def restore(self, image: bytes) -> None:
        """Become what `image` returned then."""
        self.kept().driver.deserialize(image)
