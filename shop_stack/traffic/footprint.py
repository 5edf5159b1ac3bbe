"""What a shopper's step costs in requests at each service, and so what a minute of sessions does to the stack."""

from collections.abc import Mapping

from shop_stack.traffic.live import RETURNING_SHARE
from shop_stack.traffic.walk import CONVERSION, Step, calibrated

# Requests that each service answers for one step, calls between services included. A test holds this
# against the real gateway, step by step.
REQUESTS_PER_STEP: Mapping[Step, Mapping[str, float]] = {
    "landing": {"catalog": 1},
    "browse": {"catalog": 1},
    "search": {"storefront": 1, "catalog": 1},
    "product": {"storefront": 1, "catalog": 1, "inventory": 1, "recommendations": 1},
    "cart": {"storefront": 1},
    "checkout": {"storefront": 1, "catalog": 1},
    "order": {"orders": 1, "storefront": 1, "catalog": 1, "customers": 1},
}


def requests_per_session(conversion: float = CONVERSION) -> dict[str, float]:
    """The expected number of requests at each service for one session, guests' sign-ups included."""
    totals: dict[str, float] = {"customers": 1 - RETURNING_SHARE}
    for step, visits in calibrated(conversion).visits().items():
        for service, requests in REQUESTS_PER_STEP.get(step, {}).items():
            totals[service] = totals.get(service, 0.0) + visits * requests
    return totals
