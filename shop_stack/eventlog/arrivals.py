"""What arrives at a subscription: the records that concern a service, decoded, told from all the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from shop_stack.envelope import Envelope, decode
from shop_stack.errors import BadEvent
from shop_stack.eventlog.interface import StoredRecord, TopicPartition
from shop_stack.events import Event

Aggregate = tuple[str, str]
"""The stream within which order holds: topic and key."""


@dataclass(frozen=True)
class Arrival:
    """A record that the service subscribes to: its event, or why it is none."""

    record: StoredRecord
    envelope: Envelope[Event] | None
    error: BadEvent | None = None

    @property
    def aggregate(self) -> Aggregate:
        """The stream within which order holds: topic and key (a record without key stands alone)."""
        record = self.record
        return record.topic, record.key if record.key is not None else f"@{record.partition}/{record.position}"

    @property
    def partition(self) -> TopicPartition:
        return self.record.topic, self.record.partition

    @property
    def event_id(self) -> str:
        """The event's id; of an unreadable one its place in the log."""
        record = self.record
        return self.envelope.id if self.envelope else f"{record.topic}/{record.partition}/{record.position}"


class _Peek(msgspec.Struct):
    type: str


class Reader:
    """Tells the records that a service subscribes to from the others, decoding only those."""

    def __init__(self, types: Sequence[str]) -> None:
        self._types = frozenset(types)
        self._stems = frozenset(_stem(name) for name in types)
        self._peek = msgspec.json.Decoder(_Peek)

    def read(self, record: StoredRecord) -> Arrival | None:
        """The arrival, None when it is no concern of this service.

        Another version of a subscribed type, or no event at all, is an arrival that cannot be handled.
        """
        try:
            name = self._peek.decode(record.value).type
            if name in self._types:
                return Arrival(record, decode(record.value))
        except BadEvent as error:
            return Arrival(record, None, error)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Arrival(record, None, BadEvent(f"not a CloudEvent: {error}"))
        if _stem(name) in self._stems:
            return Arrival(record, None, BadEvent(f"{name} is another version than this service subscribes to"))
        return None


def _stem(name: str) -> str:
    return name.rpartition(".v")[0]
