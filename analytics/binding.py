"""What a question's statement is run with: values for its parameters, read from what was asked and filled in."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics.checks import all_checks
from analytics.questions import NOT_KEPT, ORIGINS, Parameter, Question
from shop_stack.errors import ShopfloorError
from shop_stack.events import CONTRACTS, TOPICS

_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_FIRST, _LAST = datetime(1970, 1, 1), datetime(9999, 1, 1)  # noqa: DTZ001 (the warehouse keeps UTC without a zone)


class BadParameter(ShopfloorError):
    """A parameter of a question is unknown, missing or malformed; the message names it."""


def bind(question: Question, given: Mapping[str, str], now: datetime, zone: ZoneInfo) -> dict[str, object]:
    """The values of the statement's parameters, from what was asked. Raises BadParameter."""
    known = {p.name: p for p in question.takes}
    if "at" in given and "at" not in known:
        raise BadParameter(f"{question.name} cannot be asked as of an earlier time: {NOT_KEPT}")
    for name in given:
        if name not in known:
            takes = ", ".join(known) or "no parameters"
            raise BadParameter(f"{question.name} has no parameter {name!r}; it takes {takes}")
    values: dict[str, object] = {name: _read(p, given.get(name)) for name, p in known.items()}
    _fill(question, values, _naive(now), zone)
    return {name: value for name, value in values.items() if f"${name}" in question.sql}


def read_time(name: str, text: str) -> datetime:
    """A parameter's time as the warehouse keeps it: naive UTC. Raises BadParameter."""
    try:
        return _naive(datetime.fromisoformat(text.replace(" ", "+")))
    except (ValueError, OverflowError):
        raise BadParameter(f"{name}: {text!r} is not an ISO 8601 time such as 2026-11-22T10:00:00Z") from None


def _read(parameter: Parameter, text: str | None) -> object:
    if text is None or text == "":
        if parameter.required:
            raise BadParameter(f"the parameter {parameter.name!r} is needed")
        return None
    if parameter.kind == "time":
        return read_time(parameter.name, text)
    if parameter.kind == "count":
        return _count(parameter.name, text)
    if parameter.kind == "amount":
        return _amount(parameter.name, text)
    if parameter.kind == "origin" and text not in ORIGINS:
        raise BadParameter(f"{parameter.name}: {text!r} is not one of: {', '.join(ORIGINS)}")
    return text


def _count(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise BadParameter(f"{name}: {text!r} is not a number from 1 to 1000")
    return int(text)


def _amount(name: str, text: str) -> float:
    if not _AMOUNT.fullmatch(text):
        raise BadParameter(f"{name}: {text!r} is not an amount from 0 to 999999999.999999, such as 12.5")
    return float(text)


def _fill(question: Question, values: dict[str, object], now: datetime, zone: ZoneInfo) -> None:
    """`$as_of` is `at`, else beyond all times; `$at` is `at`, else the end of this minute, and `$minute` its start."""
    at = values.get("at")
    assert at is None or isinstance(at, datetime)
    if at is not None and (not _FIRST < at <= now or at != _minute(at)):
        raise BadParameter(f"at: {at.isoformat()}Z is no whole minute in the past, such as {_minute(now).isoformat()}Z")
    moment, as_of, end = at or now, at or _LAST, at or _end_of_minute(now)
    until = values.get("until") or (_LAST if question.span is None else end)
    assert isinstance(until, datetime)
    until = min(until, as_of)
    since = values.get("since") or (_FIRST if question.span is None else _before(until, question.span))
    local = moment.replace(tzinfo=UTC).astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    values |= {
        "now": moment,
        "minute": _minute(moment),
        "as_of": as_of,
        "at": end,
        "since": since,
        "until": until,
        "zone": zone.key,
        "limit": values.get("limit") or 10,
        "topics": sorted(TOPICS),
        "known_types": sorted(CONTRACTS),
        "check_names": [check.name for check in all_checks()],
        "check_says": [check.says for check in all_checks()],
        "day_start": _naive(midnight),
        "week_day_start": _naive(midnight - timedelta(days=7)),
        "week_at": _end_of_minute(_naive(local - timedelta(days=7))),
    }


def _before(moment: datetime, span: timedelta) -> datetime:
    return moment - min(span, moment - datetime(1, 1, 1))  # noqa: DTZ001


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _end_of_minute(moment: datetime) -> datetime:
    """The first whole minute that is not before it."""
    return moment if moment == _minute(moment) else _minute(moment) + timedelta(minutes=1)


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None) if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
