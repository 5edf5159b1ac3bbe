"""Questions as of an earlier time: they answer what they really answered then, from the same events, states too."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from analytics.binding import BadParameter, bind
from analytics.questions import QUESTIONS
from shop_stack.events import (
    ActionApplied,
    ActionRequested,
    CartChanged,
    CustomerRegistered,
    Effect,
    Event,
    ForecastMade,
    HistoryImported,
    IncidentAcknowledged,
    IncidentOpened,
    IncidentResolved,
    OrderCancelled,
    OrderCompleted,
    OrderRejected,
    PartitionLag,
    PaymentAuthorised,
    PaymentDeclined,
    Point,
    ProductAdded,
    ProductViewed,
    ServiceSample,
    StackSampled,
    VerdictReached,
)
from tests.analytics_stand import ZONE, Stand, past_minute, past_order, placed

pytestmark = pytest.mark.embedded
START = datetime(2026, 11, 18, 22, 30, tzinfo=UTC)
MINUTES = 150  # into the next day
LOOKS = [name for name, question in QUESTIONS.items() if question.looks_back]
NEEDED = {"order_journey": {"order_id": "o7"}, "forecast_accuracy": {"series": "requests:orders"}}
Moment = tuple[datetime, Event]


def sampled(minute: int) -> StackSampled:
    waits = [PartitionLag(topic="shop.orders", partition=1, committed=0, end=1 + minute, lag=1 + minute, seconds=1.0)]
    sample = ServiceSample(
        service="orders", group="orders", ready=1 + minute % 3, desired=1, request_rate=float(minute), error_rate=0.25,
        p50_ms=1.0, p95_ms=20.0 + minute, p99_ms=None, lag=minute, cpu_cores=0.5, memory_bytes=1, lag_s=1.0,
        partitions=waits)  # fmt: skip
    return StackSampled(interval_s=30.0, services=[sample], parts={}, cpu_cores=1.0, memory_bytes=1)


def forecast(made_at: datetime, series: str = "requests:orders", first: datetime | None = None) -> ForecastMade:
    first = first or made_at.replace(second=0)
    points = [Point(first + timedelta(minutes=n), 5.0 + n, 4.0, 6.0, 3.0, 7.0) for n in range(60)]
    return ForecastMade(
        forecast_id=made_at.isoformat(), series=series, unit="requests/min", origin="live", made_at=made_at,
        history_end=None, step_s=60, model="m", status="ok", note="n", backtest_mase=0.5, points=points)  # fmt: skip


def acted_and_troubled(at: datetime, number: str) -> Iterator[Moment]:
    """A scaling with what came of it, and an incident that comes again after it was over."""
    measured = Effect(seconds=60.0, request_rate=1.0, error_rate=0.0, p95_ms=5.0, lag=0.0, utilisation=0.5)
    action = at.isoformat()
    yield at, ActionRequested(
        action_id=action, kind="scale", service="orders", group="orders", actor="anna", reason="more",
        replicas=2)  # fmt: skip
    yield at + timedelta(seconds=50), ActionApplied(action_id=action, service="orders", seconds=50.0)
    yield at + timedelta(minutes=2), VerdictReached(
        action_id=action, service="orders", before=measured, after=measured, verdict="helped",
        because="faster")  # fmt: skip
    yield at, IncidentOpened(incident_id=number, kind="crash_loop", service="orders", summary="it crashes")
    yield at + timedelta(minutes=4), IncidentAcknowledged(incident_id=number, actor="anna")
    yield at + timedelta(minutes=9), IncidentResolved(incident_id=number)


def history() -> Iterator[Moment]:
    """Two hours and a half: an order every minute, its end up to forty minutes later, and all that goes with it."""
    yield START - timedelta(days=7), past_order("a week before", 700)
    yield START - timedelta(days=7), past_minute(10.0)
    midnight = START.replace(hour=0, minute=0)
    yield midnight - timedelta(hours=1), forecast(midnight - timedelta(hours=1), "orders:day", midnight)
    for at in (START + timedelta(minutes=12), START + timedelta(minutes=100)):
        yield at, HistoryImported(
            file_hash="h", lines_read=at.minute, lines_imported=2, reasons={}, net_sales_minor=5,
            reason_money_minor={}, rounding_minor=0, first=START, last=START)  # fmt: skip
    for minute in range(MINUTES):
        at = START + timedelta(minutes=minute, seconds=7)
        order, cart = f"o{minute}", f"k{minute}"
        yield at, ProductViewed(session_id=f"s{minute}", product_id=f"p{minute % 5}")
        yield at, CartChanged(session_id=f"s{minute}", cart_id=cart, product_id="p", quantity=1)
        bought = placed(order, 100 + minute, cart, f"p{minute % 5}")
        yield at + timedelta(seconds=20), msgspec.structs.replace(bought, customer_id=f"c{minute % 30}")
        if minute % 20 == 3:
            yield from acted_and_troubled(at, str(minute // 40))
            yield at, CustomerRegistered(customer_id=f"c{minute}")
        end = at + timedelta(minutes=minute % 40, seconds=40)
        if minute % 4 == 0:
            yield end, OrderRejected(order_id=order, reason="declined")
            yield (
                end,
                PaymentDeclined(order_id=order, reason=("suspected_fraud", "insufficient_funds")[minute % 8 // 4]),
            )
        elif minute % 4 == 1:
            yield end, OrderCompleted(order_id=order, customer_id="c", lines=[], total_minor=1, seconds=1.0)
        elif minute % 4 == 2:
            yield end, OrderCancelled(order_id=order, reason="customer")
        yield at + timedelta(seconds=25), PaymentAuthorised(order_id=order, amount_minor=minute, provider_reference="r")
        yield at + timedelta(seconds=30), sampled(minute)
        if minute % 25 == 0:
            # fitting took until the next minute
            yield at + timedelta(minutes=1), forecast(at)
            yield at, ProductAdded(
                product_id=f"p{minute % 5}", name=f"name {minute}", category="c", list_price_minor=1)  # fmt: skip


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stand, dict[datetime, dict[str, Any]]]]:
    """All of the history read piece by piece, and what was answered at the time between two pieces."""
    made = Stand(tmp_path_factory.mktemp("looking back"))
    moments = sorted(history(), key=lambda moment: moment[0])
    then: dict[datetime, dict[str, Any]] = {}
    for minute in (1, 26, 61, 90, 91, 130):
        now = made.now = START + timedelta(minutes=minute)
        while moments and moments[0][0] < now:
            at, event = moments.pop(0)
            made.put(event, at=at)
        made.catch_up()
        if minute % 2 == 0:
            made.ingest.roll_up()
        then[now] = {name: made.ask(name, **NEEDED.get(name, {})) for name in LOOKS}
    for at, event in moments:
        made.put(event, at=at)
    made.catch_up()
    made.now = START + timedelta(days=1)
    yield made, then
    made.close()


@pytest.mark.parametrize("name", LOOKS)
def test_it_answers_as_it_did_then(answered: tuple[Stand, dict[datetime, dict[str, Any]]], name: str) -> None:
    made, then = answered
    assert any(answers[name] for answers in then.values())
    for at, answers in then.items():
        assert made.ask(name, at=at.isoformat(), **NEEDED.get(name, {})) == answers[name], at


def test_an_order_that_ended_later_is_open_as_of_then(answered: tuple[Stand, Any]) -> None:
    made, _ = answered
    at = START + timedelta(minutes=20)
    states = {row["order_id"]: row["state"] for row in made.ask("order_states", at=at.isoformat())}
    assert (states["o16"], states["o17"], states["o0"]) == ("open", "open", "rejected")
    assert "o20" not in states
    now = {row["order_id"]: row["state"] for row in made.ask("order_states")}
    assert (now["o16"], now["o17"], now["o19"]) == ("rejected", "completed", "open")
    asked_beyond = made.ask("order_states", at=at.isoformat(), until=(at + timedelta(days=9)).isoformat())
    assert {row["order_id"] for row in asked_beyond} == set(states)


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in LOOKS])
def test_what_cannot_be_looked_back_refuses_and_says_so(name: str) -> None:
    with pytest.raises(BadParameter, match="cannot be asked as of an earlier time"):
        bind(QUESTIONS[name], {"at": START.isoformat()}, START, ZONE)
    assert "takes no `at`" in QUESTIONS[name].told


@pytest.mark.parametrize("at", [START + timedelta(seconds=1), START + timedelta(minutes=1), datetime(1, 1, 1)])  # noqa: DTZ001
def test_only_whole_minutes_of_the_past_are_looked_back_to(at: datetime) -> None:
    with pytest.raises(BadParameter, match="no whole minute in the past, such as 2026-11-18T22:30:00Z"):
        bind(QUESTIONS["funnel"], {"at": at.isoformat()}, START + timedelta(seconds=5), ZONE)


def test_a_day_that_ended_is_held_against_its_forecast_as_it_stood_then(answered: tuple[Stand, Any]) -> None:
    made, _ = answered
    after = START + timedelta(minutes=91)
    [then] = made.ask("forecast_accuracy", series="orders:day", at=after.isoformat())
    [now] = made.ask("forecast_accuracy", series="orders:day")
    assert then["actual"] > now["actual"], "orders of that day were called off later"
    assert made.ask("forecast_accuracy", series="orders:day", at=(after - timedelta(minutes=2)).isoformat()) == []


def test_without_it_a_span_ends_with_this_minute_and_is_of_whole_minutes() -> None:
    values = bind(QUESTIONS["funnel"], {}, START + timedelta(seconds=5), ZONE)
    until = START.replace(tzinfo=None) + timedelta(minutes=1)
    assert values == {"since": until - timedelta(days=1), "until": until}
