"""Who may ask what, over every route of every API: the table that the code is held against, and not made from it."""

from typing import Literal

Caller = Literal["nobody", "guest", "customer", "viewer", "manager", "operator", "admin"]
CALLERS: tuple[Caller, ...] = ("nobody", "guest", "customer", "viewer", "manager", "operator", "admin")
EVERYONE = frozenset(CALLERS)
SHOPPERS: frozenset[Caller] = frozenset({"guest", "customer"})
VIEWERS: frozenset[Caller] = frozenset({"viewer", "manager", "operator", "admin"})
MANAGERS = VIEWERS - {"viewer"}
OPERATORS = MANAGERS - {"manager"}
ADMINS: frozenset[Caller] = frozenset({"admin"})
INSIDE: frozenset[Caller] = frozenset()  # services call each other in the mesh; the gateway lets nobody through

Route = tuple[str, str]
"""(method, path)"""

SERVICES: dict[Route, frozenset[Caller]] = {
    ("GET", "/v1/pages/products/{product_id}"): SHOPPERS,
    ("GET", "/v1/pages/search"): SHOPPERS,
    ("GET", "/v1/carts/{cart_id}"): SHOPPERS,
    ("PUT", "/v1/carts/{cart_id}"): SHOPPERS,
    ("POST", "/v1/checkouts"): SHOPPERS,
    ("POST", "/v1/sessions"): EVERYONE,
    ("POST", "/v1/customers"): EVERYONE,
    ("GET", "/v1/me"): SHOPPERS,
    ("PUT", "/v1/me"): SHOPPERS,
    ("DELETE", "/v1/me"): SHOPPERS,
    ("GET", "/v1/me/erasure"): SHOPPERS,
    ("GET", "/v1/me/export"): SHOPPERS,
    ("GET", "/v1/addresses/{customer_id}"): INSIDE,
    ("POST", "/v1/people/search"): INSIDE,
    ("GET", "/v1/people/{customer_id}/export"): INSIDE,
    ("GET", "/v1/people/{customer_id}/erasure"): INSIDE,
    ("PUT", "/v1/people/{customer_id}/erasure"): INSIDE,
    ("GET", "/v1/people/{customer_id}/orders"): INSIDE,
    ("GET", "/v1/people/{customer_id}/shopping"): INSIDE,
    ("GET", "/v1/products"): EVERYONE,
    ("GET", "/v1/products/{product_id}"): EVERYONE,
    ("POST", "/v1/products"): OPERATORS,
    ("POST", "/v1/products/batch"): OPERATORS,
    ("PUT", "/v1/products/{product_id}/price"): OPERATORS,
    ("GET", "/v1/stock"): EVERYONE,
    ("POST", "/v1/receipts"): OPERATORS,
    ("POST", "/v1/orders"): SHOPPERS,
    ("GET", "/v1/orders/{order_id}"): SHOPPERS,
    ("POST", "/v1/orders/{order_id}/cancellation"): SHOPPERS,
    ("GET", "/v1/payments/{order_id}"): VIEWERS,
    ("POST", "/v1/provider-callbacks"): INSIDE,
    ("GET", "/v1/shipments/{order_id}"): VIEWERS,
    ("GET", "/v1/recommendations"): EVERYONE,
    ("GET", "/v1/recommendations/{product_id}"): EVERYONE,
    ("GET", "/schema"): INSIDE,
    ("GET", "/schema/{path}"): INSIDE,
    ("GET", "/schema/openapi.json"): INSIDE,
}
# What the host answers before any service: for the supervisor, the mesh and operations.
HOST_PAGES = ("/livez", "/readyz", "/metrics", "/stopped")

# On their own loopback ports, where they check tokens themselves. Health, metrics
# (counts alone) and the description of the API hold no data.
OPERATIONS: dict[Route, frozenset[Caller]] = {
    ("GET", "/livez"): EVERYONE,
    ("GET", "/readyz"): EVERYONE,
    ("GET", "/metrics"): EVERYONE,
    ("GET", "/ops/v1/schema"): EVERYONE,
    ("GET", "/ops/v1/schema/{path}"): EVERYONE,
    ("GET", "/ops/v1/schema/openapi.json"): EVERYONE,
    ("GET", "/ops/v1/whoami"): VIEWERS,
    ("GET", "/ops/v1/services"): VIEWERS,
    ("GET", "/ops/v1/services/{service_name}/expectation"): VIEWERS,
    ("GET", "/ops/v1/services/{service_name}/logs"): VIEWERS,
    ("GET", "/ops/v1/actions"): VIEWERS,
    ("GET", "/ops/v1/actions/{action_id}"): VIEWERS,
    ("GET", "/ops/v1/orders/{order_id}"): VIEWERS,
    ("GET", "/ops/v1/consumer-groups"): VIEWERS,
    ("GET", "/ops/v1/objectives"): VIEWERS,
    ("GET", "/ops/v1/incidents"): VIEWERS,
    ("GET", "/ops/v1/events"): VIEWERS,
    ("GET", "/ops/v1/dead-letters"): VIEWERS,
    ("GET", "/ops/v1/audit"): VIEWERS,
    ("POST", "/ops/v1/incidents/{incident_id}/acknowledge"): OPERATORS,
    ("POST", "/ops/v1/services/{service_name}/scale"): OPERATORS,
    ("POST", "/ops/v1/services/{service_name}/restart"): OPERATORS,
    ("POST", "/ops/v1/dead-letters/replay"): OPERATORS,
    ("GET", "/ops/v1/customers/{customer_id}/erasure"): MANAGERS,
    ("POST", "/ops/v1/customers/find"): ADMINS,
    ("POST", "/ops/v1/customers/{customer_id}/export"): ADMINS,
    ("POST", "/ops/v1/customers/{customer_id}/erasure"): ADMINS,
}
ANALYTICS: dict[Route, frozenset[Caller]] = {
    ("GET", "/livez"): EVERYONE,
    ("GET", "/readyz"): EVERYONE,
    ("GET", "/metrics"): EVERYONE,
    ("GET", "/analytics/v1/schema"): EVERYONE,
    ("GET", "/analytics/v1/schema/{path}"): EVERYONE,
    ("GET", "/analytics/v1/schema/openapi.json"): EVERYONE,
    ("GET", "/analytics/v1/questions"): VIEWERS,
    ("GET", "/analytics/v1/questions/{question_name}"): VIEWERS,
    ("GET", "/analytics/v1/relations"): OPERATORS,
    ("POST", "/analytics/v1/query"): OPERATORS,
}


def address(path: str) -> str:
    """A path with something in the place of each parameter."""
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))
