"""Customers: accounts, sign-in and guest sessions; the only place with personal data."""

from shop_stack.events import CustomerRegistered, CustomerSignedIn, Event
from shop_stack.hosting.service import Service, Timer
from shop_stack.services.customers.handlers import forget_failures, routes
from shop_stack.services.customers.store import METADATA

CARD = Service(
    name="customers",
    routes=routes,
    subscriptions={},
    publications=frozenset[type[Event]]((CustomerRegistered, CustomerSignedIn)),
    store=METADATA,
    timers=(Timer("forget-failures", every_s=300, run=forget_failures),),
)
