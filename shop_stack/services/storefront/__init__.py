"""Storefront: carts, product pages composed of several services, and what shoppers look at."""

from shop_stack.events import (
    CartChanged,
    CheckoutStarted,
    CustomerErased,
    CustomerSignedIn,
    Event,
    PersonScrubbed,
    ProductsSearched,
    ProductViewed,
)
from shop_stack.hosting.service import Service, Timer
from shop_stack.services import scrubbing
from shop_stack.services.storefront.handlers import adopt_carts, forget_old_carts, routes
from shop_stack.services.storefront.people import forget_person
from shop_stack.services.storefront.store import METADATA

CARD = Service(
    name="storefront",
    routes=routes,
    subscriptions={CustomerSignedIn: adopt_carts, CustomerErased: forget_person},
    publications=frozenset[type[Event]](
        (ProductViewed, ProductsSearched, CartChanged, CheckoutStarted, PersonScrubbed)
    ),
    store=METADATA,
    timers=(Timer("forget-old-carts", every_s=3600, run=forget_old_carts), scrubbing.answering()),
)
