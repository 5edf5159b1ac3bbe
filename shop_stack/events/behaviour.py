"""What shoppers do before they buy, and what the shop sold before it ran here."""

from datetime import datetime

from shop_stack.events.shop import Line
from shop_stack.events.topics import BEHAVIOUR, HISTORY, Event

# Behaviour carries no sequence: its aggregate is the session, and a gap means nothing.


class ProductViewed(Event, frozen=True, kw_only=True):
    """A shopper opened a product's page."""

    type = "shop.behaviour.product-viewed.v1"
    topic = BEHAVIOUR
    session_id: str
    product_id: str


class ProductsSearched(Event, frozen=True, kw_only=True):
    """A shopper searched; `words` are only those of the catalog's own vocabulary."""

    type = "shop.behaviour.products-searched.v1"
    topic = BEHAVIOUR
    session_id: str
    words: list[str]
    results: int


class CartChanged(Event, frozen=True, kw_only=True):
    """A shopper put a product into the cart, or changed its number (0: taken out)."""

    type = "shop.behaviour.cart-changed.v1"
    topic = BEHAVIOUR
    session_id: str
    cart_id: str
    product_id: str
    quantity: int


class CheckoutStarted(Event, frozen=True, kw_only=True):
    """A shopper opened the checkout with a cart of this list value."""

    type = "shop.behaviour.checkout-started.v1"
    topic = BEHAVIOUR
    session_id: str
    cart_id: str
    total_minor: int


# History: not the aggregates of the running services, hence no sequence either.


class PastOrderRecorded(Event, frozen=True, kw_only=True):
    """An order from before, at its own `time`: `origin` is `imported` (from a file) or `simulated`."""

    type = "shop.history.past-order-recorded.v1"
    topic = HISTORY
    order_id: str
    customer_id: str | None
    country: str | None
    lines: list[Line]
    total_minor: int
    origin: str
    file_hash: str


class PastMinute(Event, frozen=True, kw_only=True):
    """One simulated minute of the stack, at its own `time`; `requests` and `errors` per service name."""

    type = "shop.history.past-minute.v1"
    topic = HISTORY
    requests: dict[str, float]
    errors: dict[str, float]
    p95_ms: dict[str, float]
    sessions: float
    origin: str


class HistoryImported(Event, frozen=True, kw_only=True):
    """An import ended: what became of every line of the file, and of its money."""

    type = "shop.history.imported.v1"
    topic = HISTORY
    file_hash: str
    lines_read: int
    lines_imported: int
    reasons: dict[str, int]
    net_sales_minor: int
    reason_money_minor: dict[str, int]
    rounding_minor: int
    first: datetime | None
    last: datetime | None
