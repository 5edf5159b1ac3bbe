"""The questions that analytics answers: their parameters, units and notes; each one's SQL is a file of its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from analytics.checks import all_checks
from analytics.statements import grain, statement
from shop_stack.errors import ShopfloorError
from shop_stack.events import CONTRACTS, TOPICS

Kind = Literal["time", "text", "origin", "count"]
ORIGINS = ("live", "simulated", "imported")
_DAY = timedelta(days=1)
NOT_KEPT = "what it says is known of now alone"
_FIRST, _LAST = datetime(1970, 1, 1), datetime(9999, 1, 1)  # noqa: DTZ001 (the warehouse keeps UTC without a zone)


class UnknownQuestion(ShopfloorError):
    """There is no question of that name."""


class BadParameter(ShopfloorError):
    """A parameter of a question is unknown, missing or malformed; the message names it."""


@dataclass(frozen=True)
class Parameter:
    """What may be asked with a question; `says` tells what happens without it."""

    name: str
    kind: Kind
    says: str
    required: bool = False


@dataclass(frozen=True)
class Question:
    """One question. `span` is how far back `since` lies when it is not given (None: at the beginning).

    `looks_back`: it can be asked as of an earlier time, from the events with a time before that; its statement then
    heeds `$as_of` wherever `$until` does not bound it.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    span: timedelta | None = _DAY
    looks_back: bool = False

    @property
    def takes(self) -> tuple[Parameter, ...]:
        """All that may be asked with it, `at` too where it looks back."""
        return (*self.parameters, AT) if self.looks_back else self.parameters

    @property
    def told(self) -> str:
        """Its note, and that it does not look back where it does not."""
        return self.note if self.looks_back else f"{self.note} It takes no `at`: {NOT_KEPT}.".strip()

    @property
    def sql(self) -> str:
        """The statement behind it."""
        return statement(f"questions/{self.name}")

    @property
    def grain(self) -> str:
        """What one row is."""
        return grain(f"questions/{self.name}")


AT = Parameter("at", "time", "now; else a whole minute in the past: only events with a time before it count")
_SPAN = (
    Parameter("since", "time", "a day before `until`"),
    Parameter("until", "time", "the end of this minute"),
)
_ALL = (Parameter("since", "time", "the beginning"), Parameter("until", "time", "the end"))
_ORIGIN = Parameter("origin", "origin", "all, each in rows of its own")
_SALES = "Orders placed and not rejected or cancelled, at their list prices, by the time they were placed."

QUESTIONS: dict[str, Question] = {
    q.name: q
    for q in (
        Question(
            "orders_by_minute",
            _ALL,
            {"orders": "orders", "value_minor": "minor"},
            "Live orders only.",
            None,
            looks_back=True,
        ),
        Question(
            "revenue_by_day",
            (*_ALL, _ORIGIN),
            {"orders": "orders", "revenue_minor": "minor", "average_order_minor": "minor"},
            _SALES,
            None,
            looks_back=True,
        ),
        Question(
            "vital_signs",
            (),
            {"today": "see `unit`", "same_weekday": "see `unit`", "change": "share"},
            "Live and simulated of the same shop together, each named; of imported orders alone, their own last day.",
            looks_back=True,
        ),
        Question(
            "top_products",
            (
                *_SPAN,
                Parameter("limit", "count", "10"),
                Parameter("origin", "origin", "live, else imported, else simulated"),
            ),
            {"units": "units", "revenue_minor": "minor", "orders": "orders"},
            _SALES,
            looks_back=True,
        ),
        Question(
            "funnel",
            _SPAN,
            {"position": "number of the step", "sessions": "sessions", "share": "share"},
            "Live sessions only.",
            looks_back=True,
        ),
        Question(
            "events_by_topic_by_minute",
            _SPAN,
            {"events": "events"},
            "By the events' own times; shop.history is imported and simulated.",
            looks_back=True,
        ),
        Question(
            "service_minutes",
            (*_SPAN, Parameter("service", "text", "all")),
            {
                "requests_per_minute": "requests/min",
                "error_rate": "share",
                "p95_ms": "ms",
                "ready": "replicas",
                "lag": "events",
                "cpu_cores": "cores",
            },
            "p95_ms is the mean of the samples' p95, weighted by their requests.",
            looks_back=True,
        ),
        Question(
            "lag_by_group",
            _SPAN,
            {"lag": "events", "seconds": "s", "orders_waiting": "orders", "waiting_minor": "minor"},
            "Live only. Seconds are the age of the oldest, 0 while events flow; orders and money are at least so much.",
            looks_back=True,
        ),
        Question(
            "lag_by_partition",
            (*_SPAN, Parameter("service", "text", "all")),
            {"partition": "number", "lag": "events", "seconds": "s", "share": "share"},
            "Live only, and only partitions in which events waited. The share is of the group's events that waited.",
            looks_back=True,
        ),
        Question(
            "event_to_query_delay",
            _SPAN,
            {"events": "events", "median_ms": "ms", "p95_ms": "ms", "p99_ms": "ms"},
            "Live events, counted up to a minute late, exact to 5%.",
        ),
        Question(
            "order_journey",
            (Parameter("order_id", "text", "", required=True),),
            {"sequence": "version of the aggregate"},
            looks_back=True,
        ),
        Question(
            "forecasts",
            (Parameter("series", "text", "all"),),
            {"backtest_mase": "ratio", **dict.fromkeys(("mean", "low80", "high80", "low95", "high95"), "see `unit`")},
            "`origin` says which history a forecast was made from.",
            looks_back=True,
        ),
        Question(
            "forecast_peaks",
            (),
            {"peak_requests_per_minute": "requests/min", "peak_high95": "requests/min"},
            looks_back=True,
        ),
        Question(
            "forecast_accuracy",
            (Parameter("series", "text", "", required=True), *_ALL),
            dict.fromkeys(("actual", "mean", "low80", "high80"), "that of the series: requests/min, orders, minor"),
            "What was forecast first for each time, against what came.",
            None,
            looks_back=True,
        ),
        Question("data_range", (), {"events": "events"}, looks_back=True),
        Question(
            "imports",
            (),
            {"lines_read": "lines", "lines_imported": "lines", "net_sales_minor": "minor", "rounding_minor": "minor"},
            "Imported.",
            looks_back=True,
        ),
        Question("freshness", (), {"partition": "number", "position": "the next position to read"}),
        Question(
            "order_states",
            _ALL,
            {"total_minor": "minor"},
            "Live orders only; the auditor holds them to orders.",
            None,
            looks_back=True,
        ),
        Question(
            "records_counted",
            (),
            {
                "partition": "number",
                "position": "the next position to read",
                "records": "records",
                "repeats": "records",
            },
            "The auditor holds them to the log.",
        ),
        Question(
            "data_quality",
            (),
            {
                "records": "records",
                "rejected": "records",
                "repeats": "records",
                "late": "events",
                "unknown_types": "events",
                "new_versions": "events",
                "freshness_s": "s",
            },
            "Repeats are kept and counted nowhere. Late: read more than 5 minutes after the event's own time, counted "
            "up to a minute after reading. Events of unknown types and new versions are kept.",
        ),
        Question(
            "checks",
            (),
            {"found": "rows", "cpu_ms": "ms"},
            "A check passes when it finds nothing. Each minute the newest events are checked, and older ones in turn.",
        ),
    )
}


def find(name: str) -> Question:
    """The question of that name. Raises UnknownQuestion naming those there are."""
    if name not in QUESTIONS:
        raise UnknownQuestion(f"there is no question {name!r}; there are: {', '.join(QUESTIONS)}")
    return QUESTIONS[name]


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


def _read(parameter: Parameter, text: str | None) -> object:
    if text is None or text == "":
        if parameter.required:
            raise BadParameter(f"the parameter {parameter.name!r} is needed")
        return None
    if parameter.kind == "time":
        return _time(parameter.name, text)
    if parameter.kind == "count":
        return _count(parameter.name, text)
    if parameter.kind == "origin" and text not in ORIGINS:
        raise BadParameter(f"{parameter.name}: {text!r} is not one of: {', '.join(ORIGINS)}")
    return text


def _time(name: str, text: str) -> datetime:
    try:
        return _naive(datetime.fromisoformat(text.replace(" ", "+")))
    except (ValueError, OverflowError):
        raise BadParameter(f"{name}: {text!r} is not an ISO 8601 time such as 2026-11-22T10:00:00Z") from None


def _count(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise BadParameter(f"{name}: {text!r} is not a number from 1 to 1000")
    return int(text)


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
