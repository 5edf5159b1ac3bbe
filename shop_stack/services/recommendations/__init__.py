"""Recommendations: what is bought together, and what is popular."""

from shop_stack.events import OrderCompleted, PastOrderRecorded, ProductAdded
from shop_stack.hosting.service import Service, Timer
from shop_stack.services.recommendations.handlers import (
    fold_baskets,
    learn_order,
    learn_past_order,
    learn_product,
    routes,
)
from shop_stack.services.recommendations.store import METADATA

CARD = Service(
    name="recommendations",
    routes=routes,
    subscriptions={
        OrderCompleted: learn_order,
        PastOrderRecorded: learn_past_order,
        ProductAdded: learn_product,
    },
    publications=frozenset(),
    store=METADATA,
    timers=(Timer("fold-baskets", every_s=2, run=fold_baskets),),
)
