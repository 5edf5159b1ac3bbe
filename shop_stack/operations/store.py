"""What operations keeps: actions, incidents, events on their way out, and the chained record of who did what."""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from shop_stack.envelope import Envelope, encode
from shop_stack.events import AuditAdvanced, Event
from shop_stack.ids import uuid7
from shop_stack.operations.model import ActionView, IncidentView
from shop_stack.operations.objectives import Minute
from shop_stack.telemetry.tracing import here

SOURCE = "/operations"
OF_ORDERS = "order/"
"""What the incident of a single order is about begins with this."""
_SCHEMA = """
create table if not exists actions (
    action_id text primary key, grp text not null, state text not null, requested integer not null,
    replica text, view blob not null
);
create index if not exists actions_state on actions (state);
create table if not exists request_keys (
    subject text not null, key text not null, action_id text not null, primary key (subject, key)
);
create table if not exists incidents (
    incident_id text primary key, subject text not null, opened integer not null, resolved integer, view blob not null
);
create index if not exists incidents_open on incidents (subject) where resolved is null;
create table if not exists objective_minutes (
    service text not null, minute integer not null, requests real not null, failed real not null, slow real not null,
    primary key (service, minute)
) without rowid;
create table if not exists outbox (
    ordinal integer primary key, event_id text not null, topic text not null, key text not null,
    value blob not null, created integer not null, published integer
);
create index if not exists outbox_unpublished on outbox (ordinal) where published is null;
create table if not exists audit (
    number integer primary key, at integer not null, actor text not null, did text not null,
    previous text not null, hash text not null
);
"""
_action = msgspec.json.Decoder(ActionView)
_incident = msgspec.json.Decoder(IncidentView)


class Outgoing(NamedTuple):
    """An event that the log has not acknowledged."""

    ordinal: int
    topic: str
    key: str
    value: bytes


class Pending(NamedTuple):
    """An action that was requested and of which no outcome is known; `replica` is for a restart of one."""

    action: ActionView
    replica: str | None


class Transaction:
    """One write transaction: what it saves, publishes and records stands or falls together."""

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self._connection = connection
        self.now = now

    def save_action(self, action: ActionView, replica: str | None = None) -> None:
        """Insert an action, or store its new state."""
        self._connection.execute(
            "insert into actions (action_id, grp, state, requested, replica, view) values (?, ?, ?, ?, ?, ?) "
            "on conflict (action_id) do update set state = excluded.state, view = excluded.view",
            (action.action_id, action.group, action.state, _us(action.requested_at), replica, _json(action)),
        )

    def keep_key(self, subject: str, key: str, action_id: str) -> None:
        """Remember which action a request key of this subject has led to."""
        self._connection.execute("insert into request_keys values (?, ?, ?)", (subject, key, action_id))

    def save_incident(self, incident: IncidentView, subject: str) -> None:
        """Insert an incident, or store its new state; `subject` names what it is about (one open a subject)."""
        resolved = _us(incident.resolved_at) if incident.resolved_at else None
        self._connection.execute(
            "insert into incidents (incident_id, subject, opened, resolved, view) values (?, ?, ?, ?, ?) "
            "on conflict (incident_id) do update set subject = excluded.subject, opened = excluded.opened, "
            "resolved = excluded.resolved, view = excluded.view",
            (incident.incident_id, subject, _us(incident.opened_at), resolved, _json(incident)),
        )

    def save_minutes(self, minutes: Mapping[str, Minute], forget_before: int) -> None:
        """Insert a minute of each service, or add to it, and forget those before a minute (since 1970)."""
        self._connection.execute("delete from objective_minutes where minute < ?", (forget_before,))
        self._connection.executemany(
            "insert into objective_minutes values (?, ?, ?, ?, ?) on conflict (service, minute) do update set"
            " requests = requests + excluded.requests, failed = failed + excluded.failed, slow = slow + excluded.slow",
            [(service, *minute) for service, minute in minutes.items()],
        )

    def publish(self, event: Event, subject: str) -> None:
        """Write an event to the outbox."""
        envelope = Envelope(
            id=uuid7(self.now),
            source=SOURCE,
            subject=subject,
            time=self.now,
            data=event,
            correlationid=subject,
            traceparent=here.get(),
        )
        self._connection.execute(
            "insert into outbox (event_id, topic, key, value, created) values (?, ?, ?, ?, ?)",
            (envelope.id, event.topic.name, subject, encode(envelope), _us(self.now)),
        )

    def record(self, actor: str, did: str, *, publish: bool = True) -> str:
        """Append to the audit chain, publish its new head (unless the caller's own event bears it) and return it."""
        last = self._connection.execute("select number, hash from audit order by number desc limit 1").fetchone()
        number, previous = (last[0] + 1, last[1]) if last else (1, "")
        at = _us(self.now)
        head = _link(previous, at, actor, did)
        self._connection.execute(
            "insert into audit (number, at, actor, did, previous, hash) values (?, ?, ?, ?, ?, ?)",
            (number, at, actor, did, previous, head),
        )
        if publish:
            self.publish(AuditAdvanced(number=number, audit_head=head), "audit")
        return head


class Store:
    """Operations' own database. Thread-safe: one connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        self._connection.executescript("pragma journal_mode = wal; pragma synchronous = full;" + _SCHEMA)

    @contextmanager
    def write(self, now: datetime) -> Iterator[Transaction]:
        """Begin a transaction; commits on leaving, rolls back on an error."""
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield Transaction(self._connection, now)
                self._connection.execute("commit")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")

    def actions(self, limit: int) -> list[ActionView]:
        """The last actions, newest first."""
        rows = self._read("select view from actions order by requested desc, action_id desc limit ?", (limit,))
        return [_action.decode(view) for (view,) in rows]

    def action(self, action_id: str) -> ActionView | None:
        """One action; None when there is none of that id."""
        rows = self._read("select view from actions where action_id = ?", (action_id,))
        return _action.decode(rows[0][0]) if rows else None

    def action_of_key(self, subject: str, key: str) -> str | None:
        """The action to which this request key has led before."""
        rows = self._read("select action_id from request_keys where subject = ? and key = ?", (subject, key))
        return str(rows[0][0]) if rows else None

    def pending(self) -> list[Pending]:
        """Actions that were requested and have no outcome, oldest first."""
        rows = self._read("select view, replica from actions where state = 'requested' order by requested", ())
        return [Pending(_action.decode(view), replica) for view, replica in rows]

    def unmeasured(self) -> list[ActionView]:
        """Actions that were applied and have no verdict yet."""
        rows = self._read("select view from actions where state = 'applied' order by requested", ())
        return [_action.decode(view) for (view,) in rows]

    def of_group(self, group: str, since: datetime) -> list[ActionView]:
        """The actions on a group that were requested since then, oldest first."""
        rows = self._read(
            "select view from actions where grp = ? and requested >= ? order by requested", (group, _us(since))
        )
        return [_action.decode(view) for (view,) in rows]

    def since(self, at: datetime) -> list[ActionView]:
        """The actions requested since then, oldest first."""
        rows = self._read("select view from actions where requested >= ? order by requested", (_us(at),))
        return [_action.decode(view) for (view,) in rows]

    def minutes(self, service: str, since: int) -> list[Minute]:
        """How a service kept its objectives, by minute from `since` on (since 1970), oldest first."""
        rows = self._read(
            "select minute, requests, failed, slow from objective_minutes where service = ? and minute >= ?"
            " order by minute",
            (service, since),
        )
        return [Minute(*row) for row in rows]

    def incidents(self, limit: int = 100) -> list[IncidentView]:
        """Open incidents first, then newest first; those of single orders are kept by id, and not listed."""
        rows = self._read(
            "select view from incidents where subject not glob ? order by resolved is not null, opened desc limit ?",
            (f"{OF_ORDERS}*", limit),
        )
        return [_incident.decode(view) for (view,) in rows]

    def incident(self, incident_id: str) -> tuple[IncidentView, str] | None:
        """One incident and what it is about; None when there is none of that id."""
        rows = self._read("select view, subject from incidents where incident_id = ?", (incident_id,))
        return (_incident.decode(rows[0][0]), str(rows[0][1])) if rows else None

    def open_incidents(self) -> dict[str, IncidentView]:
        """Unresolved incidents by what they are about."""
        rows = self._read("select subject, view from incidents where resolved is null", ())
        return {subject: _incident.decode(view) for subject, view in rows}

    def outgoing(self, limit: int = 200) -> list[Outgoing]:
        """Events that are not marked as published, in the order in which they were written."""
        rows = self._read(
            "select ordinal, topic, key, value from outbox where published is null order by ordinal limit ?", (limit,)
        )
        return [Outgoing(*row) for row in rows]

    def mark_published(self, ordinals: Sequence[int], now: datetime) -> None:
        """Mark events as published, after the log's acknowledgement."""
        with self._lock:
            self._connection.executemany(
                "update outbox set published = ? where ordinal = ?", [(_us(now), ordinal) for ordinal in ordinals]
            )

    def broken_link(self) -> int | None:
        """The number of the first audit record that does not follow from the one before it; None when all do."""
        previous = ""
        for number, at, actor, did, before, head in self._read("select * from audit order by number", ()):
            if before != previous or head != _link(previous, at, actor, did):
                return int(number)
            previous = head
        return None

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def _read(self, sql: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()


def _link(previous: str, at: int, actor: str, did: str) -> str:
    return hashlib.sha256("\n".join((previous, str(at), actor, did)).encode()).hexdigest()


def _json(view: msgspec.Struct) -> bytes:
    return msgspec.json.encode(view)


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
