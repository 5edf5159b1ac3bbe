"""Unpacks what Kafka's client has fetched with a third of its own effort: for a reader that follows every record."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.util import decode_varint

_MAGIC = 2


class Fetched(msgspec.Struct, gc=False):
    """A record with what the log asks of it, named as the client names it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] | None


def unpack_leanly(consumer: KafkaConsumer) -> None:
    """Have this consumer's polls give Fetched. It must read uncommitted: transactions are not looked at."""
    consumer._fetcher.PartitionRecords = _LeanRecords


class _LeanRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The client's own, but for how the records of a batch are made."""

    def _unpack_records(self, tp: Any, records: Any, key_deserializer: Any, value_deserializer: Any) -> Iterator[Any]:
        while (batch := records.next_batch()) is not None:
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"{tp.topic}/{tp.partition}: the batch at {batch.base_offset} is damaged")
            if batch.magic != _MAGIC:
                unpacked: Iterable[Fetched] = _unpacked_by_client(tp.topic, tp.partition, batch)
            elif batch.is_control_batch:
                unpacked = ()
            else:
                self.leader_epoch = batch.leader_epoch
                unpacked = unpacked_batch(tp.topic, tp.partition, batch)
            for record in unpacked:
                self.next_fetch_offset = record.offset + 1
                yield record
            if batch.magic == _MAGIC:
                self.next_fetch_offset = batch.next_offset  # beyond records that were compacted away
                self.bytes_read += batch.size_in_bytes
        self.drain()


def _unpacked_by_client(topic: str, partition: int, batch: Any) -> Iterator[Fetched]:
    for record in batch:
        yield Fetched(topic, partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def unpacked_batch(topic: str, partition: int, batch: Any) -> Iterator[Fetched]:
    """The records of a batch of the present format (its `magic` is 2). Raises CorruptRecordError."""
    iter(batch)  # has it uncompressed
    data, pos = bytes(batch._buffer), batch._pos
    base_offset, base_time = batch.base_offset, batch.first_timestamp
    append_time = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
    try:
        for _ in range(batch.records_count):
            length, begin = decode_varint(data, pos)
            since, pos = decode_varint(data, begin + 1)  # a byte of attributes is unused
            delta, pos = decode_varint(data, pos)
            key, pos = _read_bytes(data, pos)
            value, pos = _read_bytes(data, pos)
            if data[pos]:
                headers, pos = _read_headers(data, pos)
            else:
                headers, pos = None, pos + 1
            if pos - begin != length:
                raise CorruptRecordError(f"{topic}/{partition}: a record of the batch at {base_offset} is damaged")
            at = base_time + since if append_time is None else append_time
            yield Fetched(topic, partition, base_offset + delta, at, key, value, headers)
    except (IndexError, ValueError) as error:
        raise CorruptRecordError(f"{topic}/{partition}: the batch at {base_offset} is damaged") from error


def _read_bytes(data: bytes, pos: int) -> tuple[bytes | None, int]:
    """Bytes behind their length, a zigzag varint; a negative one says that there are none."""
    size = data[pos]
    pos += 1
    if size & 0x80:
        more = data[pos]
        if more & 0x80:
            size, pos = decode_varint(data, pos - 1)
        else:  # two bytes: up to 8 KiB
            size = (size & 0x7F) | more << 7
            size, pos = (size >> 1) ^ -(size & 1), pos + 1
    else:
        size = (size >> 1) ^ -(size & 1)
    if size < 0:
        return None, pos
    return data[pos : pos + size], pos + size


def _read_headers(data: bytes, pos: int) -> tuple[list[tuple[str, bytes | None]], int]:
    count, pos = decode_varint(data, pos)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, pos = _read_bytes(data, pos)
        text, pos = _read_bytes(data, pos)
        headers.append(((name or b"").decode(), text))
    return headers, pos
