"""Records as Kafka's client has them, and as the log has them."""

from collections.abc import Mapping
from typing import Any

from shop_stack.eventlog.interface import StoredRecord


def to_headers(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Headers as the producer takes them."""
    return [(name, text.encode()) for name, text in headers.items()]


def from_kafka(record: Any) -> StoredRecord:
    """A consumed record; text that is not UTF-8 is shown with replacement marks, a missing value is empty."""
    key = record.key
    headers = record.headers
    return StoredRecord(
        record.topic,
        record.partition,
        record.offset,
        None if key is None else key.decode(errors="replace"),
        record.value if record.value is not None else b"",
        {name: (text or b"").decode(errors="replace") for name, text in headers} if headers else {},
        record.timestamp,
    )
