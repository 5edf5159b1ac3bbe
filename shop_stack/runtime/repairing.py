"""At the start of a stack: look whether the log has lost anything, and send it again from the outboxes."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from shop_stack.errors import EventLogError, SettingError
from shop_stack.eventlog.belonging import note_log, note_rebuild, noted_log, noted_rebuild
from shop_stack.eventlog.interface import EventLog, TopicPartition
from shop_stack.eventlog.loss import Forgetting, find_loss
from shop_stack.eventlog.opening import KAFKA, open_any_log
from shop_stack.eventlog.repair import Repaired, repair
from shop_stack.eventlog.sent_rows import OPERATIONS, SERVICE, SentRows
from shop_stack.settings import SQLITE, Settings, to_environment
from shop_stack.stack import read_stack

_ANALYTICS_ANSWERS_S = 60.0
_Say = Callable[[str], None]
_Answer = TypeVar("_Answer")


class _Read(msgspec.Struct):
    """What `python -m analytics.positions` prints."""

    log_id: str
    positions: list[tuple[str, int, int]]


class _Aside(msgspec.Struct):
    """What `python -m analytics.setting_aside` prints."""

    folder: str
    records: dict[str, int]


def repair_at_start(settings: Settings, say: _Say) -> Repaired | None:
    """Repair the log of a home while nothing runs on it; None when nothing was lost, or on a new home.

    Says what it finds and what it did. A log or outbox that cannot be read is said, and the start goes on: the
    services say what is wrong with it, and refuse a Kafka log that is not the home's until a start has repaired it.

    Raises SettingError for a Kafka log with events of another shop: to it nothing is sent.
    """
    try:
        outboxes = outboxes_of(settings)
        if not outboxes and not (settings.home.log / "log_id").exists() and noted_log(settings.home) is None:
            return None
        with open_any_log(settings) as log:
            if settings.log_url.startswith(KAFKA):
                _refuse_of_another_shop(settings, log, say)
                note_rebuild(settings.home, log.log_id)
            done = _repaired(settings, log, outboxes, say)
            if settings.log_url.startswith(KAFKA):
                note_log(settings.home, log.log_id)
    except (EventLogError, sqlite3.Error, OSError) as error:
        say(f"the event log cannot be compared with the outboxes: {error}")
        return None
    return done


def _repaired(settings: Settings, log: EventLog, outboxes: list[SentRows], say: _Say) -> Repaired | None:
    another = settings.log_url.startswith(KAFKA) and noted_log(settings.home) not in (None, log.log_id)
    if another:
        say("the event log is not the one that this home belongs to: comparing it with the outboxes")
    elif find_loss(log, outboxes, _now()):
        say("the event log has lost its tail: comparing it with the outboxes")
    else:
        return None
    if isinstance(log, Forgetting):
        log.forget_foreign_positions()
    read = _ask_analytics(settings, say, _Read, "analytics.positions")
    own = read is not None and read.log_id == log.log_id
    done = repair(log, outboxes, _claims(read) if read is not None and own else {}, _now)
    for words in done.words():
        say(words)
    if read is not None and read.log_id and not own:
        _set_aside(settings, log, say)
    return done


def _refuse_of_another_shop(settings: Settings, log: EventLog, say: _Say) -> None:
    """A broker that lost its data is empty; one with events that are not this home's was named by mistake.

    A home without a note (of an earlier version, or that had the embedded log) belongs to the log that its analytics
    has read.
    """
    home = settings.home
    mine = noted_log(home)
    if log.log_id in (mine, noted_rebuild(home)) or not any(sum(log.ends(topic)) for topic in log.topics()):
        return
    if mine is None:
        read = _ask_analytics(settings, say, _Read, "analytics.positions")
        mine = read.log_id if read is not None and read.log_id else log.log_id
    if mine != log.log_id:
        raise SettingError(
            f"{settings.log_url} holds the events of another shop (log {log.log_id}), and {home.path} belongs to log "
            f"{mine}; nothing was sent: name its own log with --log, or another home with --home"
        )


def outboxes_of(settings: Settings) -> list[SentRows]:
    """The outboxes of a home: the services', wherever their stores lie, and operations' own."""
    home = settings.home
    found = _services_outboxes(settings)
    if home.operations_store.exists():
        found.append(SentRows(home.operations_store, OPERATIONS))
    return [outbox for outbox in found if outbox.exists()]


def _services_outboxes(settings: Settings) -> list[SentRows]:
    if settings.stores_url == SQLITE:
        return [SentRows(path, SERVICE) for path in sorted(settings.home.store("*").parent.glob("*.db"))]
    # The driver for PostgreSQL costs 20 MB: only where it is used.
    from shop_stack.eventlog.postgres_rows import rows_of
    from shop_stack.postgres import server_of

    server = server_of(settings.stores_url, settings.store_secrets)
    return [rows_of(server, spec.name) for spec in read_stack(settings.stack_file).services]


def _claims(read: _Read) -> dict[TopicPartition, int]:
    """How far analytics has read this log."""
    return {(topic, partition): position for topic, partition, position in read.positions}


def _set_aside(settings: Settings, log: EventLog, say: _Say) -> None:
    """Let analytics fill a new warehouse from this log, and say what it had read of the old one that is not here."""
    aside = _ask_analytics(settings, say, _Aside, "analytics.setting_aside", log.log_id)
    if aside is None or not aside.folder:
        return
    here = Counter({topic: sum(log.ends(topic)) - sum(log.starts(topic)) for topic in log.topics()})
    gone = {topic: lost for topic, read in sorted(aside.records.items()) if (lost := read - here[topic]) > 0}
    named = ", ".join(f"{lost} of {topic}" for topic, lost in gone.items())
    say(f"records that no outbox keeps are lost with the old log: {named or 'none that analytics had read'}")
    say(
        f"analytics fills a new warehouse from this log; the old one lies in {aside.folder}: delete it in the end, "
        f"since whoever is erased is not looked for there"
    )


def _ask_analytics(settings: Settings, say: _Say, kind: type[_Answer], module: str, *words: str) -> _Answer | None:
    """Asked of a process of its own: its database has one owner. None when it has none, or does not say."""
    if not settings.home.warehouse.exists():
        return None
    environment = os.environ | to_environment(settings)
    command = [sys.executable, "-m", module, *words]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=_ANALYTICS_ANSWERS_S, check=True, text=True
        )
        return msgspec.json.decode(done.stdout, type=kind)
    except (subprocess.SubprocessError, OSError, msgspec.MsgspecError) as error:
        say(f"analytics does not say how far it has read ({error}): should it halt, move its folder away")
        return None


def _now() -> datetime:
    return datetime.now(UTC)
