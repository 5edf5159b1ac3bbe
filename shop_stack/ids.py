"""Identifiers: time-ordered UUIDs for what happens now, derived UUIDs for what is imported."""

import os
import uuid
from datetime import datetime

_IMPORTS = uuid.UUID("8f6f3c0a-5d3e-5b56-9f0a-2f7f6f1d9c11")


def uuid7(now: datetime, entropy: bytes | None = None) -> str:
    """A UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then random bits.

    `entropy` is 10 bytes; tests and the simulation inject theirs.
    """
    bits = int.from_bytes(entropy if entropy is not None else os.urandom(10), "big")
    milliseconds = int(now.timestamp() * 1000) & 0xFFFFFFFFFFFF
    value = milliseconds << 80 | 0x7 << 76 | ((bits >> 64) & 0xFFF) << 64 | 0b10 << 62
    return str(uuid.UUID(int=value | (bits & 0x3FFFFFFFFFFFFFFF)))


def age_s(identifier: str | None, now: datetime) -> float:
    """Seconds since a UUIDv7 was made, to the millisecond, never below 0; 0 for any other text."""
    try:
        value = uuid.UUID(identifier or "")
    except ValueError:
        return 0.0
    return max(0.0, now.timestamp() - (value.int >> 80) / 1000) if value.version == 7 else 0.0


def imported_id(file_hash: str, row_key: str) -> str:
    """A UUIDv5 of a file's hash and a source row's key, so that importing twice is importing once."""
    return str(uuid.uuid5(_IMPORTS, f"{file_hash}/{row_key}"))
