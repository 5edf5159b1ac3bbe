"""Shipping: labels, dispatch and delivery of an order's parcel."""

from shop_stack.events import (
    CustomerErased,
    LabelCreated,
    PersonScrubbed,
    ShipmentDelivered,
    ShipmentDispatched,
    StockSold,
)
from shop_stack.hosting.service import Service, Timer
from shop_stack.services import scrubbing
from shop_stack.services.shipping import handlers, store

CARD = Service(
    name="shipping",
    routes=handlers.routes,
    subscriptions={StockSold: handlers.take_units, CustomerErased: handlers.forget_person},
    publications=frozenset({LabelCreated, ShipmentDispatched, ShipmentDelivered, PersonScrubbed}),
    store=store.METADATA,
    timers=(
        Timer(handlers.LABELS, every_s=1.0, run=handlers.make_label, workers=handlers.WORKERS),
        Timer("deliveries", every_s=0.5, run=handlers.deliver),
        scrubbing.answering(),
    ),
    work_in_hand=handlers.work_in_hand,
)
