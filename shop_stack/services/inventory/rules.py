"""Who gets the units: what a reservation becomes, and whether the stock covers an order."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from shop_stack.events import Event, Quantity, ReservationRejected, ReservationReleased, StockReserved, StockSold

State = Literal["reserved", "rejected", "released", "sold"]


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What an order holds or held; `version` counts the events published of it.

    Released with nothing in `lines` is the mark of an order that was called off before it asked.
    """

    order_id: str
    state: State
    lines: list[Quantity]
    version: int


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A stock item's units: available + reserved + sold = received. `version` counts its published events."""

    product_id: str
    available: int
    reserved: int
    sold: int
    version: int


class Move(msgspec.Struct, frozen=True):
    """Units of one product that change place within the stock; each number may be negative."""

    product_id: str
    available: int = 0
    reserved: int = 0
    sold: int = 0


class Change(msgspec.Struct, frozen=True):
    """A reservation anew, the event to publish of it, and the units that move with it."""

    reservation: Reservation
    event: Event
    moves: list[Move] = []


def reserve(order_id: str, lines: list[Quantity], available: Mapping[str, int], expires: datetime) -> Change:
    """All of an order's (merged) lines are held until `expires`, or none when the shelf does not cover them."""
    asked = Reservation(order_id=order_id, state="reserved", lines=lines, version=1)
    if missing := short(lines, available):
        rejected = msgspec.structs.replace(asked, state="rejected")
        return Change(rejected, ReservationRejected(order_id=order_id, short=missing))
    return Change(asked, StockReserved(order_id=order_id, expires_at=expires), holding(lines))


def release(held: Reservation | None, order_id: str) -> Change | None:
    """An order wants nothing held any more; a repeated request is answered again.

    For an order not seen yet a mark is left, so that its late request holds nothing. None for what was sold.
    """
    if held is None:
        held = Reservation(order_id=order_id, state="released", lines=[], version=0)
    if held.state == "sold":
        return None
    if held.state == "reserved":
        return _given_back(held, "requested")
    return Change(_next(held, held.state), ReservationReleased(order_id=order_id, reason="requested"))


def expire(held: Reservation) -> Change:
    """What was held for too long goes back to the shelf."""
    return _given_back(held, "expired")


def sell(
    held: Reservation | None, order_id: str, lines: list[Quantity], available: Mapping[str, int], customer_id: str
) -> Change:
    """An order's (merged) lines are sold: what it holds, or from the shelf when its reservation has run out.

    Refused when the shelf no longer covers them, and then for good. A repeated request is answered again.
    """
    held = held or Reservation(order_id=order_id, state="released", lines=[], version=0)
    missing = short(lines, available) if held.state == "released" else []
    if missing or held.state == "rejected":
        refused = ReservationRejected(order_id=order_id, short=missing or lines)
        return Change(_next(held, "rejected"), refused)
    moves = [] if held.state == "sold" else selling(lines, held=held.state == "reserved")
    return Change(_next(held, "sold"), StockSold(order_id=order_id, customer_id=customer_id), moves)


def _given_back(held: Reservation, reason: str) -> Change:
    released = ReservationReleased(order_id=held.order_id, reason=reason)
    return Change(_next(held, "released"), released, giving_back(held.lines))


def _next(held: Reservation, state: State) -> Reservation:
    return msgspec.structs.replace(held, state=state, version=held.version + 1)


def merged(lines: Iterable[Quantity]) -> list[Quantity]:
    """The lines with each product once, in the order of their ids, so that all writers lock in one order."""
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.product_id] = wanted.get(line.product_id, 0) + line.quantity
    return [Quantity(product_id, wanted[product_id]) for product_id in sorted(wanted)]


def short(wanted: list[Quantity], available: Mapping[str, int]) -> list[Quantity]:
    """What is missing of the (merged) lines wanted; empty when the stock covers them all."""
    missing = ((line.product_id, line.quantity - available.get(line.product_id, 0)) for line in wanted)
    return [Quantity(product_id, units) for product_id, units in missing if units > 0]


def holding(lines: list[Quantity]) -> list[Move]:
    """The moves that reserve the lines."""
    return [Move(line.product_id, available=-line.quantity, reserved=line.quantity) for line in lines]


def giving_back(lines: list[Quantity]) -> list[Move]:
    """The moves that release the lines."""
    return [Move(line.product_id, available=line.quantity, reserved=-line.quantity) for line in lines]


def selling(lines: list[Quantity], held: bool) -> list[Move]:
    """The moves that sell the lines: out of what was held, or straight from the shelf."""
    if held:
        return [Move(line.product_id, reserved=-line.quantity, sold=line.quantity) for line in lines]
    return [Move(line.product_id, available=-line.quantity, sold=line.quantity) for line in lines]
