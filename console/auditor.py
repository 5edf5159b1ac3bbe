"""Asks operations for audits, one at a time, and keeps the last answer for as long as the console is open."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from console.rows.audit import Audited
from shop_stack.errors import AccessDenied, ActionRefused

if TYPE_CHECKING:
    from console.feed import Feed
    from shop_stack.operations.audit import Report


AGAIN = timedelta(seconds=2)  # between two questions while somebody else's audit is under way


class Auditor:
    """Lives on the screens' thread. `now` is the console's clock; `changed` is called when an audit has ended."""

    def __init__(self, feed: "Feed", now: Callable[[], datetime], changed: Callable[[], None]) -> None:
        self._feed = feed
        self._now = now
        self._changed = changed
        self._asked_at = now()
        self._under_way = False
        self.audited = Audited()

    def ask(self, *, strict: bool = False) -> bool:
        """Begin an audit, unless one is under way; whether it was begun."""
        if self.audited.since is not None:
            return False
        self.audited = self.audited._replace(since=self._now(), strictly=strict)
        self._send()
        return True

    def look(self) -> None:
        """Ask once more when somebody else's audit was in the way; to be called each second."""
        if not self.audited.waits or self._now() - self._asked_at < AGAIN:
            return
        if self._under_way:  # a refusal comes at once: by now it is this one that runs
            self.audited = self.audited._replace(since=self._asked_at, waits="")
        else:
            self._send()

    def _send(self) -> None:
        strict, self._asked_at, self._under_way = self.audited.strictly, self._now(), True
        self._feed.ask_at_length(lambda client: client.audit(strict=strict), self._take)

    def _take(self, answer: "Report | Exception") -> None:
        self._under_way = False
        if isinstance(answer, ActionRefused):
            self.audited = self.audited._replace(waits=str(answer))
        elif isinstance(answer, Exception):
            denied = isinstance(answer, AccessDenied)
            self.audited = self.audited._replace(trouble=str(answer), denied=denied, since=None, waits="")
        else:
            self.audited = Audited(answer, self._now())
        self._changed()
