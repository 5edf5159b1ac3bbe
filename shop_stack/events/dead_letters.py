"""Dead letters: records that a service cannot handle, and what became of them."""

import msgspec

from shop_stack.events.topics import DEAD_LETTERS, Event


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record lies: its topic, partition, position and key (None: without), and the event's id in it.

    An unreadable record has `topic/partition/position` for an id.
    """

    topic: str
    partition: int
    position: int
    key: str | None
    event_id: str


class RecordParked(Event, frozen=True, kw_only=True):
    """A service cannot handle a record after `attempts` tries; it and what follows of its aggregate wait for a replay.

    `reason` is the kind of the error, `error` its words. `value` is the record's value in base64, None above 300 KiB:
    read it at its origin then.
    """

    type = "shop.dead-letter.parked.v1"
    topic = DEAD_LETTERS
    consumer: str
    origin: Origin
    headers: dict[str, str]
    value: str | None
    reason: str
    error: str
    attempts: int


class RecordReplayed(Event, frozen=True, kw_only=True):
    """A parked record was tried again; `outcome` is `succeeded`, `failed`, `quarantined` (it failed for the third
    time) or `discarded` (given up by an administrator, so that those behind it go on)."""

    type = "shop.dead-letter.replayed.v1"
    topic = DEAD_LETTERS
    consumer: str
    origin: Origin
    outcome: str
    replays: int
    error: str | None = None
