"""What operators, analytics and the stack itself do: samples, actions, incidents, forecasts, advice, verdicts."""

from datetime import datetime

import msgspec

from shop_stack.events.topics import ACTIONS, INCIDENTS, MODELS, SAMPLES, Event


class WorkInHand(msgspec.Struct, frozen=True, kw_only=True):
    """Work of one kind that a service has taken on and not done yet; neither its requests nor its lag show it.

    `kind` names one item, in a word whose plural takes an `s`; `waits_for` is a service's name or words for what is
    outside. `oldest_s` is the age of the oldest in seconds.
    """

    kind: str
    waits_for: str
    items: int
    oldest_s: float


class PartitionLag(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer group has still to process of one partition: `lag` records from `committed` on.

    `seconds` is the age of the oldest of them, 0 while all came since the look before; `share` (0..1) is of the
    group's whole lag.
    """

    topic: str
    partition: int
    committed: int
    end: int
    lag: int
    seconds: float = 0.0
    share: float = 0.0


class ServiceSample(msgspec.Struct, frozen=True, kw_only=True):
    """One service in one sampling interval. Rates are per second over the interval; latencies are milliseconds over the
    last 10 s, None: no request in them. Replicas, CPU and memory are those of its process group. `work` as it was last
    told, at most 5 s ago.

    Of its consumer group, as last looked at: `lag` records, the oldest of them `lag_s` seconds old (0 while they
    flow), `orders_waiting` orders worth at least `waiting_minor` minor units among them, and those of `partitions`
    in which records wait.
    """

    service: str
    group: str
    ready: int
    desired: int
    request_rate: float
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    lag: int
    cpu_cores: float
    memory_bytes: int
    outbox_age_s: float = 0.0
    stopped_aggregates: int = 0
    work: list[WorkInHand] = []
    lag_s: float = 0.0
    orders_waiting: int = 0
    waiting_minor: int = 0
    partitions: list[PartitionLag] = []


class StackSampled(Event, frozen=True, kw_only=True):
    """The whole stack over the last `interval_s` seconds; `parts` are the floors that are no service."""

    type = "ops.stack.sampled.v1"
    topic = SAMPLES
    interval_s: float
    services: list[ServiceSample]
    parts: dict[str, bool]
    cpu_cores: float
    memory_bytes: int


class ActionRequested(Event, frozen=True, kw_only=True):
    """An operator asked for `scale` or `restart`; `replicas` and `previous` are for scaling.

    `audit_head` is the newest hash of operations' audit chain, which this action is part of.
    """

    type = "ops.action.requested.v1"
    topic = ACTIONS
    action_id: str
    kind: str
    service: str
    group: str
    actor: str
    reason: str
    replicas: int | None = None
    previous: int | None = None
    expected_utilisation: float | None = None
    expected_p95_ms: float | None = None
    audit_head: str | None = None


class AuditAdvanced(Event, frozen=True, kw_only=True):
    """Operations' audit chain got its record `number`: `audit_head` is the chain's hash from then on.

    What is kept of the chain in operations' own store can be held against this, and its cut-off end is noticed.
    """

    type = "ops.audit.advanced.v1"
    topic = ACTIONS
    number: int
    audit_head: str


class ActionApplied(Event, frozen=True, kw_only=True):
    """The runtime did what was asked: all replicas are as desired."""

    type = "ops.action.applied.v1"
    topic = ACTIONS
    action_id: str
    service: str
    seconds: float


class ActionFailed(Event, frozen=True, kw_only=True):
    """The runtime could not do what was asked."""

    type = "ops.action.failed.v1"
    topic = ACTIONS
    action_id: str
    service: str
    error: str


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A service over up to 60 s: means of the samples, None where there was no request."""

    seconds: float
    request_rate: float
    error_rate: float
    p95_ms: float | None
    lag: float
    utilisation: float | None


class VerdictReached(Event, frozen=True, kw_only=True):
    """60 s before and after an action, held against what was expected: `helped`, `no_change`, `worse` or `unclear`."""

    type = "ops.action.verdict-reached.v1"
    topic = ACTIONS
    action_id: str
    service: str
    before: Effect
    after: Effect
    verdict: str
    because: str


class IncidentOpened(Event, frozen=True, kw_only=True):
    """Something needs a person: a crash loop, a stopped aggregate, a compensation that does not finish.

    Of an order that is stuck: `waits_for` names the services of which each may be the one that it waits for, first the
    one whose answer comes next, or in words what is outside; `amount_minor` is its total in minor units. Of the
    incident that stands for all orders of one cause `waits_for` is that cause alone.
    """

    type = "ops.incident.opened.v1"
    topic = INCIDENTS
    incident_id: str
    kind: str
    service: str
    summary: str
    subject: str | None = None
    waits_for: list[str] = msgspec.field(default_factory=list)
    amount_minor: int | None = None


class IncidentAcknowledged(Event, frozen=True, kw_only=True):
    """An operator looks after an incident from now on, perhaps instead of another who did."""

    type = "ops.incident.acknowledged.v1"
    topic = INCIDENTS
    incident_id: str
    actor: str


class IncidentResolved(Event, frozen=True, kw_only=True):
    """The cause of an incident is gone."""

    type = "ops.incident.resolved.v1"
    topic = INCIDENTS
    incident_id: str


class CheckJudged(Event, frozen=True, kw_only=True):
    """Analytics has checked its books: `found` rows of what `says` describes, and there should be none.

    Said when it passes or fails for the first time, when that changes, and every hour. `example` is the first row in
    words.
    """

    type = "ops.check.judged.v1"
    topic = INCIDENTS
    check: str
    says: str
    passed: bool
    found: int
    example: str


class Point(msgspec.Struct, frozen=True):
    """One step of a forecast: its time, its mean, and the 80% and 95% bands."""

    at: datetime
    mean: float
    low80: float
    high80: float
    low95: float
    high95: float


class ForecastMade(Event, frozen=True, kw_only=True):
    """A forecast as it was made, kept for ever. `series` is `requests:orders`, `orders:day` or `revenue:day`.

    `backtest_mase` is the mean absolute scaled error over the held-out windows; `status` is `ok` or
    `not_enough_history`, then `points` is empty and `note` says what is missing.
    """

    type = "shop.models.forecast-made.v1"
    topic = MODELS
    forecast_id: str
    series: str
    unit: str
    origin: str
    made_at: datetime
    history_end: datetime | None
    step_s: int
    model: str
    status: str
    note: str
    backtest_mase: float | None
    points: list[Point]


class ReplicasAdvised(Event, frozen=True, kw_only=True):
    """Analytics advises a number of replicas for the coming hour, and says why."""

    type = "shop.models.replicas-advised.v1"
    topic = MODELS
    service: str
    replicas: int
    because: str


class RecordLost(Event, frozen=True, kw_only=True):
    """Stands on any topic where a record was that the log has lost, so that no position is ever given out twice.

    The event itself follows behind it, under its own id, when an outbox has kept it.
    """

    type = "ops.log.record-lost.v1"
    topic = INCIDENTS
    lost_topic: str
    partition: int
    position: int
