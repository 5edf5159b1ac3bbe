"""Payments: authorise, capture, void and refund with the provider, each exactly once in its books."""

from shop_stack.events import (
    AuthorisationRequested,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundRequested,
    VoidRequested,
)
from shop_stack.hosting.service import Service, Timer
from shop_stack.services.payments import handlers, store

CARD = Service(
    name="payments",
    routes=handlers.routes,
    subscriptions={
        AuthorisationRequested: handlers.request_authorisation,
        CaptureRequested: handlers.request_capture,
        VoidRequested: handlers.request_drop,
        RefundRequested: handlers.request_drop,
    },
    publications=frozenset({PaymentAuthorised, PaymentDeclined, PaymentCaptured, PaymentVoided, PaymentRefunded}),
    store=store.METADATA,
    timers=(Timer(handlers.CALLS, every_s=1.0, run=handlers.call_provider, workers=handlers.WORKERS),),
    work_in_hand=handlers.work_in_hand,
)
