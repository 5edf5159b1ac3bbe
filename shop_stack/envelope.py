"""CloudEvents 1.0 in structured JSON: an event's envelope, and how it becomes bytes and back."""

from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from shop_stack.errors import BadEvent
from shop_stack.events import CONTRACTS, Event

CONTENT_TYPE = "application/cloudevents+json"
E = TypeVar("E", bound=Event, covariant=True)


class Envelope(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """An event with its CloudEvents attributes.

    `sequence` is the version of the aggregate `subject` within `source` (gapless from 1; None for behaviour,
    history and ops.*), `correlationid` the order (or session) it belongs to, `causationid` the event or
    request that led here, `traceparent` W3C trace context.
    """

    id: str
    source: str
    subject: str
    time: datetime
    data: E
    sequence: int | None = None
    traceparent: str | None = None
    correlationid: str | None = None
    causationid: str | None = None

    @property
    def type(self) -> str:
        """The CloudEvents type with its version, such as `shop.order.placed.v1`."""
        return self.data.type


class _Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = ""
    partitionkey: str = ""
    sequence: int | None = None
    traceparent: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    data: Any = None


class _RawWire(_Wire, frozen=True, kw_only=True, omit_defaults=True):
    data: msgspec.Raw = msgspec.Raw(b"null")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_RawWire)


@cache
def _payload_decoder(contract: type[Event]) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(contract)


def encode(envelope: Envelope[Event]) -> bytes:
    """The record's value: one CloudEvent as JSON, `partitionkey` equal to `subject`."""
    return _encoder.encode(
        _Wire(
            specversion="1.0",
            id=envelope.id,
            source=envelope.source,
            type=envelope.data.type,
            subject=envelope.subject,
            time=envelope.time,
            datacontenttype="application/json",
            partitionkey=envelope.subject,
            sequence=envelope.sequence,
            traceparent=envelope.traceparent,
            correlationid=envelope.correlationid,
            causationid=envelope.causationid,
            data=envelope.data,
        )
    )


def decode(value: bytes) -> Envelope[Event]:
    """Read one record's value. Raises BadEvent for bad JSON, an unknown type or version, or wrong fields."""
    try:
        wire = _decoder.decode(value)
        contract = CONTRACTS.get(wire.type)
        if contract is None:
            raise BadEvent(f"unknown event type {wire.type!r}: this version of Shopfloor does not know it")
        data = _payload_decoder(contract).decode(wire.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEvent(f"not a CloudEvent that events.py knows: {error}") from error
    return Envelope(
        id=wire.id,
        source=wire.source,
        subject=wire.subject,
        time=wire.time,
        data=data,
        sequence=wire.sequence,
        traceparent=wire.traceparent,
        correlationid=wire.correlationid,
        causationid=wire.causationid,
    )
