"""What the operations API says: the shapes that its server writes and its client, console and dashboard read."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from shop_stack.events import Effect, PartitionLag, WorkInHand
from shop_stack.operations.drain import Drain, Rates

Health = Literal["ok", "degraded", "down", "starting", "stopped"]
ActionState = Literal["requested", "applied", "failed", "measured"]


class ReplicaView(msgspec.Struct, frozen=True, kw_only=True):
    """One replica of a service's process group; `cpu_cores` over the last samples, `age_s` since it started."""

    name: str
    pid: int
    address: str
    state: str
    age_s: float
    restarts: int
    cpu_cores: float
    memory_bytes: int


class GroupLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a consumer group is behind, as last looked at: `lag` records, the oldest of them `seconds` old.

    `seconds` is 0 while all of them came since the look before: they flow. `orders_waiting` orders have events among
    those that wait, together worth `waiting_minor` minor units; both are at least so much unless `orders_whole`.
    `rates` are over the last minute, None before the second look. `hot` names the partition (`topic/number`) that
    holds most of the lag, which more replicas leave as it is.
    """

    group: str
    lag: int
    seconds: float
    orders_waiting: int
    waiting_minor: int
    orders_whole: bool
    rates: Rates | None
    drain: Drain
    hot: str | None
    partitions: list[PartitionLag]


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service now. Rates are per second and latencies milliseconds over the last 10 s; None: no request.

    `recent_rates` are the last 60 samples' request rates, oldest first. `utilisation` is the request rate over
    the capacity of the ready replicas. `waits_for` names services that it calls, or that its work waits for, and
    that are not ok: look there first. `because` says in words why `health` is not ok. `forecast_peak` is in
    requests a second: the highest mean of the coming hour, at `forecast_peak_at`. `forecast_band` is what was
    forecast for the present step: the ends of its 95% band; `minute_rate` is the rate to hold against it, the mean
    of the last minute; unless `minute_settled`, that minute may have seconds without shoppers, as after a start, and
    be too low. `stopped_aggregates` names the first 100. `work` is what was in hand when its oldest was oldest
    within the last 20 s, which may not be above `objective_work_age_s`. `behind` is its consumer group, of whose
    partitions only those in which records wait; None: it has none yet.
    """

    name: str
    group: str
    moves_with: list[str]
    purpose: str
    health: Health
    because: str
    replicas: list[ReplicaView]
    ready: int
    desired: int
    recommended: int | None
    recommended_because: str
    min_replicas: int
    max_replicas: int
    request_rate: float
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    objective_p95_ms: float
    objective_error_rate: float
    lag: int
    utilisation: float
    replica_capacity: float
    recent_rates: list[float]
    forecast_peak: float | None
    forecast_peak_at: datetime | None
    outbox_age_s: float
    stopped_aggregates: list[str]
    waits_for: list[str] = []
    forecast_band: tuple[float, float] | None = None
    minute_rate: float = 0.0
    minute_settled: bool = True
    work: list[WorkInHand] = []
    objective_work_age_s: float = 0.0
    behind: GroupLag | None = None


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A floor that is no service: `gateway`, `log`, `analytics`, `operations`, `provider`, `dashboard`, `shoppers`."""

    name: str
    up: bool
    because: str
    cpu_cores: float
    memory_bytes: int
    address: str | None = None


class StackView(msgspec.Struct, frozen=True, kw_only=True):
    """GET /ops/v1/services: the stack now, in the order of stack.toml. `sampled_at` is the last sample's time.

    Times are UTC; `time_zone` is the IANA zone of stack.toml, in which they are to be shown.
    """

    name: str
    topology: str
    log: str
    currency: str
    at: datetime
    sampled_at: datetime | None
    services: list[ServiceView]
    parts: list[PartView]
    actor: str
    role: str
    time_zone: str = "UTC"


class ScaleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /ops/v1/services/{service_name}/scale. `confirm_zero` is the second confirmation for 0 replicas.

    `force` scales a service again that was scaled only seconds ago.
    """

    replicas: int
    reason: str
    confirm_zero: bool = False
    force: bool = False


class RestartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /ops/v1/services/{service_name}/restart; without `replica` all of them, one after another."""

    reason: str
    replica: str | None = None


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a scaling promises before it is done: utilisation over the replicas now and then, in words too.

    `rests_s` above 0: it was scaled just now and is refused for so many seconds more, unless it is forced.
    """

    service: str
    group: str
    moves_with: list[str]
    replicas_now: int
    replicas_then: int
    utilisation_now: float
    utilisation_then: float
    p95_now_ms: float | None
    p95_then_ms: float | None
    words: str
    refused: str | None
    rests_s: float = 0.0


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """An action from request to verdict. `verdict`: helped, no_change, worse or unclear, with `because` in words."""

    action_id: str
    kind: Literal["scale", "restart", "replay", "discard"]
    service: str
    group: str
    actor: str
    reason: str
    state: ActionState
    requested_at: datetime
    applied_at: datetime | None
    error: str | None
    replicas: int | None
    previous: int | None
    expected: Expectation | None
    before: Effect | None
    after: Effect | None
    verdict: str | None
    because: str | None
    measure_until: datetime | None


class JourneyStep(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an order's journey, in the order of cause; `after_ms` since the order was placed."""

    at: datetime
    event_id: str
    type: str
    source: str
    after_ms: float
    caused_by: str | None
    data: dict[str, Any]


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """GET /ops/v1/orders/{order_id}: everything that happened to an order; `state` is its last known one."""

    order_id: str
    state: str
    placed_at: datetime | None
    total_minor: int | None
    steps: list[JourneyStep]


class TailEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of GET /ops/v1/events; `summary` is its data in one line of untrusted text."""

    topic: str
    partition: int
    position: int
    at: datetime
    type: str
    source: str
    subject: str
    event_id: str
    correlation: str | None
    summary: str


class StuckOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order of one incident: what it waits for, and its total in minor units (None: not told)."""

    order_id: str
    waits_for: str
    amount_minor: int | None


class StuckOrders(msgspec.Struct, frozen=True, kw_only=True):
    """All orders that are stuck for one cause.

    They are worth `amount_minor` minor units, or more unless `whole`. The first has been stuck since `since`; `oldest`
    are the ids of the first three. `outage` is the incident of the service that is away, where one is.
    """

    orders: int
    amount_minor: int
    whole: bool
    since: datetime
    oldest: list[str]
    outage: str | None = None


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that needs a person. `order` is set when it is about one order, which is not listed by itself; `stuck`
    when it stands for all orders of one cause."""

    incident_id: str
    kind: str
    service: str
    summary: str
    opened_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str | None
    order: StuckOrder | None = None
    stuck: StuckOrders | None = None


class ObjectiveView(msgspec.Struct, frozen=True, kw_only=True):
    """GET /ops/v1/objectives: a promise of stack.toml, and how it is kept over the three days that are remembered.

    `service` is "checkout" for the promise about orders, which are its requests then. `budget` is the share (0..1) of
    requests that may break it, `budget_left` the share of the three days' budget that is left (below 0: overspent);
    known are `minutes` minutes with `requests` requests. `burn_rates` are by window in minutes: 1 spends the budget
    exactly. `burns`: fast enough for an incident.
    """

    service: str
    kind: Literal["availability", "latency", "completion"]
    promise: str
    budget: float
    minutes: int
    requests: float
    budget_left: float
    burn_rates: dict[str, float]
    burns: bool


class DeadLetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a service could not handle and that stops its aggregate; `error` is untrusted text.

    `parked_at` is seconds since 1970, `attempts` the tries before it was parked, `replays` those that failed since;
    after three it is quarantined. `events_behind` wait for it.
    """

    service: str
    topic: str
    aggregate: str
    event_id: str
    partition: int
    position: int
    error: str
    attempts: int
    replays: int
    quarantined: bool
    events_behind: int
    parked_at: float


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /ops/v1/dead-letters/replay: try dead letters again, oldest first; a dry run unless `dry_run` is false.

    Empty fields mean all; `error` is a part of the error's words. `quarantined` includes those that failed three
    times. `discard` gives up what stops an aggregate and goes on with the events behind (administrators only).
    """

    service: str = ""
    topic: str = ""
    aggregate: str = ""
    event_id: str = ""
    error: str = ""
    quarantined: bool = False
    discard: bool = False
    rate_per_s: float = 50.0
    dry_run: bool = True
    reason: str = ""


class ReplayPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would try, by reason (the error's kind) and service; `action_id` when it was begun."""

    dead_letters: int
    events_behind: int
    by_reason: dict[str, int]
    by_service: dict[str, int]
    quarantined_left_out: int
    action_id: str | None = None


class LogLines(msgspec.Struct, frozen=True):
    """GET /ops/v1/services/{service_name}/logs: oldest first, untrusted text."""

    lines: list[str]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 problem details (`application/problem+json`)."""

    title: str
    status: int
    detail: str = ""
    type: str = "about:blank"


class Accepted(msgspec.Struct, frozen=True):
    """202 of a scale or restart: the intent is committed; its outcome is at GET /ops/v1/actions/{action_id}."""

    action_id: str


class WhoAmI(msgspec.Struct, frozen=True):
    """GET /ops/v1/whoami: whom the token speaks for, and the role."""

    subject: str
    role: str


class Skipped(msgspec.Struct, frozen=True):
    """In the stream of events: this many were left out because the listener was too slow (SSE event `skipped`)."""

    skipped: int
