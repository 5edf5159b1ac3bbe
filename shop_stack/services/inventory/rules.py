"""Who gets the units: what a reservation becomes, and whether the stock covers an order."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from shop_stack.events import Quantity

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
