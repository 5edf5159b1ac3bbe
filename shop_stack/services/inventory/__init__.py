"""Inventory: stock levels, receipts, and the units that orders hold until they are sold or given back."""

from shop_stack.events import (
    DispatchRequested,
    ProductAdded,
    ReleaseRequested,
    ReservationRejected,
    ReservationReleased,
    ReservationRequested,
    StockLevelChanged,
    StockReceived,
    StockReserved,
    StockSold,
)
from shop_stack.hosting.service import Service, Timer
from shop_stack.services.inventory import handlers, store

CARD = Service(
    name="inventory",
    routes=handlers.routes,
    subscriptions={
        ProductAdded: handlers.open_stock,
        ReservationRequested: handlers.reserve,
        ReleaseRequested: handlers.release,
        DispatchRequested: handlers.sell,
    },
    publications=frozenset(
        {StockReceived, StockLevelChanged, StockReserved, ReservationRejected, ReservationReleased, StockSold}
    ),
    store=store.METADATA,
    timers=(Timer("expiry", every_s=2.0, run=handlers.expire),),
)
