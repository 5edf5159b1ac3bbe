"""What the shopper is about to order: the cart and its prices, read from storefront and catalog."""

from urllib.parse import quote

import msgspec

from shop_stack.errors import MeshError
from shop_stack.events import Line, Quantity
from shop_stack.hosting.service import Mesh


class Refusal(msgspec.Struct, frozen=True):
    """Why there is nothing to order: an HTTP status, a sentence, and headers."""

    status: int
    detail: str
    headers: dict[str, str] = {}


class _Cart(msgspec.Struct):
    lines: list[Quantity]


class _Price(msgspec.Struct):
    product_id: str
    list_price_minor: int


class _Prices(msgspec.Struct):
    items: list[_Price]


_cart = msgspec.json.Decoder(_Cart)
_prices = msgspec.json.Decoder(_Prices)
_LATER = {"retry-after": "1"}


def read_priced_cart(mesh: Mesh, cart_id: str, subject: str) -> list[Line] | Refusal:
    """The cart's lines at list prices of now (minor units), at least one, each product once."""
    try:
        answer = mesh.get("storefront", f"/v1/carts/{quote(cart_id, safe='')}", subject=subject)
        if answer.status != 200:
            return Refusal(404, "you have no cart of this id")
        wanted = _merged(_cart.decode(answer.body).lines)
        if not wanted:
            return Refusal(422, "the cart is empty; put something in and order again")
        ids = ",".join(quote(product_id, safe="") for product_id in wanted)
        priced = mesh.get("catalog", f"/v1/products?ids={ids}", subject=subject)
    except (MeshError, msgspec.MsgspecError):
        return Refusal(503, "the cart cannot be priced just now; try again with the same key", _LATER)
    if priced.status != 200:
        return Refusal(503, "the catalog cannot price the cart just now; try again with the same key", _LATER)
    return _priced(wanted, priced.body)


def _merged(lines: list[Quantity]) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for line in lines:
        if line.quantity > 0:
            wanted[line.product_id] = wanted.get(line.product_id, 0) + line.quantity
    return wanted


def _priced(wanted: dict[str, int], body: bytes) -> list[Line] | Refusal:
    try:
        prices = {item.product_id: item.list_price_minor for item in _prices.decode(body).items}
    except msgspec.MsgspecError:
        return Refusal(503, "the catalog's prices cannot be read just now; try again with the same key", _LATER)
    if any(product_id not in prices for product_id in wanted):
        return Refusal(409, "a product of the cart is no longer sold; look at the cart and order again")
    return [Line(product_id, quantity, prices[product_id]) for product_id, quantity in wanted.items()]
