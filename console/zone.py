"""Gives each time that operations answers in the stack's own zone, so that no screen shows the machine's."""

from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

# By the model's own names: where a time is, or a list of what has times.
PLACES: dict[str, tuple[str, ...]] = {
    "StackView": ("at", "sampled_at", "services"),
    "ServiceView": ("forecast_peak_at",),
    "ActionView": ("requested_at", "applied_at", "measure_until"),
    "IncidentView": ("opened_at", "resolved_at", "stuck"),
    "StuckOrders": ("since",),
    "TailEvent": ("at",),
    "Journey": ("placed_at", "steps"),
    "JourneyStep": ("at",),
    "Report": ("watermark",),
}


def zone_called(name: str) -> tzinfo:
    """The IANA zone of this name; UTC where this machine does not know it (and what shows it then says UTC)."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def shown_in(zone: tzinfo, answer: T) -> T:
    """The answer with every time of PLACES in `zone`; what has none as it is."""
    return cast(T, _moved(zone, answer))


def _moved(zone: tzinfo, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone)
    if isinstance(value, list):
        return [_moved(zone, one) for one in value] if value and isinstance(value[0], msgspec.Struct) else value
    places = PLACES.get(type(value).__name__)
    if places is None or not isinstance(value, msgspec.Struct):
        return value
    return msgspec.structs.replace(value, **{name: _moved(zone, getattr(value, name)) for name in places})
