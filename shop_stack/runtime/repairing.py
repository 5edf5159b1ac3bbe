"""At the start of a stack: look whether the embedded log has lost anything, and send it again from the outboxes."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from shop_stack.errors import EventLogError
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog, TopicPartition
from shop_stack.eventlog.loss import find_loss
from shop_stack.eventlog.repair import Repaired, repair
from shop_stack.eventlog.sent_rows import OPERATIONS, SERVICE, SentRows
from shop_stack.settings import Home, Settings, to_environment

_ANALYTICS_ANSWERS_S = 60.0


class _Read(msgspec.Struct):
    """What `python -m analytics.positions` prints."""

    log_id: str
    positions: list[tuple[str, int, int]]


def repair_at_start(settings: Settings, say: Callable[[str], None]) -> Repaired | None:
    """Repair the embedded log of a home while nothing runs on it; None when nothing was lost, or on a new home.

    Says what it finds and what it did. A log or outbox that cannot be read is said, and the start goes on: the
    services say what is wrong with it. Kafka keeps its own tails: there it does nothing.
    """
    if settings.log_url != "embedded:" or not (settings.home.log / "log_id").exists():
        return None
    try:
        with EmbeddedLog(settings.home.log) as log:
            outboxes = outboxes_of(settings.home)
            if not find_loss(log, outboxes, _now()):
                return None
            say("the event log has lost its tail: comparing it with the outboxes")
            done = repair(log, outboxes, _claims(settings, log, say), _now)
    except (EventLogError, sqlite3.Error) as error:
        say(f"the event log cannot be compared with the outboxes: {error}")
        return None
    for words in done.words():
        say(words)
    return done


def outboxes_of(home: Home) -> list[SentRows]:
    """The outboxes of a home: the services' and operations' own."""
    found = [SentRows(path, SERVICE) for path in sorted(home.store("*").parent.glob("*.db"))]
    if home.operations_store.exists():
        found.append(SentRows(home.operations_store, OPERATIONS))
    return [outbox for outbox in found if outbox.exists()]


def _claims(settings: Settings, log: EventLog, say: Callable[[str], None]) -> dict[TopicPartition, int]:
    """How far analytics has read this log, asked of a process of its own: its database has one owner."""
    if not settings.home.warehouse.exists():
        return {}
    environment = os.environ | to_environment(settings)
    command = [sys.executable, "-m", "analytics.positions"]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=_ANALYTICS_ANSWERS_S, check=True, text=True
        )
        read = msgspec.json.decode(done.stdout, type=_Read)
    except (subprocess.SubprocessError, OSError, msgspec.MsgspecError) as error:
        say(f"analytics does not say how far it has read ({error}): should it halt, move its folder away")
        return {}
    if read.log_id != log.log_id:
        return {}
    return {(topic, partition): position for topic, partition, position in read.positions}


def _now() -> datetime:
    return datetime.now(UTC)
