"""The stack described: its services with objectives, limits and routes, read from stack.toml and checked."""

from importlib.resources import files
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from shop_stack.errors import SettingError

Access = Literal["public", "shopper", "operator"]
_FORECAST_DAYS = 17


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths that begin with `prefix` (a whole segment), for these methods, with this kind of token."""

    prefix: str
    methods: list[str]
    access: Access


class ServiceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One service as operators see it: objectives (p95 in ms, error rate 0..1, `work_age_s`), bounds, routes.

    `work_age_s` is how old work in hand may get, in seconds, where a service tells what it has taken on and not done.
    `calls` names the services that it reads from while it answers. `replica_capacity` is the requests a second at
    which one replica counts as fully used (utilisation 1.0).
    """

    name: str
    purpose: str
    min_replicas: int = 1
    max_replicas: int = 8
    p95_ms: float = 250.0
    error_rate: float = 0.01
    work_age_s: float = 10.0
    replica_capacity: float = 100.0
    calls: list[str] = []
    routes: list[Route] = []


class Checkout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds of the checkout's clocks, and its objective: the share of accepted orders that end within `completion_s`.

    Without `completion_s` that is a deadline of a step and the delivery, twice.
    """

    step_deadline_s: float = 20.0
    reservation_s: float = 120.0
    delivery_seconds: float = 30.0
    completion_s: float | None = None
    completion_share: float = 0.99

    @property
    def within_s(self) -> float:
        """How soon after it was placed an order should have ended."""
        return self.completion_s or 2 * (self.step_deadline_s + self.delivery_seconds)


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the payment provider's stand-in behaves; rates are 0..1, times seconds."""

    decline_rate: float = 0.0
    slow_rate: float = 0.0
    slow_s: float = 2.0
    answer_s: float = 0.0
    lost_rate: float = 0.0
    callback_rate: float = 0.0
    duplicate_rate: float = 0.0
    callback_s: float = 0.5
    seed: int = 7


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The demo's live shoppers."""

    sessions_per_s: float = 4.0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway's limits."""

    requests_per_minute_per_subject: int = 600
    requests_per_minute_per_address: int = 1200
    body_bytes: int = 262144


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long analytics keeps raw events in its database: `raw_days` whole days, fewer when it has `database_mb`.

    Older ones go to Parquet files by day, where the same questions find them. 0 days: only today's stay. What is
    told of services by the minute is told by the hour after `minute_days`.
    """

    raw_days: int = 7
    minute_days: int = 60
    database_mb: int = 2048


class Operating(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How operators' actions are held back: a process group is scaled again only so many seconds after the last time.

    An operator may force it.
    """

    cooldown_s: float = 10.0


class Stack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole stack; `services` in the order in which screens show them."""

    name: str
    currency: str
    time_zone: str
    services: list[ServiceSpec]
    checkout: Checkout = Checkout()
    provider: Provider = Provider()
    traffic: Traffic = Traffic()
    limits: Limits = Limits()
    operating: Operating = Operating()
    retention: Retention = Retention()

    def service(self, name: str) -> ServiceSpec:
        """The service of that name; raises SettingError naming those there are."""
        for spec in self.services:
            if spec.name == name:
                return spec
        known = ", ".join(spec.name for spec in self.services)
        raise SettingError(f"no service is called {name!r}; there are: {known}")

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which days are business days."""
        return ZoneInfo(self.time_zone)


def read_stack(path: Path | None = None) -> Stack:
    """Read and check a stack file (the bundled one by default). Raises SettingError naming file and key."""
    source = path if path is not None else Path(str(files("shop_stack") / "stack.toml"))
    try:
        stack = msgspec.toml.decode(source.read_bytes(), type=Stack)
    except OSError as error:
        raise SettingError(f"cannot read the stack file {source}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise SettingError(f"{source}: {error}") from error
    _check(stack, source)
    return stack


def _check(stack: Stack, source: Path) -> None:
    names = [spec.name for spec in stack.services]
    if len(set(names)) != len(names):
        raise SettingError(f"{source}: a service is named twice")
    if stack.retention.raw_days < 0 or stack.retention.database_mb < 1:
        raise SettingError(f"{source}: retention: raw_days must be 0 or more, database_mb 1 or more")
    if stack.retention.minute_days < _FORECAST_DAYS:
        raise SettingError(f"{source}: retention: minute_days must be {_FORECAST_DAYS} or more: forecasts read so many")
    if not 0 < stack.checkout.completion_share < 1 or stack.checkout.within_s <= 0:
        raise SettingError(f"{source}: checkout: completion_share must be between 0 and 1, completion_s above 0")
    for spec in stack.services:
        if not 0 <= spec.min_replicas <= spec.max_replicas:
            raise SettingError(f"{source}: services.{spec.name}: min_replicas must be 0 to max_replicas")
        if unknown := sorted(set(spec.calls) - set(names)):
            raise SettingError(f"{source}: services.{spec.name}.calls names no service: {', '.join(unknown)}")
        if any(not route.prefix.startswith("/v") for route in spec.routes):
            raise SettingError(f"{source}: services.{spec.name}: a route's prefix begins with its version, /v1/...")
    try:
        _ = stack.zone
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SettingError(f"{source}: time_zone {stack.time_zone!r} is not an IANA time zone") from error
