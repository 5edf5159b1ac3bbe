"""The marts: their names, in which order they are made and filled, and which types of events each heeds."""

import hashlib
import re
from functools import cache

from analytics.statements import statement

# In the order in which they are made: a mart comes after those it reads. They are rolled up in reverse, so that
# a mart which reads another one sees it before the same events are added to it.
MARTS = (
    "topic_minutes",
    "partition_positions",
    "event_types",
    "order_places",
    "order_mentions",
    "orders_placed",
    "order_ends",
    "order_lines",
    "sales_minutes",
    "behaviour",
    "cart_visits",
    "funnel_spans",
    "past_sessions",
    "service_parts",
    "partition_lags",
    "products",
    "forecasts_made",
    "forecast_points",
    "payment_minutes",
    "stock_levels",
    "units_hours",
    "event_edges",
    "late_edges",
    "replica_minutes",
    "incident_steps",
    "action_steps",
    "customer_orders",
    "customers_registered",
)
STAGING = (
    "stg_orders_placed",
    "stg_order_lines",
    "stg_order_ends",
    "stg_past_orders",
    "stg_past_minutes",
    "stg_service_samples",
    "stg_partition_lags",
    "stg_behaviour",
    "stg_products",
    "stg_forecasts",
    "stg_payments",
    "stg_stock_levels",
    "stg_flow_types",
    "stg_effects",
    "stg_incident_steps",
    "stg_action_steps",
    "stg_customers_registered",
)
WHOLE = ("partition_positions", "event_types", "stock_levels")  # compacted as a whole, not only their last minutes
COMPACTED_FROM = {"funnel_spans": "first"}  # the column that tells the last minutes where it is not `minute`
_OF_ALL_TYPES = ("topic_minutes", "partition_positions", "event_types", "order_places", "order_mentions")
_TYPE = re.compile(r"'([a-z.-]+\.v[0-9]+)'")
_STAGED = re.compile(r"\bstg_\w+")


def to_roll_up(types: set[str]) -> list[str]:
    """The marts that get rows from events of these types, in the order in which they are filled."""
    return [mart for mart in reversed(MARTS) if mart in _OF_ALL_TYPES or heeded(mart) & types]


@cache
def heeded(mart: str) -> frozenset[str]:
    """The types of events that a mart's SQL names, in its own file and in the staging it reads."""
    own = statement(f"marts/{mart}")
    read = [own, *(statement(f"staging/{name}") for name in _STAGED.findall(own))]
    return frozenset(found for sql in read for found in _TYPE.findall(sql))


def fingerprint() -> str:
    """Changes with any word of the SQL that fills the marts, and of the tables that they are filled from."""
    names = ["macros", "schema", *(f"staging/{name}" for name in STAGING), *(f"marts/{name}" for name in MARTS)]
    texts = [statement(name) for name in names]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
