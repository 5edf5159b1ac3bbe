"""Customers: accounts, sign-in, guest sessions, export and erasure; the only place with personal data."""

from shop_stack.events import CustomerErased, CustomerRegistered, CustomerSignedIn, Event, PersonScrubbed
from shop_stack.hosting.service import Service, Timer
from shop_stack.services import scrubbing
from shop_stack.services.customers import erasure
from shop_stack.services.customers.handlers import forget_failures, prepare, routes
from shop_stack.services.customers.store import METADATA

CARD = Service(
    name="customers",
    routes=routes,
    subscriptions={PersonScrubbed: erasure.hear},
    publications=frozenset[type[Event]]((CustomerRegistered, CustomerSignedIn, CustomerErased, PersonScrubbed)),
    store=METADATA,
    timers=(
        Timer("forget-failures", every_s=300, run=forget_failures),
        Timer(erasure.ERASURES, every_s=2.0, run=erasure.pursue),
        scrubbing.answering(),
    ),
    prepare=prepare,
)
