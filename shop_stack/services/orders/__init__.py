"""Orders: the checkout's process manager, every order's steps, deadlines and compensation."""

from shop_stack.events import (
    AuthorisationRequested,
    CaptureRequested,
    CustomerErased,
    DispatchRequested,
    IncidentOpened,
    IncidentResolved,
    OrderAdvanced,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    PersonScrubbed,
    RefundRequested,
    ReleaseRequested,
    ReservationRejected,
    ReservationReleased,
    ReservationRequested,
    ShipmentDelivered,
    ShipmentDispatched,
    StockReserved,
    VoidRequested,
)
from shop_stack.hosting.service import Service, Timer
from shop_stack.services import scrubbing
from shop_stack.services.orders import handlers, people, store

CARD = Service(
    name="orders",
    routes=handlers.routes,
    subscriptions={
        StockReserved: handlers.advance,
        ReservationRejected: handlers.advance,
        ReservationReleased: handlers.advance,
        PaymentAuthorised: handlers.advance,
        PaymentDeclined: handlers.advance,
        PaymentCaptured: handlers.advance,
        PaymentVoided: handlers.advance,
        PaymentRefunded: handlers.advance,
        ShipmentDispatched: handlers.advance,
        ShipmentDelivered: handlers.advance,
        CustomerErased: people.forget_person,
    },
    publications=frozenset(
        {
            OrderPlaced,
            ReservationRequested,
            AuthorisationRequested,
            CaptureRequested,
            DispatchRequested,
            ReleaseRequested,
            VoidRequested,
            RefundRequested,
            OrderAdvanced,
            OrderCompleted,
            OrderRejected,
            OrderCancelled,
            IncidentOpened,
            IncidentResolved,
            PersonScrubbed,
        }
    ),
    store=store.METADATA,
    timers=(Timer("deadlines", every_s=1.0, run=handlers.pass_deadlines), scrubbing.answering()),
    work_in_hand=handlers.work_in_hand,
)
