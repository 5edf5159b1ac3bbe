"""Shipping: labels, dispatch and delivery of an order's parcel."""

from shop_stack.events import DispatchRequested, LabelCreated, ShipmentDelivered, ShipmentDispatched
from shop_stack.hosting.service import Service, Timer
from shop_stack.services.shipping import handlers, store

CARD = Service(
    name="shipping",
    routes=handlers.routes,
    subscriptions={DispatchRequested: handlers.request_dispatch},
    publications=frozenset({LabelCreated, ShipmentDispatched, ShipmentDelivered}),
    store=store.METADATA,
    timers=(
        Timer(handlers.LABELS, every_s=1.0, run=handlers.make_label, workers=handlers.WORKERS),
        Timer("deliveries", every_s=0.5, run=handlers.deliver),
    ),
)
