"""What the gateway and the mesh allow, retry and limit: one pure model from which proxies are configured."""

from collections.abc import Iterator
from dataclasses import dataclass

from shop_stack.access import ROLES, Issuer
from shop_stack.stack import Limits, Route, Stack

SAFE_METHODS = ("GET", "HEAD")
ACTING_ROLES = tuple(role for role in ROLES if ROLES.index(role) >= ROLES.index("operator"))
FLOORS = ("operations", "analytics")


@dataclass(frozen=True)
class Retry:
    """When a request is sent again: `conditions` in Envoy's words, at most `attempts` more times.

    `connect-failure` and `reset-before-request` are safe for every method, since no service has seen the request.
    """

    conditions: tuple[str, ...]
    attempts: int
    per_try_s: float | None


UNSEEN_ONLY = Retry(("connect-failure", "reset-before-request"), attempts=4, per_try_s=None)
SAFE_TO_REPEAT = Retry(("connect-failure", "reset-before-request", "5xx"), attempts=3, per_try_s=3.0)


@dataclass(frozen=True)
class EdgeRoute:
    """Requests that the edge lets through: `prefix` in whole segments, these `methods`, to `cluster`.

    `issuer` None: public. `roles` None: any role of that issuer. `timeout_s` None: an event stream.
    """

    prefix: str
    methods: tuple[str, ...]
    cluster: str
    issuer: Issuer | None
    roles: tuple[str, ...] | None
    retry: Retry
    timeout_s: float | None


@dataclass(frozen=True)
class Upstream:
    """How every service is watched and protected; times are seconds.

    Connections idle for 30 s are dropped before the services' server drops them after 75 s, so that no request
    meets a connection that is just closing. Small clusters have no panic: a dead host gets nothing.
    """

    connect_s: float = 0.5
    idle_s: float = 30.0
    health_interval_s: float = 5.0
    health_idle_interval_s: float = 15.0
    health_timeout_s: float = 2.0
    unhealthy_after: int = 2
    consecutive_failures: int = 5
    ejection_s: float = 5.0
    max_ejected_percent: int = 50
    max_connections: int = 512
    max_pending: int = 1024
    max_requests: int = 1024
    max_retries: int = 64


@dataclass(frozen=True)
class MeshPolicy:
    """The whole policy of a stack; `services` are reachable in the mesh as `<service>.mesh`."""

    services: tuple[str, ...]
    edge: tuple[EdgeRoute, ...]
    limits: Limits
    upstream: Upstream = Upstream()
    mesh_timeout_s: float = 10.0


def policy_of(stack: Stack) -> MeshPolicy:
    """The policy that a stack's description asks for; longer prefixes come first, the operators' floors last."""
    routes = [edge for spec in stack.services for route in spec.routes for edge in _service_routes(spec.name, route)]
    routes.sort(key=lambda route: (-len(route.prefix), route.prefix))
    return MeshPolicy(
        services=tuple(spec.name for spec in stack.services),
        edge=(*routes, *_floor_routes()),
        limits=stack.limits,
    )


def _service_routes(service: str, route: Route) -> Iterator[EdgeRoute]:
    """A route split by whether its methods may be repeated."""
    safe = tuple(method for method in SAFE_METHODS if method in _with_head(route.methods))
    acting = tuple(method for method in route.methods if method not in SAFE_METHODS)
    issuer = _issuer(route)
    if safe:
        yield EdgeRoute(route.prefix, safe, service, issuer, None, SAFE_TO_REPEAT, timeout_s=10.0)
    if acting:
        roles = ACTING_ROLES if route.access == "operator" else None
        timeout_s = 60.0 if route.access == "operator" else 10.0
        yield EdgeRoute(route.prefix, acting, service, issuer, roles, UNSEEN_ONLY, timeout_s)


def _with_head(methods: list[str]) -> list[str]:
    return [*methods, "HEAD"] if "GET" in methods else methods


def _issuer(route: Route) -> Issuer | None:
    if route.access == "public":
        return None
    return "shoppers" if route.access == "shopper" else "operators"


def _floor_routes() -> Iterator[EdgeRoute]:
    """Operations and analytics check roles themselves, action by action; the edge checks that an operator asks."""
    yield EdgeRoute("/ops/v1/events", SAFE_METHODS, "operations", "operators", None, UNSEEN_ONLY, timeout_s=None)
    for prefix, cluster in (("/ops", "operations"), ("/analytics", "analytics")):
        yield EdgeRoute(prefix, SAFE_METHODS, cluster, "operators", None, UNSEEN_ONLY, timeout_s=60.0)
        yield EdgeRoute(prefix, ("POST",), cluster, "operators", None, UNSEEN_ONLY, timeout_s=60.0)
