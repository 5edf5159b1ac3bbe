"""Services tell what they have taken on and not done: calls of the provider, open orders, parcels without a label."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import AuthorisationRequested, Event, Line, VoidRequested, WorkInHand
from shop_stack.hosting.service import Cause
from shop_stack.ids import uuid7
from shop_stack.operations.replica_reports import Reporters
from shop_stack.runtime.interface import Replica
from shop_stack.services.orders import rules as orders
from shop_stack.services.orders import store as orders_store
from shop_stack.services.payments import store as payments_store
from shop_stack.services.shipping import rules as shipping
from shop_stack.services.shipping import store as shipping_store
from tests.flows.shop_in_process import Shop, running_shop, wait_until

pytestmark = pytest.mark.embedded
PATIENCE = orders.Patience(20.0, 30.0)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Three services over a provider that takes calls in and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        with running_shop(tmp_path, ["orders", "payments", "shipping"], ports={"provider": port}) as running:
            yield running


def told(shop: Shop, service: str) -> tuple[WorkInHand, ...]:
    """What operations would read from the service's replica."""
    replica = Replica(name="r", pid=1, port=shop.groups[service].port, state="ready", started_at=0, restarts=0,
                      cpu_s=0, memory_bytes=1)  # fmt: skip
    reporters = Reporters()
    report = reporters.ask([replica], [service])[service]
    reporters.forget([])
    return report.work


def ask(shop: Shop, event: Any, age_s: float = 0.0) -> None:
    """A request that orders made so many seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    envelope: Envelope[Event] = Envelope(id=uuid7(at), source="/orders", subject=event.order_id, time=at, data=event,
                                         sequence=1)  # fmt: skip
    shop.log.append(event.topic.name, [Record(event.order_id, encode(envelope), {})])


def test_calls_of_a_silent_provider_are_work_in_hand_by_kind_and_age(shop: Shop) -> None:
    for number in range(12):
        wanted = AuthorisationRequested(order_id=f"o-{number}", customer_id="c", amount_minor=500)
        ask(shop, wanted, age_s=9.0 if number == 0 else 0.0)
    wait_until(lambda: [one.items for one in told(shop, "payments")] == [12], "twelve calls in hand")
    [work] = told(shop, "payments")
    assert (work.kind, work.waits_for) == ("authorisation", "the provider")
    assert 9.0 <= work.oldest_s < 60.0
    ask(shop, VoidRequested(order_id="o-3"))
    kinds = {("authorisation", 11), ("void", 1)}
    wait_until(lambda: {(one.kind, one.items) for one in told(shop, "payments")} == kinds, "the void")


def test_it_is_asked_at_most_once_a_second_and_by_an_index(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    service = shop.groups["payments"].group.services[0]
    asked: list[float] = []
    real = payments_store.in_hand

    def noted(connection: Connection) -> Any:
        asked.append(time.monotonic())
        return real(connection)

    monkeypatch.setattr(payments_store, "in_hand", noted)
    wait_until(lambda: (service.work_in_hand(), len(asked))[1] == 3, "three questions")
    assert asked[-1] - asked[0] >= 1.9
    plans = {
        "payments": "SELECT state, goal, count(*), min(causation) FROM payments WHERE due_us IS NOT NULL GROUP BY 1, 2",
        "orders": "SELECT state, count(*), min(placed_us) FROM orders WHERE deadline_us IS NOT NULL GROUP BY 1",
        "shipping": "SELECT count(*) FROM shipments WHERE state = 'wanted' AND due_us IS NOT NULL",
    }
    for name, query in plans.items():
        with shop.context(name).read() as connection:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
        assert "USING INDEX" in rows[0][3].replace("COVERING ", ""), rows


def test_open_orders_tell_whom_they_wait_for(shop: Shop) -> None:
    context = shop.context("orders")
    now = datetime.now(UTC)
    steps: list[orders.State] = ["placed", "reserved", "authorised", "shipped", "completed"]
    with context.write() as transaction:
        for number, state in enumerate(steps):
            placed = now - timedelta(seconds=10 * number)
            step = orders.place(f"o-{number}", "c", "k", [Line("p", 1, 5)], placed, PATIENCE)
            order = msgspec.structs.replace(step.order, state=state)
            deadline = None if state == "completed" else now + timedelta(seconds=60)
            orders_store.add(transaction.connection, order, deadline)
    found = {one.waits_for: one for one in wait_until(lambda: told(shop, "orders"), "the orders")}
    assert {name: one.items for name, one in found.items()} == {"inventory": 1, "payments": 2}
    assert found["payments"].oldest_s >= 20.0 > 15.0 > found["inventory"].oldest_s


def test_parcels_wait_for_their_label_and_late_ones_for_delivery(shop: Shop) -> None:
    context, now = shop.context("shipping"), datetime.now(UTC)
    cause = Cause(causation=uuid7(now - timedelta(seconds=7)))
    later = now + timedelta(seconds=60)
    with context.write() as transaction:
        shipping_store.add(transaction.connection, shipping.wanted("o-1", "c"), later, cause)
        gone, _ = shipping.dispatch(shipping.wanted("o-2", "c"), "address")
        shipping_store.add(transaction.connection, gone, later, cause)
    [work] = wait_until(lambda: told(shop, "shipping"), "the label")
    assert (work.kind, work.waits_for, work.items) == ("label", "customers", 1)
    assert 7.0 <= work.oldest_s < 60.0
