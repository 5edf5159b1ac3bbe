"""The questions that analytics answers: their parameters, units and notes; each one's SQL is a file of its name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from analytics.statements import grain, statement
from shop_stack.errors import ShopfloorError

Kind = Literal["time", "text", "origin", "count", "amount"]
ORIGINS = ("live", "simulated", "imported")
_DAY = timedelta(days=1)
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
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
    """One question. `span` is how far back `since` lies when it is not given (None: at the beginning)."""

    name: str
    parameters: tuple[Parameter, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    span: timedelta | None = _DAY

    @property
    def sql(self) -> str:
        """The statement behind it."""
        return statement(f"questions/{self.name}")

    @property
    def grain(self) -> str:
        """What one row is."""
        return grain(f"questions/{self.name}")


_SPAN = (
    Parameter("since", "time", "a day before `until`"),
    Parameter("until", "time", "now"),
)
_ALL = (Parameter("since", "time", "the beginning"), Parameter("until", "time", "the end"))
_ORIGIN = Parameter("origin", "origin", "all, each in rows of its own")
_SALES = "Orders placed and not rejected or cancelled, at their list prices, by the time they were placed."

QUESTIONS: dict[str, Question] = {
    q.name: q
    for q in (
        Question("orders_by_minute", _ALL, {"orders": "orders", "value_minor": "minor"}, "Live orders only.", None),
        Question(
            "revenue_by_day",
            (*_ALL, _ORIGIN),
            {"orders": "orders", "revenue_minor": "minor", "average_order_minor": "minor"},
            _SALES,
            None,
        ),
        Question(
            "vital_signs",
            (Parameter("at", "time", "now"),),
            {"today": "see `unit`", "same_weekday": "see `unit`", "change": "share"},
            "Live and simulated of the same shop together, each named; of imported orders alone, their own last day.",
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
        ),
        Question("funnel", _SPAN, {"sessions": "sessions", "share": "share"}, "Live sessions only."),
        Question(
            "events_by_topic_by_minute",
            _SPAN,
            {"events": "events"},
            "By the events' own times; shop.history is imported and simulated.",
        ),
        Question(
            "service_minutes",
            (*_SPAN, Parameter("service", "text", "all")),
            {
                "requests_per_minute": "requests/min",
                "error_rate": "share",
                "p95_ms": "ms",
                "lag": "events",
                "cpu_cores": "cores",
            },
            "p95_ms is the mean of the samples' p95, weighted by their requests.",
        ),
        Question(
            "lag_by_group",
            _SPAN,
            {"lag": "events", "seconds": "s", "orders_waiting": "orders", "waiting_minor": "minor"},
            "Live only. Seconds are the age of the oldest, 0 while events flow; orders and money are at least so much.",
        ),
        Question(
            "lag_by_partition",
            (*_SPAN, Parameter("service", "text", "all")),
            {"lag": "events", "seconds": "s", "share": "share"},
            "Live only, and only partitions in which events waited. The share is of the group's events that waited.",
        ),
        Question(
            "event_to_query_delay",
            _SPAN,
            {"events": "events", "median_ms": "ms", "p95_ms": "ms", "p99_ms": "ms"},
            "Live events, counted up to a minute late, exact to 5%.",
        ),
        Question("order_journey", (Parameter("order_id", "text", "", required=True),)),
        Question(
            "forecasts",
            (Parameter("series", "text", "all"),),
            {},
            "`origin` says which history a forecast was made from.",
        ),
        Question("forecast_peaks", (), {"peak_requests_per_minute": "requests/min"}),
        Question(
            "forecast_accuracy",
            (Parameter("series", "text", "", required=True), *_ALL),
            {},
            "What was forecast first for each time, against what came.",
            None,
        ),
        Question("data_range", (), {"events": "events"}),
        Question("imports", (), {"net_sales_minor": "minor", "rounding_minor": "minor"}, "Imported."),
        Question("freshness", (), {"position": "the next position to read"}),
        Question(
            "order_states", _ALL, {"total_minor": "minor"}, "Live orders only; the auditor holds them to orders.", None
        ),
        Question(
            "records_counted",
            (),
            {"position": "the next position to read", "records": "records", "repeats": "records"},
            "The auditor holds them to the log.",
        ),
        Question(
            "payments_by_minute",
            _SPAN,
            {
                **dict.fromkeys(
                    ("authorised", "declined", "suspected_fraud", "captured", "voided", "refunded"), "payments"
                ),
                **dict.fromkeys(("authorised_minor", "captured_minor", "refunded_minor", "net_minor"), "minor"),
                "share_declined": "share",
            },
            "Live only, by the time of each outcome. The share is of the payments authorised or declined then.",
        ),
        Question(
            "declines_by_reason",
            _SPAN,
            {"declined": "payments", "share": "share", "share_of_declined": "share"},
            "Live only. `share` is of all payments that were authorised or declined; suspected_fraud is a reason.",
        ),
        Question(
            "stock_cover",
            (Parameter("product_id", "text", "all"),),
            {
                **dict.fromkeys(("available", "reserved", "sold"), "units"),
                **dict.fromkeys(("sold_per_day_7", "sold_per_day_28"), "units/day"),
                "days_of_cover": "days",
            },
            "Units of orders not rejected or cancelled, past ones of the same products too. `said` tells the rate of "
            "the days; without any sale there are none.",
        ),
        Question(
            "event_flow",
            _SPAN,
            {"events": "events", "median_ms": "ms", "p95_ms": "ms", "retries": "tries", "dead_letters": "events"},
            "Live only, by the times of what was published in turn, from whole five minutes on; delays exact to 10%. "
            "Retries are those that the dead letters tell of: tries after the first, all in vain.",
        ),
        Question(
            "replicas",
            (*_SPAN, Parameter("service", "text", "all")),
            {
                **dict.fromkeys(("wanted", "ready", "least_ready", "most_ready", "mean_ready"), "replicas"),
                "short_seconds": "s",
            },
            "Live only. Replicas are those of the process group; short are the seconds with fewer ready than wanted.",
        ),
        Question(
            "cost_by_hour",
            (
                *_SPAN,
                Parameter("replica_hour_minor", "amount", "0, and no cost without either price"),
                Parameter("cpu_hour_minor", "amount", "0, and no cost without either price"),
            ),
            {
                "replica_hours": "h",
                "cpu_hours": "h",
                "cost_minor": "minor",
                "orders": "orders",
                "cost_an_order_minor": "minor",
            },
            "Live only, of the services' process groups alone. Prices are those asked with: minor units for a ready "
            "replica an hour and for a core an hour. Orders as in revenue_by_day; the groups' costs an order add up.",
        ),
        Question(
            "incidents",
            _SPAN,
            {"seconds": "s"},
            "Live only. The owner is who acknowledged it last; the seconds of one still open are those until now.",
        ),
        Question(
            "operator_actions",
            _SPAN,
            {
                **dict.fromkeys(("previous", "replicas"), "replicas"),
                **dict.fromkeys(("expected_utilisation", "utilisation_before", "utilisation_after"), "share"),
                **dict.fromkeys(("expected_p95_ms", "p95_before_ms", "p95_after_ms"), "ms"),
            },
            "Live only. Before and after are up to 60 s each, and the verdict holds them against what was expected.",
        ),
        Question(
            "customers_by_day",
            (Parameter("since", "time", "28 days before `until`"), Parameter("until", "time", "now"), _ORIGIN),
            {
                **dict.fromkeys(("customers", "new_customers", "returning_customers", "registered"), "customers"),
                "orders": "orders",
                "revenue_minor": "minor",
            },
            f"{_SALES} A new customer's first such order is on that day; a guest who opens an account is another one.",
            28 * _DAY,
        ),
        Question(
            "customer_cohorts",
            (Parameter("since", "time", "84 days before `until`"), Parameter("until", "time", "now"), _ORIGIN),
            {
                **dict.fromkeys(("cohort_customers", "customers"), "customers"),
                "weeks_later": "weeks",
                "share": "share",
                "orders": "orders",
                "revenue_minor": "minor",
            },
            f"{_SALES} Weeks begin on Mondays of the stack's zone; one in which nobody of a cohort ordered has no row.",
            84 * _DAY,
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
    known = {p.name: p for p in question.parameters}
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
    if parameter.kind == "amount":
        return _amount(parameter.name, text)
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


def _amount(name: str, text: str) -> float:
    if not _AMOUNT.fullmatch(text):
        raise BadParameter(f"{name}: {text!r} is not an amount from 0 to 999999999.999999, such as 12.5")
    return float(text)


def _fill(question: Question, values: dict[str, object], now: datetime, zone: ZoneInfo) -> None:
    at = values.get("at") or now
    assert isinstance(at, datetime)
    until = values.get("until") or (_LAST if question.span is None else now)
    assert isinstance(until, datetime)
    since = values.get("since") or (_FIRST if question.span is None else until - question.span)
    local = at.replace(tzinfo=UTC).astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    values |= {
        "now": now,
        "at": at,
        "since": since,
        "until": until,
        "zone": zone.key,
        "limit": values.get("limit") or 10,
        "day_start": _naive(midnight),
        "week_day_start": _naive(midnight - timedelta(days=7)),
        "week_at": _naive(local - timedelta(days=7)),
    }


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None) if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
