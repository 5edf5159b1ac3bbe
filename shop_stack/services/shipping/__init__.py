"""Shipping: labels, dispatch and delivery of an order's parcel."""

from shop_stack.events import (
    CustomerErased,
    DispatchRequested,
    LabelCreated,
    PersonScrubbed,
    ShipmentDelivered,
    ShipmentDispatched,
)
from shop_stack.hosting.service import Service, Timer
from shop_stack.services import scrubbing
from shop_stack.services.shipping import handlers, store

CARD = Service(
    name="shipping",
    routes=handlers.routes,
    subscriptions={DispatchRequested: handlers.request_dispatch, CustomerErased: handlers.forget_person},
    publications=frozenset({LabelCreated, ShipmentDispatched, ShipmentDelivered, PersonScrubbed}),
    store=store.METADATA,
    timers=(
        Timer(handlers.LABELS, every_s=1.0, run=handlers.make_label, workers=handlers.WORKERS),
        Timer("deliveries", every_s=0.5, run=handlers.deliver),
        scrubbing.answering(),
    ),
)
