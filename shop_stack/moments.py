"""Times as integer microseconds since 1970, UTC: how stores keep them, exact and sortable."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The time, UTC, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)
