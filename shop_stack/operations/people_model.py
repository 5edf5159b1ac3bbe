"""What the operations API says about a person's data: the shapes that its server writes and its client reads."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Because = Literal["the person asked", "an authority asked", "no longer needed"]


class PersonFindRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /ops/v1/customers/find. The e-mail travels in the body, and is kept nowhere."""

    email: Annotated[str, Meta(min_length=1, max_length=254)]
    because: Because


class PersonExportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /ops/v1/customers/{customer_id}/export. The ground is one of three, so that no name stands in it."""

    because: Because


class PersonErasureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /ops/v1/customers/{customer_id}/erasure. It cannot be undone: `confirm` is the second confirmation."""

    because: Because
    confirm: bool = False


class PersonFound(msgspec.Struct, frozen=True):
    """Whose an e-mail is."""

    customer_id: str


class PlaceErased(msgspec.Struct, frozen=True, kw_only=True):
    """What a place dropped (rows by what they were) and keeps under one id, and when."""

    place: str
    customer_id: str
    at: datetime
    erased: dict[str, int]
    kept: list[str]


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate: `state` is waiting (for `open_orders`), erasing (`missing` have not answered) or complete."""

    erasure_id: str
    customer_id: str
    ids: list[str]
    state: str
    asked_at: datetime
    asked_by: str
    because: str
    open_orders: int
    erased_at: datetime | None
    places: list[PlaceErased]
    missing: list[str]
