"""All that the shop knows of a person, gathered over the services: complete, or refused until it can be."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from litestar.exceptions import HTTPException, NotFoundException

from shop_stack.errors import MeshError
from shop_stack.hosting.service import ServiceContext
from shop_stack.moments import moment
from shop_stack.services.customers import erasure_store, store
from shop_stack.services.customers.vault import vault_of

_DEADLINE_S = 5.0
_BY_PERSON = (("orders", "orders"), ("storefront", "shopping"))
_BY_ORDER = (("payments", "/v1/payments/"), ("shipping", "/v1/shipments/"))


class ProfileView(msgspec.Struct, kw_only=True):
    """What customers holds under one id; the password's hash is not given out."""

    customer_id: str
    email: str | None
    name: str
    address: str
    country: str
    since: datetime


class Export(msgspec.Struct, kw_only=True):
    """A person's data (GDPR 15 and 20): `ids` are all ids they have, guests included; `services` by service name.

    Events in the log and in analytics repeat what stands here, under the same ids and without name or address.
    """

    made_at: datetime
    customer_id: str
    ids: list[str]
    profiles: list[ProfileView]
    services: dict[str, list[Any]]


def export(context: ServiceContext, customer_id: str) -> Export:
    """Gather it. Raises NotFoundException for an id that nobody has, HTTPException 503 while a service is silent."""
    vault = vault_of(context.settings.home.people_key)
    with context.read() as connection:
        ids = [customer_id, *store.guests_of(connection, customer_id)]
        found = [account for one in ids if (account := store.account_by_id(connection, vault, one))]
        erased = erasure_store.latest(connection, customer_id)
    profiles = [
        ProfileView(
            customer_id=account.customer_id,
            email=account.profile.email,
            name=account.profile.name,
            address=account.profile.address,
            country=account.profile.country,
            since=moment(account.registered_us),
        )
        for account in found
    ]
    services = _elsewhere(context, ids)
    if not profiles and not any(services.values()) and erased is None:
        raise NotFoundException("the shop knows nothing under this id")
    return Export(made_at=context.now(), customer_id=customer_id, ids=ids, profiles=profiles, services=services)


def _elsewhere(context: ServiceContext, ids: list[str]) -> dict[str, list[Any]]:
    services: dict[str, list[Any]] = {}
    for service, part_name in _BY_PERSON:
        parts = [_ask(context, service, f"/v1/people/{quote(one, safe='')}/{part_name}") for one in ids]
        services[service] = [part for part in parts if part]
    order_ids = [order["order_id"] for part in services["orders"] for order in part["orders"]]
    services["orders"] = [order for part in services["orders"] for order in part["orders"]]
    services["storefront"] = [part for part in services["storefront"] if part["carts"] or part["behaviour"]]
    for service, path in _BY_ORDER:
        parts = [_ask(context, service, path + quote(order_id, safe="")) for order_id in order_ids]
        services[service] = [part for part in parts if part]
    return services


def _ask(context: ServiceContext, service: str, path: str) -> Any:
    """What a service holds; None for nothing."""
    try:
        answer = context.mesh.get(service, path, deadline_s=_DEADLINE_S)
        if answer.status == 404:
            return None
        if answer.status == 200:
            return answer.json()
    except (MeshError, msgspec.MsgspecError):
        pass
    raise HTTPException(
        status_code=503,
        detail=f"{service} does not answer just now, and an export without it would not be whole; try again",
        headers={"retry-after": "5"},
    )
