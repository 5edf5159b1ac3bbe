"""Erasing a person: the request is kept, done once no order of theirs is open, and certified place by place."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from litestar.exceptions import NotFoundException
from msgspec import Meta

from shop_stack.envelope import Envelope
from shop_stack.errors import MeshError
from shop_stack.events import CustomerErased, PersonScrubbed
from shop_stack.hosting.service import ServiceContext, Transaction
from shop_stack.ids import uuid7
from shop_stack.moments import micros, moment
from shop_stack.services import scrubbing
from shop_stack.services.customers import erasure_store, rules, store
from shop_stack.services.customers.erasure_store import Erasure

ERASURES = "erasures"
THE_PERSON = "the person"
Because = Literal["the person asked", "an authority asked", "no longer needed"]
_DEADLINE_S = 2.0
_LEASE = timedelta(seconds=15)
_KEPT = ["the id with its number of events, so that the next event of it is told from a lost one", "this certificate"]


class ErasureAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Who asks to erase a person, and on what ground; the ground is one of three, so that no name stands in it."""

    asked_by: Annotated[str, Meta(min_length=1, max_length=64)]
    because: Because


class PlaceView(msgspec.Struct, kw_only=True):
    """What a place dropped (rows by what they were) and keeps under one id, and when."""

    place: str
    customer_id: str
    at: datetime
    erased: dict[str, int]
    kept: list[str]


class Certificate(msgspec.Struct, kw_only=True):
    """How far an erasure is and what was erased where; holds ids and counts alone.

    `state`: waiting (for `open_orders` to end), erasing (`missing` places have not answered), complete.
    `ids` are all ids that the person had, guests included.
    """

    erasure_id: str
    customer_id: str
    ids: list[str]
    state: rules.ErasureState
    asked_at: datetime
    asked_by: str
    because: str
    open_orders: int
    erased_at: datetime | None
    places: list[PlaceView]
    missing: list[str]


class _Orders(msgspec.Struct):
    open_orders: int


_orders = msgspec.json.Decoder(_Orders)


def ask(context: ServiceContext, customer_id: str, asked_by: str, because: Because) -> Certificate:
    """Keep the request to erase a person and begin; a repeat changes nothing. Others may only ask for known ids.

    Raises NotFoundException.
    """
    with context.write() as transaction:
        store.hold_person(transaction, customer_id)
        connection = transaction.connection
        if asked_by != THE_PERSON and not store.is_known(connection, customer_id):
            raise NotFoundException("nobody has or had this id")
        before = erasure_store.latest(connection, customer_id)
        held = store.holds_anything(connection, customer_id)
        if before is None or (before.erased_us is not None and held):
            now_us = micros(transaction.now)
            identifier = uuid7(transaction.now)
            asked = Erasure(identifier, customer_id, [customer_id], now_us, asked_by, because, due_us=now_us)
            erasure_store.add(connection, asked)
            transaction.wake(ERASURES)
    return certificate(context, customer_id)


def certificate(context: ServiceContext, customer_id: str) -> Certificate:
    """The newest erasure of a person. Raises NotFoundException when nobody asked for one."""
    with context.read() as connection:
        erasure = erasure_store.latest(connection, customer_id)
        if erasure is None:
            raise NotFoundException("nobody has asked to erase the person of this id")
        answers = erasure_store.answers(connection, erasure.erasure_id)
    answered = {(one.customer_id, one.place) for one in answers}
    return Certificate(
        erasure_id=erasure.erasure_id,
        customer_id=customer_id,
        ids=erasure.ids,
        state=rules.erasure_state(erasure.erased_us is not None, erasure.ids, answered),
        asked_at=moment(erasure.asked_us),
        asked_by=erasure.asked_by,
        because=erasure.because,
        open_orders=erasure.open_orders,
        erased_at=moment(erasure.erased_us) if erasure.erased_us is not None else None,
        places=[
            PlaceView(place=a.place, customer_id=a.customer_id, at=moment(a.at_us), erased=a.erased, kept=a.kept)
            for a in answers
        ],
        missing=rules.missing_places(erasure.ids, answered),
    )


def pursue(context: ServiceContext) -> bool:
    """Timer: take the request that waits longest, ask orders whether one is open, and erase or wait."""
    with context.read() as connection:
        if not erasure_store.is_any_due(connection, micros(context.now())):
            return False
    with context.write() as transaction:
        lease = micros(transaction.now + _LEASE)
        claimed = erasure_store.claim(transaction.connection, micros(transaction.now), lease)
    if claimed is None:
        return False
    with context.read() as connection:
        ids = [claimed.customer_id, *store.guests_of(connection, claimed.customer_id)]
    still_open = _open_orders(context, ids)
    with context.write() as transaction:
        if still_open == 0:
            _erase(transaction, claimed, ids)
        else:
            again = micros(transaction.now + timedelta(seconds=rules.look_again_s(claimed.looks)))
            erasure_store.wait(transaction.connection, claimed.erasure_id, still_open or claimed.open_orders, again)
    return True


def _open_orders(context: ServiceContext, ids: list[str]) -> int | None:
    """How many orders of these ids have not ended; None while orders does not say."""
    found = 0
    for customer_id in ids:
        path = f"/v1/people/{quote(customer_id, safe='')}/orders"
        try:
            answer = context.mesh.get("orders", path, deadline_s=_DEADLINE_S)
            if answer.status != 200:
                return None
            found += _orders.decode(answer.body).open_orders
        except (MeshError, msgspec.MsgspecError):
            return None
    return found


def _erase(transaction: Transaction, erasure: Erasure, ids: list[str]) -> None:
    connection = transaction.connection
    now_us = micros(transaction.now)
    for customer_id in sorted(ids):
        store.hold_person(transaction, customer_id)
    if not erasure_store.done(connection, erasure.erasure_id, ids, now_us):
        return
    for customer_id in ids:
        dropped = store.erase(connection, customer_id, now_us)
        version = store.next_version(connection, customer_id)
        erased = CustomerErased(customer_id=customer_id, erasure_id=erasure.erasure_id)
        transaction.publish(erased, subject=customer_id, sequence=version, correlation=erasure.erasure_id)
        scrubbing.note(transaction, erased, dropped, _KEPT)
    store.forget_guests(connection, erasure.customer_id)


def hear(transaction: Transaction, envelope: Envelope[PersonScrubbed], context: ServiceContext) -> None:
    """A place has dropped what it held."""
    erasure_store.answered(transaction.connection, envelope.data, micros(envelope.time))
