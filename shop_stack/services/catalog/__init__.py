"""Catalog: products, list prices and their changes, search with paging."""

from shop_stack.events import PriceChanged, ProductAdded
from shop_stack.hosting.service import Service
from shop_stack.services.catalog.handlers import prepare, routes
from shop_stack.services.catalog.store import METADATA

CARD = Service(
    name="catalog",
    routes=routes,
    subscriptions={},
    publications=frozenset({ProductAdded, PriceChanged}),
    store=METADATA,
    prepare=prepare,
)
