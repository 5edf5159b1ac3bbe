"""What a cart comes to: its lines merged, what changed in it, and its total at given prices."""

from collections.abc import Iterable, Mapping

from shop_stack.events import Line, Quantity

MAX_LINES = 200
MAX_QUANTITY = 1_000_000


class CartRefused(ValueError):
    """A cart cannot be so; the message says why."""


def merged(lines: Iterable[Quantity]) -> dict[str, int]:
    """The units of each product, in order of appearance; 0 takes a product out. Raises CartRefused."""
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.product_id] = wanted.get(line.product_id, 0) + line.quantity
    if len(wanted) > MAX_LINES:
        raise CartRefused(f"a cart holds at most {MAX_LINES} products, not {len(wanted)}")
    for product_id, quantity in wanted.items():
        if quantity > MAX_QUANTITY:
            raise CartRefused(f"a cart holds at most {MAX_QUANTITY} units of a product, not {quantity} of {product_id}")
    return {product_id: quantity for product_id, quantity in wanted.items() if quantity > 0}


def changes(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The products whose number changed, with the new number (0: taken out)."""
    changed = {product_id: quantity for product_id, quantity in after.items() if before.get(product_id) != quantity}
    return changed | {product_id: 0 for product_id in before if product_id not in after}


def priced(cart: Mapping[str, int], prices: Mapping[str, int]) -> tuple[list[Line], list[str]]:
    """The lines at list prices (minor units), and the products of the cart that have no price."""
    lines = [Line(product_id, quantity, prices[product_id]) for product_id, quantity in cart.items()
             if product_id in prices]  # fmt: skip
    return lines, [product_id for product_id in cart if product_id not in prices]


def total_minor(lines: Iterable[Line]) -> int:
    """What lines cost, in minor units."""
    return sum(line.quantity * line.unit_price_minor for line in lines)
