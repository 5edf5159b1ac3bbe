"""An order's journey as the fake server tells it."""

from datetime import UTC, datetime, timedelta

from shop_stack.operations.model import Journey, JourneyStep

EXPLOIT = "[@click=app.scale('orders',0)]Jane[/]\x1b[31m\u202egnp.exe\x07"


def journey(order_id: str) -> Journey:
    """An order's way from cart to door, with an exploit in its data."""
    placed = datetime.now(UTC)
    names = [("order.placed", "/orders", 0.0), ("inventory.reservation-requested", "/orders", 1.0),
             ("inventory.stock-reserved", "/inventory", 9.0), ("payments.authorisation-requested", "/orders", 14.0),
             ("payments.payment-authorised", "/payments", 42.0), ("payments.capture-requested", "/orders", 47.0),
             ("payments.payment-captured", "/payments", 80.0), ("shipping.dispatch-requested", "/orders", 84.0),
             ("shipping.label-created", "/shipping", 95.0), ("shipping.shipment-delivered", "/shipping", 30_100.0),
             ("order.completed", "/orders", 30_105.0)]  # fmt: skip
    steps = [
        JourneyStep(
            at=placed + timedelta(milliseconds=after), event_id=f"step-{i}", type=f"shop.{name}.v1", source=source,
            after_ms=after, caused_by=f"step-{i - 1}" if i else None, data={"order_id": order_id, "customer": EXPLOIT},
        )
        for i, (name, source, after) in enumerate(names)
    ]  # fmt: skip
    return Journey(order_id=order_id, state="completed", placed_at=placed, total_minor=4599, steps=steps)
