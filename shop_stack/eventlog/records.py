"""What both logs do with a record before it is stored: its partition, its size."""

from collections.abc import Sequence
from zlib import crc32

from shop_stack.errors import RecordTooLarge
from shop_stack.eventlog.interface import MAX_RECORD_BYTES, Record


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: CRC-32 of its UTF-8 bytes, modulo the number of partitions."""
    return crc32(key.encode()) % partitions


def size_of(record: Record) -> int:
    """Bytes of key, value and headers."""
    headers = sum(len(name) + len(text) for name, text in record.headers.items()) if record.headers else 0
    return len(record.value) + len(record.key or "") + headers


def check_sizes(topic: str, records: Sequence[Record]) -> None:
    """Raise RecordTooLarge when any record is above the limit."""
    for number, record in enumerate(records):
        size = size_of(record)
        if size > MAX_RECORD_BYTES:
            raise RecordTooLarge(
                f"{topic}: record {number} (key {record.key!r}) has {size} bytes and the log takes "
                f"{MAX_RECORD_BYTES}; nothing was appended: send a reference to the data instead"
            )
