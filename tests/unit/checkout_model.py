"""One order's checkout in all its interleavings: the services' own rules, with everything between them explored.

A `Shop` is one moment: what each service has stored, and what is on its way between them. `moves` are all that may
happen next: any message at the head of its stream, a deadline, the shopper's cancellation, the expiry of the
reservation, someone else who buys the units, a provider that answers, declines, acts and is not heard, or is never
reached. Streams keep their order, and there is none between them, as on the log; a request may overtake another as
often as `Troubles` says, which the log never lets it do.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from shop_stack import events
from shop_stack.events import Event, Line
from shop_stack.services.inventory import rules as inventory
from shop_stack.services.inventory.rules import Reservation
from shop_stack.services.orders import rules as orders
from shop_stack.services.orders.rules import CancellationAsked, DeadlinePassed, Order, Patience
from shop_stack.services.payments import rules as payments
from shop_stack.services.payments.rules import Approved, Payment, Refused, TakenAlready, Unclear
from shop_stack.services.shipping import rules as shipping
from shop_stack.services.shipping.rules import Shipment

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID, UNITS, PRICE = "order-1", 2, 500
PATIENCE = Patience(step_s=20.0, delivery_s=30.0)
Stream = tuple[Event, ...]


class Troubles(msgspec.Struct, frozen=True):
    """How often each thing may still go wrong, so that the exploration ends."""

    deadlines: int = 0
    cancellations: int = 0
    expiries: int = 0
    buyers: int = 0
    declines: int = 0
    lost: int = 0
    overtakings: int = 0


class Shop(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of one order.

    `shelf` counts the units for sale, `sold` and `bought` those that the order and someone else have; `account` is
    the provider's own book.
    """

    order: Order
    waits: bool = True
    reservation: Reservation | None = None
    shelf: int = UNITS
    sold: int = 0
    bought: int = 0
    payment: Payment | None = None
    call: payments.Call | None = None
    account: str = "none"
    shipment: Shipment | None = None
    to_inventory: Stream = ()
    to_payments: Stream = ()
    to_shipping: Stream = ()
    from_inventory: Stream = ()
    from_payments: Stream = ()
    from_shipping: Stream = ()
    left: Troubles = Troubles()


_HEARD = {
    "to_inventory": (events.ReservationRequested, events.ReleaseRequested, events.DispatchRequested),
    "to_payments": (
        events.AuthorisationRequested, events.CaptureRequested, events.VoidRequested, events.RefundRequested,
    ),
}  # fmt: skip


def opening(left: Troubles) -> Shop:
    """The order is placed, its first request is on its way."""
    step = orders.place(ID, "customer", "cart", [Line("tea", UNITS, PRICE)], NOW, PATIENCE)
    return _stepped(Shop(order=step.order, left=left), step)


def moves(shop: Shop) -> Iterator[tuple[str, Shop]]:
    """(what happens, the shop after it) for everything that may happen next."""
    for stream, handle in _STREAMS.items():
        queue: Stream = getattr(shop, stream)
        if queue:
            rest = msgspec.structs.replace(shop, **{stream: queue[1:]})
            yield type(queue[0]).__name__, handle(rest, queue[0])
            if shop.left.overtakings and stream.startswith("to_") and len(queue) > 1:
                swapped = msgspec.structs.replace(_spent(shop, "overtakings"), **{stream: (queue[0], *queue[2:])})
                yield f"{type(queue[1]).__name__} overtakes", handle(swapped, queue[1])
    yield from _provider(shop)
    yield from _parcel(shop)
    yield from _troubles(shop)


def _stepped(shop: Shop, step: orders.Step | None) -> Shop:
    if step is None:
        return shop
    sent = {
        stream: getattr(shop, stream) + tuple(event for event in step.events if isinstance(event, heard))
        for stream, heard in _HEARD.items()
    }
    return msgspec.structs.replace(shop, order=step.order, waits=step.wait_s is not None, **sent)


def _orders(shop: Shop, event: object) -> Shop:
    return _stepped(shop, orders.advance(shop.order, event, NOW, PATIENCE))


def _inventory(shop: Shop, event: Event) -> Shop:
    held, change = shop.reservation, None
    if isinstance(event, events.ReservationRequested):
        if held is None:
            change = inventory.reserve(ID, event.lines, {"tea": shop.shelf}, NOW)
    elif isinstance(event, events.ReleaseRequested):
        change = inventory.release(held, ID)
    elif isinstance(event, events.DispatchRequested):
        change = inventory.sell(held, ID, event.lines, {"tea": shop.shelf}, event.customer_id)
    return _reserved(shop, change) if change else shop


def _reserved(shop: Shop, change: inventory.Change) -> Shop:
    to_shipping = (change.event,) if isinstance(change.event, events.StockSold) else ()
    return msgspec.structs.replace(
        shop,
        reservation=change.reservation,
        shelf=shop.shelf + sum(move.available for move in change.moves),
        sold=shop.sold + sum(move.sold for move in change.moves),
        from_inventory=(*shop.from_inventory, change.event),
        to_shipping=shop.to_shipping + to_shipping,
    )


def _payments(shop: Shop, event: Event) -> Shop:
    if isinstance(event, events.AuthorisationRequested):
        change = payments.authorise(shop.payment, ID, event.amount_minor)
    elif isinstance(event, events.CaptureRequested):
        change = payments.capture(shop.payment)
    else:
        change = payments.drop(shop.payment, ID)
    return _paid(shop, change) if change else shop


def _paid(shop: Shop, change: payments.Change) -> Shop:
    said = (change.event,) if change.event else ()
    return msgspec.structs.replace(shop, payment=change.payment, from_payments=shop.from_payments + said)


def _provider(shop: Shop) -> Iterator[tuple[str, Shop]]:
    """A call goes out; later it is answered, or its answer is lost after the provider acted or without."""
    if shop.payment is None:
        return
    if shop.call is None:
        call = payments.next_call(shop.payment)
        if call is not None:
            yield f"call {call}", msgspec.structs.replace(shop, payment=payments.attempted(shop.payment), call=call)
        return
    for account, answer in _acts(shop, shop.call):
        acted = msgspec.structs.replace(shop, account=account, call=None)
        if isinstance(answer, Refused) and account != shop.account:
            acted = _spent(acted, "declines")
        yield f"{shop.call}: {type(answer).__name__}", _answered(acted, shop.call, answer)
        if shop.left.lost:
            yield f"{shop.call}: lost", _answered(_spent(acted, "lost"), shop.call, Unclear("lost"))
    if shop.left.lost:
        unheard = msgspec.structs.replace(_spent(shop, "lost"), call=None)
        yield f"{shop.call}: unheard", _answered(unheard, shop.call, Unclear("unheard"))


def _spent(shop: Shop, trouble: str) -> Shop:
    fewer = msgspec.structs.replace(shop.left, **{trouble: getattr(shop.left, trouble) - 1})
    return msgspec.structs.replace(shop, left=fewer)


def _answered(shop: Shop, call: payments.Call, answer: payments.Answer) -> Shop:
    assert shop.payment is not None
    if not payments.awaits(shop.payment, call):
        return shop
    change = payments.settle(shop.payment, call, answer)
    return _paid(shop, change) if change else shop


def _acts(shop: Shop, call: payments.Call) -> Iterator[tuple[str, payments.Answer]]:
    """(the account after it, the answer): what the provider's stand-in does with a call, under its key."""
    account, done = shop.account, Approved("ref")
    if call == "authorise":
        if account == "declined":
            yield account, Refused("declined")
            return
        yield ("authorised" if account == "none" else account), done
        if account == "none" and shop.left.declines:
            yield "declined", Refused("declined")
    elif call == "capture":
        yield "captured", done
    elif call == "void":
        yield account if account == "captured" else "voided", TakenAlready() if account == "captured" else done
    else:
        yield "refunded", done


def _shipping(shop: Shop, event: Event) -> Shop:
    assert isinstance(event, events.StockSold)
    assert event.customer_id is not None
    return shop if shop.shipment else msgspec.structs.replace(shop, shipment=shipping.wanted(ID, event.customer_id))


def _parcel(shop: Shop) -> Iterator[tuple[str, Shop]]:
    if shop.shipment is None or shop.shipment.state == "delivered":
        return
    if shop.shipment.state == "wanted":
        moved, published = shipping.dispatch(shop.shipment, "address")
        said: Stream = tuple(event for event in published if isinstance(event, events.ShipmentDispatched))
    else:
        moved, delivered = shipping.deliver(shop.shipment)
        said = (delivered,)
    yield (
        f"parcel {moved.state}",
        msgspec.structs.replace(shop, shipment=moved, from_shipping=shop.from_shipping + said),
    )


def _troubles(shop: Shop) -> Iterator[tuple[str, Shop]]:
    left = shop.left
    if shop.waits and left.deadlines:
        yield "deadline", _orders(_spent(shop, "deadlines"), DeadlinePassed())
    if left.cancellations and orders.may_cancel(shop.order):
        yield "cancellation", _orders(_spent(shop, "cancellations"), CancellationAsked())
    if left.expiries and shop.reservation is not None and shop.reservation.state == "reserved":
        yield "expiry", _reserved(_spent(shop, "expiries"), inventory.expire(shop.reservation))
    if left.buyers and shop.shelf:
        yield "someone buys", msgspec.structs.replace(_spent(shop, "buyers"), shelf=0, bought=shop.shelf)


_STREAMS = {
    "to_inventory": _inventory,
    "to_payments": _payments,
    "to_shipping": _shipping,
    "from_inventory": _orders,
    "from_payments": _orders,
    "from_shipping": _orders,
}
