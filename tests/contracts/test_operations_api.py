"""The operations API over HTTP, through its own client: who may do what, and what it answers."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shop_stack.envelope import Envelope, decode, encode
from shop_stack.errors import AccessDenied, ActionRefused, NotRunning
from shop_stack.eventlog.interface import Record
from shop_stack.events import (
    SAMPLES,
    Line,
    OrderAdvanced,
    OrderCompleted,
    OrderPlaced,
    PaymentAuthorised,
    ServiceSample,
    StackSampled,
    StockLevelChanged,
)
from shop_stack.ids import uuid7
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import TailEvent
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(make_home(tmp_path_factory.mktemp("operations")))
    with stand.served():
        until(lambda: stand.engine.sampler.snapshot.observation and stand.engine.link.down_because is None)
        yield stand


@pytest.fixture(scope="module")
def operator(stand: Stand) -> Iterator[OperationsClient]:
    with stand.client() as client:
        yield client


def samples(stand: Stand, service: str) -> list[ServiceSample]:
    """This service in the samples that were published."""
    log = stand.engine.link.log()
    records = log.read(SAMPLES.name, 0, log.starts(SAMPLES.name)[0], 1000)
    found = [event.data for event in map(decode, (record.value for record in records))]
    return [
        one for event in found if isinstance(event, StackSampled) for one in event.services if one.service == service
    ]


def publish(stand: Stand, order_id: str, apart_s: int = 0) -> list[str]:
    """One order's events, appended in another order than they happened; their ids in the order of cause."""
    now = datetime.now(UTC)
    line = Line("p1", 1, 500)
    contents = [
        ("/orders", 1, OrderPlaced(order_id=order_id, customer_id="c", cart_id="k", lines=[line], total_minor=500)),
        ("/payments", 1, PaymentAuthorised(order_id=order_id, amount_minor=500, provider_reference="[b]x[/b]")),
        ("/orders", 2, OrderAdvanced(order_id=order_id, state="authorised")),
        (
            "/orders",
            3,
            OrderCompleted(order_id=order_id, customer_id="c", lines=[line], total_minor=500, seconds=1.5),
        ),
    ]
    ids = [uuid7(now) for _ in contents]
    log = stand.engine.link.log()
    for number in (3, 1, 0, 2):
        source, sequence, event = contents[number]
        envelope = Envelope(
            id=ids[number],
            source=source,
            subject=order_id,
            time=now + timedelta(seconds=apart_s * number),
            data=event,
            sequence=sequence,
            correlationid=order_id,
            causationid=ids[number - 1] if number else None,
        )
        log.append(event.topic.name, [Record(key=order_id, value=encode(envelope))])
    return ids


def test_no_token_and_a_shoppers_token_open_nothing(stand: Stand) -> None:
    for headers in ({}, {"Authorization": f"Bearer {stand.shopper_token()}"}, {"Authorization": "Bearer x"}):
        for path in ("/ops/v1/services", "/ops/v1/actions", "/ops/v1/events", "/ops/v1/whoami"):
            answer = httpx.get(stand.address + path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
    with OperationsClient(stand.address, stand.shopper_token()) as client, pytest.raises(AccessDenied):
        client.stack()


def test_a_viewer_sees_and_does_not_act(stand: Stand) -> None:
    before = list(stand.runtime.calls)
    with stand.client("viewer") as viewer:
        assert viewer.whoami().role == "viewer"
        assert viewer.stack().role == "viewer"
        with pytest.raises(AccessDenied, match="needs operator"):
            viewer.scale("orders", 3, "try")
        with pytest.raises(AccessDenied):
            viewer.restart("orders", "try")
        with pytest.raises(AccessDenied):
            viewer.acknowledge("x")
        assert viewer.actions() == []
    assert stand.runtime.calls == before


def test_the_stack_says_which_floors_are_down(operator: OperationsClient) -> None:
    view = operator.stack()
    assert view.time_zone == "Europe/London"
    assert [service.name for service in view.services][:2] == ["storefront", "customers"]
    parts = {part.name: part for part in view.parts}
    assert not parts["gateway"].up
    assert "Envoy does not answer" in parts["gateway"].because
    assert parts["log"].up
    assert not parts["analytics"].up
    assert parts["analytics"].because == "killed"
    orders = next(service for service in view.services if service.name == "orders")
    assert (orders.ready, orders.desired, orders.health) == (1, 1, "ok")


def test_expectation_names_bounds_and_company(operator: OperationsClient) -> None:
    promise = operator.expectation("orders", 3)
    assert (promise.replicas_now, promise.replicas_then, promise.refused) == (1, 3, None)
    refused = operator.expectation("orders", 99).refused
    assert refused is not None
    assert "1 to 8" in refused


@pytest.mark.parametrize(
    ("replicas", "reason", "words"),
    [(99, "load", "1 to 8"), (1, "load", "already"), (3, "  ", "needs a reason"), (0, "stop", "second time")],
)
def test_what_is_refused_and_why(operator: OperationsClient, replicas: int, reason: str, words: str) -> None:
    with pytest.raises(ActionRefused, match=words):
        operator.scale("orders", replicas, reason)


def test_unknown_things_are_named(operator: OperationsClient) -> None:
    with pytest.raises(ActionRefused, match="no service is called 'ghost'"):
        operator.scale("ghost", 2, "load")
    with pytest.raises(ActionRefused, match="no action"):
        operator.action("ghost")
    with pytest.raises(ActionRefused, match="no replica 'orders-9'"):
        operator.restart("orders", "stuck", replica="orders-9")
    with pytest.raises(ActionRefused, match="no incident"):
        operator.acknowledge("ghost", take_over=True)
    with pytest.raises(ActionRefused, match="no event of an order"):
        operator.journey("ghost")


def test_a_wrong_body_is_a_problem(stand: Stand) -> None:
    headers = {"Authorization": f"Bearer {stand.token('operator')}"}
    url = f"{stand.address}/ops/v1/services/orders/scale"
    for body in (b"{", b'{"replicas": "three", "reason": "x"}', b'{"replicas": 2, "reason": "x", "more": 1}'):
        answer = httpx.post(url, content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


def test_logs_are_of_the_group_and_bounded(operator: OperationsClient) -> None:
    lines = operator.logs("orders", 5)
    assert len(lines) == 5
    assert lines[0].startswith("orders-1 | ")
    with pytest.raises(ActionRefused):
        operator.logs("orders", 0)


def test_a_journey_is_in_the_order_of_cause(stand: Stand, operator: OperationsClient) -> None:
    order_id = uuid7(datetime.now(UTC))
    ids = publish(stand, order_id)
    journey = operator.journey(order_id)
    assert [step.event_id for step in journey.steps] == ids
    assert [step.caused_by for step in journey.steps] == [None, *ids[:-1]]
    assert (journey.state, journey.total_minor) == ("completed", 500)


def test_a_journey_as_of_an_earlier_time_has_only_what_was_before_it(stand: Stand, operator: OperationsClient) -> None:
    order_id = uuid7(datetime.now(UTC))
    ids = publish(stand, order_id, apart_s=1)
    last = operator.journey(order_id).steps[-1].at
    journey = operator.journey(order_id, last)
    assert ([step.event_id for step in journey.steps], journey.state) == (ids[:-1], "authorised")
    headers = {"Authorization": f"Bearer {stand.token('operator')}"}
    naive = f"{stand.address}/ops/v1/orders/{order_id}?at={last:%Y-%m-%dT%H:%M:%S.%f}"
    assert len(httpx.get(naive, headers=headers).json()["steps"]) == len(ids) - 1
    with pytest.raises(ActionRefused, match="has a time before"):
        operator.journey(order_id, journey.steps[0].at)
    assert httpx.get(f"{stand.address}/ops/v1/orders/{order_id}?at=noon", headers=headers).status_code == 400


def test_a_journey_of_an_id_without_a_time(stand: Stand, operator: OperationsClient) -> None:
    ids = publish(stand, "order-17")
    assert [step.event_id for step in operator.journey("order-17").steps] == ids


def publish_levels(stand: Stand, product_id: str, correlations: list[str]) -> list[str]:
    """A change of a product's stock for each of these orders; the events' ids."""
    ids = []
    for sequence, order_id in enumerate(correlations, 1):
        changed = StockLevelChanged(product_id=product_id, available=9 - sequence, reserved=sequence, sold=0)
        now = datetime.now(UTC)
        envelope = Envelope(id=uuid7(now), source="/inventory", subject=product_id, time=now, data=changed,
                            sequence=sequence, correlationid=order_id)  # fmt: skip
        stand.engine.link.log().append(changed.topic.name, [Record(key=product_id, value=encode(envelope))])
        ids.append(envelope.id)
    return ids


def test_a_journey_from_the_log_alone_has_the_stock_levels_of_its_products(
    stand: Stand, operator: OperationsClient
) -> None:
    order_id = uuid7(datetime.now(UTC))
    ids = publish(stand, order_id)
    levels = publish_levels(stand, "p1", [order_id, "another order", order_id])
    publish_levels(stand, "p2", [order_id])
    steps = {step.event_id for step in operator.journey(order_id).steps}
    assert steps == {*ids, levels[0], levels[2]}


def test_events_come_with_a_backlog_and_live_and_filtered(stand: Stand, operator: OperationsClient) -> None:
    old, new = uuid7(datetime.now(UTC)), uuid7(datetime.now(UTC))
    publish(stand, old)
    seen: list[TailEvent] = []
    done = threading.Event()

    def listen() -> None:
        for event in operator.events(topic="shop.orders", type="completed", stop=done.is_set):
            assert isinstance(event, TailEvent)
            seen.append(event)

    thread = threading.Thread(target=listen)
    thread.start()
    until(lambda: any(event.subject == old for event in seen))
    assert stand.engine.tail.reading
    publish(stand, new)
    until(lambda: any(event.subject == new for event in seen))
    done.set()
    publish(stand, new)
    thread.join(15)
    assert {event.topic for event in seen} == {"shop.orders"}
    assert {event.type for event in seen} == {"shop.order.completed.v1"}
    until(lambda: not stand.engine.tail.reading)


def test_consumer_groups_tell_lag(stand: Stand, operator: OperationsClient) -> None:
    log = stand.engine.link.log()
    consumer = log.subscribe("payments", ["shop.orders"])
    until(lambda: consumer.poll(1, 0.05) or consumer.ready())
    publish(stand, "order-18")
    groups = [lag for lag in operator.consumer_groups() if lag.group == "payments"]
    assert sum(lag.lag for lag in groups) == sum(log.ends("shop.orders"))
    assert sum(row.lag for row in groups[0].partitions) == groups[0].lag
    consumer.close()


def test_what_waits_is_told_of_its_service_and_in_the_sample(stand: Stand, operator: OperationsClient) -> None:
    log = stand.engine.link.log()
    consumer = log.subscribe("payments", ["shop.orders"])
    until(lambda: consumer.poll(1, 0.05) is not None and len(consumer.assignment()) == 6)
    consumer.commit({("shop.orders", number): end for number, end in enumerate(log.ends("shop.orders"))})
    publish(stand, "order-19")
    until(lambda: (found := stand.engine.link.behind("payments")) is not None and found.seconds > 0, 30)
    view = next(view for view in operator.stack().services if view.name == "payments")
    assert view.behind is not None
    assert [row.topic for row in view.behind.partitions if row.seconds > 0] == ["shop.orders"]
    assert view.behind.orders_waiting == 1
    until(lambda: any(sample.lag_s > 0 for sample in samples(stand, "payments")), 30)
    told = next(sample for sample in samples(stand, "payments") if sample.lag_s > 0)
    assert (told.orders_waiting, [row.topic for row in told.partitions]) == (1, ["shop.orders"])
    consumer.close()


def test_openapi_is_served(stand: Stand) -> None:
    document = httpx.get(f"{stand.address}/ops/v1/schema/openapi.json").json()
    assert "/ops/v1/services/{service_name}/scale" in document["paths"]


def test_nobody_answering_is_said() -> None:
    with OperationsClient("http://127.0.0.1:9", "x") as client, pytest.raises(NotRunning, match="does not answer"):
        client.stack()


def test_a_silent_supervisor_is_said(tmp_path: Path) -> None:
    stand = Stand(make_home(tmp_path))
    stand.runtime.silent = True
    with stand.served(), stand.client() as client:
        until(lambda: stand.engine.sampler.snapshot.runtime_error)
        view = client.stack()
        assert {service.health for service in view.services} == {"down"}
        assert "no supervisor answers" in view.services[0].because
        with pytest.raises(NotRunning, match="no supervisor"):
            client.scale("orders", 3, "load")
        assert client.actions() == []


def test_services_in_one_process_move_together(tmp_path: Path) -> None:
    stand = Stand(make_home(tmp_path), topology="monolith")
    with stand.served(), stand.client() as client:
        until(lambda: stand.engine.sampler.snapshot.observation)
        promise = client.expectation("orders", 2)
        assert promise.group == "shop"
        assert "payments" in promise.moves_with
        assert "move with it" in promise.words
        action_id = client.scale("orders", 2, "load")
        until(lambda: client.action(action_id).state == "applied")
        until(lambda: {service.ready for service in client.stack().services} == {2})
