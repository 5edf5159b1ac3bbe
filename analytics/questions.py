"""The questions that analytics answers: their parameters, units and notes; each one's SQL is a file of its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from analytics.statements import grain, statement
from shop_stack.errors import ShopfloorError

Kind = Literal["time", "text", "origin", "count", "amount"]
ORIGINS = ("live", "simulated", "imported")
_DAY = timedelta(days=1)
NOT_KEPT = "what it says is known of now alone"


class UnknownQuestion(ShopfloorError):
    """There is no question of that name."""


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
            "p95_ms is the mean of the samples' p95, weighted by their requests."
            " By the hour after `minute_days` of stack.toml.",
            looks_back=True,
        ),
        Question(
            "lag_by_group",
            _SPAN,
            {"lag": "events", "seconds": "s", "orders_waiting": "orders", "waiting_minor": "minor"},
            "Live only. Seconds are the age of the oldest, 0 while events flow; orders and money are at least so much."
            " By the hour after `minute_days` of stack.toml.",
            looks_back=True,
        ),
        Question(
            "lag_by_partition",
            (*_SPAN, Parameter("service", "text", "all")),
            {"partition": "number", "lag": "events", "seconds": "s", "share": "share"},
            "Live only, and only partitions in which events waited. The share is of the group's events that waited."
            " By the hour after `minute_days` of stack.toml.",
            looks_back=True,
        ),
        Question(
            "event_to_query_delay",
            _SPAN,
            {"events": "events", "median_ms": "ms", "p95_ms": "ms", "p99_ms": "ms"},
            "Live events, counted up to a minute late, exact to 5%. By the hour after `minute_days` of stack.toml.",
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
            looks_back=True,
        ),
        Question(
            "declines_by_reason",
            _SPAN,
            {"declined": "payments", "share": "share", "share_of_declined": "share"},
            "Live only. `share` is of all payments that were authorised or declined; suspected_fraud is a reason.",
            looks_back=True,
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
            "Live only. Replicas are those of the process group; short are the seconds with fewer ready than wanted."
            " By the hour after `minute_days` of stack.toml.",
            looks_back=True,
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
            looks_back=True,
        ),
        Question(
            "incidents",
            (*_SPAN, Parameter("incident_id", "text", "all; else each order of this incident, which stands for them")),
            {"seconds": "s", "orders": "orders", "orders_open": "orders", "amount_minor": "minor"},
            "Live only. The owner is who acknowledged it last; the seconds of one still open are those until now. "
            "Orders stuck for one cause are one incident, with all that were stuck in it and those that are still; "
            "`oldest` are the ids of the first three. An order that no such incident stands for is one itself.",
            looks_back=True,
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
            looks_back=True,
        ),
        Question(
            "customers_by_day",
            (
                Parameter("since", "time", "28 days before `until`"),
                Parameter("until", "time", "the end of this minute"),
                _ORIGIN,
            ),
            {
                **dict.fromkeys(("customers", "new_customers", "returning_customers", "registered"), "customers"),
                "orders": "orders",
                "revenue_minor": "minor",
            },
            f"{_SALES} A new customer's first such order is on that day; a guest who opens an account is another one.",
            28 * _DAY,
            looks_back=True,
        ),
        Question(
            "customer_cohorts",
            (
                Parameter("since", "time", "84 days before `until`"),
                Parameter("until", "time", "the end of this minute"),
                _ORIGIN,
            ),
            {
                **dict.fromkeys(("cohort_customers", "customers"), "customers"),
                "weeks_later": "weeks",
                "share": "share",
                "orders": "orders",
                "revenue_minor": "minor",
            },
            f"{_SALES} Weeks begin on Mondays of the stack's zone; one in which nobody of a cohort ordered has no row.",
            84 * _DAY,
            looks_back=True,
        ),
    )
}


def find(name: str) -> Question:
    """The question of that name. Raises UnknownQuestion naming those there are."""
    if name not in QUESTIONS:
        raise UnknownQuestion(f"there is no question {name!r}; there are: {', '.join(QUESTIONS)}")
    return QUESTIONS[name]
