"""The seeded bugs: each a function that patches the real code at run time, entered under its name.

The cards keep the handlers and timers they were made with, so those are exchanged in the template that all schedules
of the process begin from.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shop_stack.trials.shop import shelf

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]
BUGS: dict[str, Bug] = {}


def bug(name: str) -> Callable[[Bug], Bug]:
    """Enter a bug in the table under this name."""

    def enter(seed: Bug) -> Bug:
        BUGS[name] = seed
        return seed

    return enter


def exchange(patch: Patch, service: str, **changes: Any) -> None:
    """Another card for a service."""
    patch.setitem(shelf().cards, service, replace(shelf().cards[service], **changes))


def without_timer(patch: Patch, service: str, name: str) -> None:
    """The service's timer has its turns and does nothing."""
    timers = shelf().cards[service].timers
    changed = tuple(replace(timer, run=lambda _: False) if timer.name == name else timer for timer in timers)
    exchange(patch, service, timers=changed)
