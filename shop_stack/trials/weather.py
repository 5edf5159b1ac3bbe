"""What strikes the log and the stores of a simulated schedule, at the places where the plan says so."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from shop_stack.errors import LogUnavailable
from shop_stack.eventlog.interface import Record
from shop_stack.hosting.store import StoreBusy
from shop_stack.trials.memory_log import Weather
from shop_stack.trials.world import World

OnAppend = Callable[[str, Sequence[Record], Mapping[int, float]], None]
OnCommit = Callable[[str, sqlite3.Connection], None]


class LogWeather(Weather):
    """The log's faults; `on_append` tells the readers, `on_shared` the members of a group."""

    def __init__(self, world: World, on_append: OnAppend, on_shared: Callable[[str], None]) -> None:
        self._world = world
        self._on_shared = on_shared
        self._on_append = on_append
        self._late: tuple[str, float] | None = None
        self._twice = 1

    def before_append(self, topic: str, records: Sequence[Record]) -> int:
        """Crash, refuse, store a part, or make the records late or double."""
        self._late, self._twice = None, 1
        replica = self._world.acting
        fault = self._world.fault("append", replica.service) if replica is not None else None
        if fault is None:
            return len(records)
        if fault.what == "crash":
            self._world.die(fault, "before the log has what it sends")
        if fault.what == "away":
            self._world.strike(fault, "the log does not answer its append")
            raise LogUnavailable("the log is away")
        if fault.what == "half":
            self._world.strike(fault, "the log stores a part of its append and goes away")
            return len(records) // 2
        if fault.what == "late":
            self._world.strike(fault, f"what it appends to {topic} is {fault.amount:g} s late")
            self._late = topic, fault.amount
        elif fault.what == "twice":
            self._world.strike(fault, f"what it appends to {topic} is stored twice")
            self._twice = 2
        return len(records)

    def copies(self, topic: str, record: Record) -> int:
        """Twice when that is planned."""
        return self._twice

    def late_s(self, topic: str, partition: int) -> float:
        """The planned delay, or the usual one of a few milliseconds."""
        if self._late is not None and self._late[0] == topic:
            return self._late[1]
        return self._world.jitter("transport", 0.001, 0.02)

    def appended(self, topic: str, records: Sequence[Record], ends: Mapping[int, float]) -> None:
        """Tell the readers; then the sender may die or never hear of it."""
        self._on_append(topic, records, ends)
        replica = self._world.acting
        fault = self._world.fault("appended", replica.service) if replica is not None else None
        if fault is None:
            return
        if fault.what == "crash":
            self._world.die(fault, "after the log has what it sent, before it is marked")
        self._world.strike(fault, "the log has what it sent, and the acknowledgement is lost")
        raise LogUnavailable("the acknowledgement was lost")

    def before_poll(self, group: str) -> bool:
        """Away, or a rebalance."""
        fault = self._world.fault("poll", group)
        if fault is None:
            return False
        if fault.what == "away":
            self._world.strike(fault, "the log does not answer its poll")
            raise LogUnavailable("the log is away")
        self._world.strike(fault, "its group takes it for dead; it joins again")
        return True

    def before_commit(self, group: str) -> None:
        """Crash, or the log is away."""
        fault = self._world.fault("position", group)
        if fault is None:
            return
        if fault.what == "crash":
            self._world.die(fault, "after handling, before its position is committed")
        self._world.strike(fault, "the log does not take its position")
        raise LogUnavailable("the log is away")

    def committed(self, group: str) -> None:
        """Crash."""
        self._world.crash_at("positioned", "after its position is committed")

    def shared(self, group: str) -> None:
        """The members look within a second."""
        self._on_shared(group)


class StoreStrikes:
    """The stores' faults; `on_begin` and `on_commit` hear of every transaction."""

    def __init__(self, world: World, on_begin: Callable[[str], None], on_commit: OnCommit) -> None:
        self._world = world
        self._on_begin = on_begin
        self._on_commit = on_commit

    def before_write(self, store: str) -> None:
        """Busy."""
        self._on_begin(store)
        if (fault := self._world.fault("write", store)) is not None:
            self._world.strike(fault, "its store is taken")
            raise StoreBusy(f"another writer has held {store}; try again")

    def before_commit(self, store: str) -> None:
        """Crash."""
        self._world.crash_at("commit", "before its commit")

    def after_commit(self, store: str, driver: sqlite3.Connection) -> None:
        """Look at what is true after every commit; crash."""
        self._on_commit(store, driver)
        self._world.crash_at("committed", "after its commit, before anybody knows")
