"""Where the shop reads the clock, chance, entropy and network of its process, and how a simulation puts in its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

from shop_stack import ids
from shop_stack.eventlog import delivery, relay
from shop_stack.services import handover
from shop_stack.services.payments import provider

READS_THE_CLOCK = (delivery, relay, handover)
"""Every module on the simulated path that reads `time.monotonic`; a test holds this list against the sources."""
ROLLS_DICE = (delivery, relay)
TAKES_ENTROPY = (ids,)
WAITS = (delivery,)
"""Every module on it whose turns wait for a moment (`threading.Event.wait`)."""


class Ticker:
    """Stands in for the module `time`."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.monotonic = seconds


class Pause(threading.Event):
    """An event that nobody sets: who waits for it lets the world's time pass."""

    def __init__(self, wait: Callable[[float], None]) -> None:
        super().__init__()
        self._pass = wait

    def wait(self, timeout: float | None = None) -> bool:
        """False, so much later."""
        self._pass(timeout or 0.0)
        return self.is_set()


class Threads:
    """Stands in for the module `threading` where only events are asked of it."""

    def __init__(self, wait: Callable[[float], None]) -> None:
        self.Event = partial(Pause, wait)


class Entropy:
    """Stands in for the module `os` where only `urandom` is asked of it."""

    def __init__(self, random: Random) -> None:
        self.urandom = random.randbytes


@contextmanager
def injected(
    seconds: Callable[[], float], random: Random, wait: Callable[[float], None], call: Callable[..., Any]
) -> Iterator[None]:
    """Within, the shop's delivery, relay, hand-over and ids live by this clock and chance; `wait` lets time pass.

    `call` answers in the payment provider's stead (see services.payments.provider.call).
    """
    ticker, entropy = Ticker(seconds), Entropy(random)
    changes: list[tuple[Any, str, Any]] = [(module, "time", ticker) for module in READS_THE_CLOCK]
    changes += [(module, "random", random) for module in ROLLS_DICE]
    changes += [(module, "os", entropy) for module in TAKES_ENTROPY]
    changes += [(module, "threading", Threads(wait)) for module in WAITS]
    changes.append((provider, "call", call))
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, ours in changes:
            setattr(module, name, ours)
        yield
    finally:
        for module, name, original in before:
            setattr(module, name, original)
