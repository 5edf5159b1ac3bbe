"""The event tail: one reader of the log for all who listen, at work only while somebody does."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import msgspec

from shop_stack.errors import PositionBelowStart, PositionPastEnd, ShopfloorError
from shop_stack.eventlog.interface import EventLog, StoredRecord, TopicPartition
from shop_stack.events import SAMPLES
from shop_stack.operations.model import Skipped, TailEvent

BACKLOG = 200
HEARTBEAT_S = 10.0
_KEPT = 1000
_LOOK_BACK = 40
_TURN_S = 0.2
_LONGEST_SUMMARY = 160


class _Wire(msgspec.Struct):
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    correlationid: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Wire)


def tail_event(record: StoredRecord) -> TailEvent:
    """A record as the tail shows it; one that is no CloudEvent is shown as `unreadable`."""
    try:
        wire = _decoder.decode(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        at = datetime.fromtimestamp(record.appended_ms / 1000).astimezone()
        wire = _Wire(id="", source="", type="unreadable", subject=record.key or "", time=at)
        wire.data = msgspec.Raw(msgspec.json.encode(str(error)))
    return TailEvent(
        topic=record.topic,
        partition=record.partition,
        position=record.position,
        at=wire.time,
        type=wire.type,
        source=wire.source,
        subject=wire.subject,
        event_id=wire.id,
        correlation=wire.correlationid,
        summary=summarise(bytes(wire.data)),
    )


def summarise(data: bytes) -> str:
    """An event's data in one line: `name=value` of its fields, without control characters, 160 characters at most."""
    try:
        fields = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    if not isinstance(fields, dict):
        return _plain(str(fields))
    return _plain(" ".join(f"{name}={_short(value)}" for name, value in fields.items()))


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"[{len(value)}]"
    return "{...}" if isinstance(value, dict) else str(value)


def _plain(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text[: _LONGEST_SUMMARY * 2])
    return clean if len(clean) <= _LONGEST_SUMMARY else clean[: _LONGEST_SUMMARY - 3] + "..."


@dataclass(frozen=True)
class Filter:
    """What a listener wants: parts of the topic's and type's name, and any shown text; case is ignored.

    Samples, one a second, are left out unless the topic or type asks for them.
    """

    topic: str = ""
    type: str = ""
    contains: str = ""

    def wants(self, event: TailEvent) -> bool:
        """Whether this event is shown."""
        if event.topic == SAMPLES.name and "sample" not in f"{self.topic} {self.type}".lower():
            return False
        if not _within(self.topic, event.topic) or not _within(self.type, event.type):
            return False
        shown = (event.type, event.source, event.subject, event.correlation or "", event.event_id, event.summary)
        return not self.contains or any(_within(self.contains, text) for text in shown)


def _within(part: str, text: str) -> bool:
    return part.lower() in text.lower()


class Listener:
    """One reader's queue in the event loop: the newest 1,000 events; what a slow reader misses is counted."""

    def __init__(self, wanted: Filter, loop: asyncio.AbstractEventLoop) -> None:
        self._wanted = wanted
        self._loop = loop
        self._queue: deque[TailEvent] = deque(maxlen=_KEPT)
        self._skipped = 0
        self._there = asyncio.Event()
        self.fresh = True

    def offer(self, events: Iterable[TailEvent], newest: int | None = None) -> None:
        """Hand over events from the reading thread; `newest` cuts what is wanted to the last ones."""
        wanted = [event for event in events if self._wanted.wants(event)]
        if newest is not None:
            wanted = wanted[-newest:] if newest else []
        if wanted:
            self._loop.call_soon_threadsafe(self._take, wanted)

    def _take(self, events: list[TailEvent]) -> None:
        self._skipped += max(0, len(self._queue) + len(events) - _KEPT)
        self._queue.extend(events)
        self._there.set()

    async def next(self, timeout_s: float) -> list[TailEvent | Skipped]:
        """What has come, a `Skipped` first when something was missed; empty after `timeout_s`."""
        if not self._queue:
            self._there.clear()
            try:
                await asyncio.wait_for(self._there.wait(), timeout_s)
            except TimeoutError:
                return []
        marker: list[TailEvent | Skipped] = [Skipped(self._skipped)] if self._skipped else []
        self._skipped = 0
        taken = marker + list(self._queue)
        self._queue.clear()
        return taken


class Tail:
    """Reads all topics by its own positions for all listeners, on one thread that lives while there are any."""

    def __init__(self, log: Callable[[], EventLog]) -> None:
        self._log = log
        self._listeners: dict[Listener, int] = {}
        self._recent: deque[TailEvent] = deque(maxlen=BACKLOG)
        self._primed = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def reading(self) -> bool:
        """Whether the reading thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, wanted: Filter, backlog: int = BACKLOG) -> Listener:
        """Listen, first to the last `backlog` events. Call it in the event loop; leave with `leave`."""
        listener = Listener(wanted, asyncio.get_running_loop())
        with self._lock:
            self._listeners[listener] = backlog = min(max(backlog, 0), BACKLOG)
            if self.reading and self._primed:
                listener.fresh = False
                listener.offer(list(self._recent), newest=backlog)
            if not self.reading:
                self._recent.clear()
                self._primed = False
                self._thread = threading.Thread(target=self._run, name="tail", daemon=True)
                self._thread.start()
        return listener

    def leave(self, listener: Listener) -> None:
        """Listen no more."""
        with self._lock:
            self._listeners.pop(listener, None)

    def stop(self) -> None:
        """End the reading."""
        self._stopping.set()

    def _run(self) -> None:
        positions: dict[TopicPartition, int] = {}
        while not self._stopping.is_set():
            with self._lock:
                if not self._listeners:
                    self._thread = None
                    return
            try:
                log = self._log()
                self._hand_out(self._read(log, positions))
                if not log.wait(positions, 1.0):
                    continue
            except (ShopfloorError, OSError):
                positions.clear()
                self._stopping.wait(1.0)
            self._stopping.wait(_TURN_S)

    def _read(self, log: EventLog, positions: dict[TopicPartition, int]) -> list[TailEvent]:
        first = not positions
        found: list[TailEvent] = []
        for topic in log.topics():
            starts = log.starts(topic) if first else []
            for partition, end in enumerate(log.ends(topic)):
                if first:
                    positions[topic, partition] = max(starts[partition], end - _LOOK_BACK)
                found += _read_to(log, (topic, partition), positions, end)
        return sorted(found, key=attrgetter("at")) if first else found

    def _hand_out(self, events: list[TailEvent]) -> None:
        with self._lock:
            fresh = {listener: backlog for listener, backlog in self._listeners.items() if listener.fresh}
            for listener in self._listeners.keys() - fresh.keys():
                listener.offer(events)
            self._recent.extend(event for event in events if event.topic != SAMPLES.name)
            self._primed = True
            for listener, backlog in fresh.items():
                listener.fresh = False
                listener.offer(list(self._recent), newest=backlog)


def _read_to(log: EventLog, at: TopicPartition, positions: dict[TopicPartition, int], end: int) -> list[TailEvent]:
    found: list[TailEvent] = []
    while positions[at] < end:
        try:
            records = log.read(*at, positions[at])
        except (PositionPastEnd, PositionBelowStart):
            records = []
        if not records:
            positions[at] = end
            break
        found += [tail_event(record) for record in records]
        positions[at] = records[-1].position + 1
    return found


async def server_sent(tail: Tail, wanted: Filter, backlog: int) -> AsyncIterator[bytes]:
    """The stream of server-sent events for one listener, a heartbeat comment whenever 10 s passed without an event."""
    listener = tail.join(wanted, backlog)
    try:
        yield b": listening\n\n"
        while True:
            items = await listener.next(HEARTBEAT_S)
            yield b"".join(map(_frame, items)) if items else b": heartbeat\n\n"
    finally:
        tail.leave(listener)


def _frame(item: TailEvent | Skipped) -> bytes:
    body = msgspec.json.encode(item)
    if isinstance(item, Skipped):
        return b"event: skipped\ndata: " + body + b"\n\n"
    return b"id: %s/%d/%d\ndata: %s\n\n" % (item.topic.encode(), item.partition, item.position, body)
