"""Unpacking what Kafka's client fetched gives what the client itself gives, and refuses what is damaged."""

import pytest
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from shop_stack.eventlog.kafka.unpacking import unpacked_batch

pytestmark = pytest.mark.pure
SIZES = (0, 1, 62, 63, 64, 65, 8190, 8191, 8192, 8193, 70_000)


def built(compression: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, compression, False, 7, 1, 0, 10**8)
    number = 0
    for size in SIZES:
        for key in (None, b"", b"k" * size):
            for headers in ([], [("traceparent", b"00-ab"), ("ü", "é".encode()), ("none", None)]):
                value = None if number % 7 == 3 else bytes([number % 251]) * size
                builder.append(number, 1_700_000_000_000 + number * 997, key, value, headers)
                number += 1
    return bytes(builder.build())


@pytest.mark.parametrize("compression", [0, 1], ids=["plain", "gzip"])
def test_a_batch_is_unpacked_as_by_the_client(compression: int) -> None:
    found = list(unpacked_batch("t", 3, DefaultRecordBatch(built(compression))))
    expected = list(DefaultRecordBatch(built(compression)))
    assert len(found) == len(SIZES) * 6
    assert [(r.topic, r.partition) for r in found] == [("t", 3)] * len(found)
    for record, known in zip(found, expected, strict=True):
        assert (record.offset, record.timestamp, record.key, record.value, record.headers or []) == (
            known.offset,
            known.timestamp,
            known.key,
            known.value,
            known.headers,
        )


def test_a_damaged_batch_is_refused() -> None:
    whole = built(0)
    short = DefaultRecordBatch(whole[:-30])
    with pytest.raises(CorruptRecordError):
        list(unpacked_batch("t", 3, short))
    shifted = bytearray(whole)
    shifted[DefaultRecordBatch.HEADER_STRUCT.size] ^= 0x02  # the first record's length
    with pytest.raises(CorruptRecordError):
        list(unpacked_batch("t", 3, DefaultRecordBatch(bytes(shifted))))
