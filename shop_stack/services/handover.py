"""Work that a transaction has written and that a worker of the same process may begin without claiming it again.

The row is stored as claimed by this process, with a lease: when the process dies, or the line here grows too long,
another worker finds the row in the store once its lease has ended. So the line is a short cut, never a promise.
"""

import threading
import time
from collections import deque
from weakref import WeakKeyDictionary

import msgspec

from shop_stack.hosting.service import ServiceContext

_FORGET_AFTER_S = 5.0


class Handed(msgspec.Struct, frozen=True):
    """A row by its id, and the attempt that it was claimed for."""

    row_id: str
    attempt: int
    since: float


class Handover:
    """A line of at most `most` rows for each context; offered inside a transaction, taken after its commit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: WeakKeyDictionary[ServiceContext, deque[Handed]] = WeakKeyDictionary()
        self._guard = threading.Lock()

    def offer(self, context: ServiceContext, row_id: str, attempt: int) -> bool:
        """Put a row in line; False when the line is full, then it is to be stored as due and unclaimed."""
        line = self._line(context)
        if len(line) >= self._most:
            return False
        line.append(Handed(row_id, attempt, time.monotonic()))
        return True

    def take(self, context: ServiceContext) -> Handed | None:
        """The row that is first in line."""
        try:
            return self._line(context).popleft()
        except IndexError:
            return None

    def put_back(self, context: ServiceContext, handed: Handed) -> None:
        """The row's transaction has not committed yet; one that never does is forgotten after 5 s."""
        if time.monotonic() - handed.since < _FORGET_AFTER_S:
            self._line(context).append(handed)

    def waiting(self, context: ServiceContext) -> int:
        """How many rows are in line."""
        return len(self._line(context))

    def _line(self, context: ServiceContext) -> deque[Handed]:
        line = self._lines.get(context)
        if line is None:
            with self._guard:
                line = self._lines.setdefault(context, deque())
        return line
