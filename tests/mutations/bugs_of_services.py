"""Bugs of orders, payments and inventory."""

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, update

from shop_stack.events import DispatchRequested
from shop_stack.hosting.statements import Prepared
from shop_stack.services.inventory import handlers as inventory_handlers
from shop_stack.services.inventory import rules as inventory_rules
from shop_stack.services.inventory import store as inventory_store
from shop_stack.services.orders import rules as orders_rules
from shop_stack.services.orders import store as orders_store
from shop_stack.services.payments import rules as payments_rules
from shop_stack.services.payments import store as payments_store
from shop_stack.trials.shop import shelf
from tests.mutations.bugs import Patch, bug, exchange, without_timer

# Orders


@bug("steps have no deadline")
def no_deadlines(patch: Patch) -> None:
    without_timer(patch, "orders", "deadlines")


@bug("an order is kept by each replica and written without its version")
def stale_orders(patch: Patch) -> None:
    known: dict[str, Any] = {}
    original = orders_store.get_held

    def get_held(connection: Any, order_id: str) -> Any:
        fresh = original(connection, order_id)
        return known.setdefault(order_id, fresh) if fresh is not None else None

    columns = orders_store.ORDERS.c
    names = ("state", "reason", "version", "stock_open", "money_open", "attempts", "deadline_us")
    unguarded = Prepared(
        update(orders_store.ORDERS)
        .where(columns.order_id == bindparam("order"), bindparam("read_version") >= 0)
        .values({name: bindparam(f"new_{name}") for name in names})
    )
    patch.setattr(orders_store, "get_held", get_held)
    patch.setattr(orders_store, "_CHANGE", unguarded)


@bug("an order that is called off keeps the shopper's money held")
def no_void(patch: Patch) -> None:
    original = orders_rules._compensate
    patch.setattr(orders_rules, "_compensate", lambda *given, **how: original(*given, **(how | {"money": False})))


@bug("a shopper may call an order off after its money was taken")
def late_cancellation(patch: Patch) -> None:
    patch.setattr(orders_rules, "may_cancel", lambda order: order.state not in ("completed", "cancelled", "rejected"))


# Payments


@bug("no idempotency key to the provider")
def no_provider_key(patch: Patch) -> None:
    fresh = itertools.count()
    patch.setattr(payments_rules, "key", lambda payment, call: f"{payment.order_id}/{call}/{next(fresh)}")


@bug("a refund is asked for under a new key each time: refunded twice")
def refund_twice(patch: Patch) -> None:
    fresh = itertools.count()
    original = payments_rules.key
    patch.setattr(
        payments_rules,
        "key",
        lambda payment, call: f"{original(payment, call)}/{next(fresh) if call == 'refund' else 0}",
    )


@bug("no refund when the capture comes late")
def no_late_refund(patch: Patch) -> None:
    original = payments_rules._undoing
    patch.setattr(
        payments_rules, "_undoing", lambda payment: None if payment.state == "captured" else original(payment)
    )


@bug("a void that finds the money taken counts as done")
def void_of_captured(patch: Patch) -> None:
    original = payments_rules.settle

    def settle(payment: Any, call: Any, answer: Any) -> Any:
        if isinstance(answer, payments_rules.TakenAlready):
            return payments_rules._moved(payment, "voided")
        return original(payment, call, answer)

    patch.setattr(payments_rules, "settle", settle)


@bug("a compensation is given up when its first answer is lost")
def compensation_once(patch: Patch) -> None:
    original = payments_rules.settle

    def settle(payment: Any, call: Any, answer: Any) -> Any:
        if call in ("void", "refund") and isinstance(answer, payments_rules.Unclear):
            return payments_rules._moved(payment, "voided")
        return original(payment, call, answer)

    patch.setattr(payments_rules, "settle", settle)


@bug("a lost answer counts as a decline")
def unclear_is_declined(patch: Patch) -> None:
    original = payments_rules.settle

    def settle(payment: Any, call: Any, answer: Any) -> Any:
        if isinstance(answer, payments_rules.Unclear):
            answer = payments_rules.Refused("time-out")
        return original(payment, call, answer)

    patch.setattr(payments_rules, "settle", settle)


@bug("an answer that comes twice is booked twice")
def booked_twice(patch: Patch) -> None:
    patch.setattr(payments_rules, "awaits", lambda payment, call: True)


@bug("a crash loses the calls that were handed over: no lease in the store")
def no_lease(patch: Patch) -> None:
    for name in ("add", "change"):
        original = getattr(payments_store, name)

        def put(
            connection: Any, payment: Any, due: Any, cause: Any, claimed: bool = False, put: Any = original
        ) -> None:
            put(connection, payment, None if claimed else due, cause, claimed)

        patch.setattr(payments_store, name, put)


# Inventory


@bug("oversell: the stock's guards are gone")
def oversell(patch: Patch) -> None:
    stock = inventory_store.STOCK
    kinds = ("available", "reserved", "sold", "version")
    unguarded = Prepared(
        update(stock)
        .where(stock.c.product_id == bindparam("product"))
        .values({kind: stock.c[kind] + bindparam(f"d_{kind}") for kind in kinds})
        .returning(*(stock.c[name] for name in ("product_id", *kinds)))
    )
    patch.setattr(inventory_rules, "short", lambda wanted, available: [])
    patch.setattr(inventory_store, "_MOVE", unguarded)
    driver = shelf().stores["inventory"].kept().driver
    driver.execute("PRAGMA ignore_check_constraints=ON")


@bug("expiry frees stock that is sold")
def expiry_of_sold(patch: Patch) -> None:
    columns = inventory_store.RESERVATIONS.c
    forgetful = Prepared(
        update(inventory_store.RESERVATIONS)
        .where(columns.order_id == bindparam("order"), columns.version == bindparam("read_version"))
        .values(state=bindparam("new_state"), version=bindparam("new_version"))
    )
    patch.setattr(inventory_store, "_CHANGE", forgetful)


@bug("a release forgets the units")
def release_forgets(patch: Patch) -> None:
    patch.setattr(inventory_rules, "giving_back", lambda lines: [])


@bug("stock is sold once more for every repeated request")
def sells_again(patch: Patch) -> None:
    def sell(transaction: Any, envelope: Any, context: Any) -> None:
        held = inventory_store.get_held(transaction.connection, envelope.data.order_id)
        if held is not None and held.state == "sold":
            inventory_handlers._move(transaction, inventory_rules.selling(held.lines, held=False), held.order_id)
            return
        inventory_handlers.sell(transaction, envelope, context)

    subscriptions: Mapping[Any, Any] = {**shelf().cards["inventory"].subscriptions, DispatchRequested: sell}
    exchange(patch, "inventory", subscriptions=subscriptions)


@bug("units that were given back are given back again")
def given_back_again(patch: Patch) -> None:
    original = inventory_store.get_held

    def get_held(connection: Any, order_id: str) -> Any:
        held = original(connection, order_id)
        if held is not None and held.state == "released":
            return msgspec.structs.replace(held, state="reserved")
        return held

    patch.setattr(inventory_store, "get_held", get_held)
