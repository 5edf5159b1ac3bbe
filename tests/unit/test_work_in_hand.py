"""Work in hand: read from a replica's page, judged by its age, said in words, and pointed to by who waits for it."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from shop_stack.events import ServiceSample, WorkInHand
from shop_stack.ids import age_s, imported_id, uuid7
from shop_stack.operations.health import judge, oldest_work, work_in_words
from shop_stack.operations.history import Moment, from_sample
from shop_stack.operations.replica_reports import read_work
from shop_stack.operations.views import with_causes
from shop_stack.runtime.interface import Replica
from shop_stack.services.orders.rules import State, answers_next
from shop_stack.services.payments.rules import kind_of_call
from shop_stack.stack import ServiceSpec, read_stack
from tests.screens.fake_operations import service

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SPEC = ServiceSpec(name="payments", purpose="", work_age_s=2.5)
REPLICA = Replica(name="payments-1", pid=1, port=1, state="ready", started_at=0, restarts=0, cpu_s=0, memory_bytes=1)


def work(
    items: int = 14, oldest_s: float = 6.2, kind: str = "authorisation", waits_for: str = "the provider"
) -> WorkInHand:
    return WorkInHand(kind=kind, waits_for=waits_for, items=items, oldest_s=oldest_s)


def moments(*told: tuple[WorkInHand, ...]) -> list[Moment]:
    return [Moment(float(at), 1.0, 0, 0, 0, 1, 0.0, work=one) for at, one in enumerate(told)]


def judged(recent: list[Moment]) -> tuple[str, str]:
    return judge(SPEC, 1, [REPLICA], recent, 0.0, [])


def test_work_older_than_its_objective_degrades_a_service_without_requests_and_lag() -> None:
    assert judged(moments((work(),))) == ("degraded", "14 authorisations wait for the provider, the oldest 6 s")
    assert judged(moments((work(oldest_s=2.5),))) == ("ok", "")
    assert judged(moments(())) == judged([]) == ("ok", "")


def test_what_was_old_within_the_last_tellings_still_counts_and_then_no_more() -> None:
    recent = moments((work(3),), *[()] * 19)
    assert judged(recent)[1] == "3 authorisations wait for the provider, the oldest 6 s"
    assert judged([*recent, Moment(20.0, 1.0, 0, 0, 0, 1, 0.0)]) == ("ok", "")
    assert oldest_work(moments((work(9, 1.0),), (work(2, 4.0),), (work(9, 1.0),))) == (work(2, 4.0),)


def test_the_most_frequent_kind_is_named_and_all_are_counted() -> None:
    several = (work(4, 1.0), work(6, 2.0, "capture"), work(1, 30.4, "refund"))
    assert work_in_words(several) == "6 captures wait for the provider (11 in hand in all), the oldest 30 s"
    assert work_in_words((work(1),)) == "1 authorisation waits for the provider, the oldest 6 s"


def test_who_waits_for_a_slow_service_points_at_it() -> None:
    slow = service("payments", health="degraded", because="14 authorisations wait for the provider, the oldest 6 s")
    late = service("orders", health="degraded", because="9 orders wait for payments, the oldest 7 s",
                   work=[work(9, 7.0, "order", "payments")])  # fmt: skip
    views = {view.name: view for view in with_causes([slow, late], read_stack())}
    assert views["orders"].waits_for == ["payments"]
    assert views["orders"].because == (
        "it waits for payments, which is degraded: look there first; 9 orders wait for payments, the oldest 7 s"
    )
    both = with_causes([service("storefront", health="down"), slow, late], read_stack())[2]
    assert both.waits_for == ["storefront", "payments"]
    assert both.because.startswith("it calls storefront, which is down and it waits for payments, which is degraded: ")


def test_a_page_is_read_by_service_and_kind() -> None:
    labels = 'service="payments",kind="capture",waits_for="the provider"'
    page = (
        f"# HELP shopfloor_work_items x\nshopfloor_work_items{{{labels}}} 3\n"
        'shopfloor_work_items{service="orders",kind="order",waits_for="payments"} 0\n'
        'shopfloor_work_items{service="shipping",kind="label",waits_for="customers"} 1\n'
        f"shopfloor_work_oldest_seconds{{{labels}}} 4.5\n"
        'shopfloor_work_oldest_seconds{service="orders",kind="order",waits_for="payments"} 0\n'
        'shopfloor_work_oldest_seconds{service="shipping",kind="label",waits_for="customers"} bad\n'
    )
    assert read_work(page) == {"payments": [work(3, 4.5, "capture")]}


def test_a_sample_without_work_is_read_and_one_with_work_carries_it() -> None:
    before = {"service": "payments", "group": "payments", "ready": 1, "desired": 1, "request_rate": 0.0,
              "error_rate": 0.0, "p50_ms": None, "p95_ms": None, "p99_ms": None, "lag": 0, "cpu_cores": 0.0,
              "memory_bytes": 1}  # fmt: skip
    sample = msgspec.convert(before, ServiceSample)
    assert sample.work == []
    sample = msgspec.json.decode(msgspec.json.encode({**before, "work": [work()]}), type=ServiceSample)
    assert judged([from_sample(sample, 1.0, 1.0, 0.0)])[0] == "degraded"


def test_an_age_is_read_from_an_id_that_has_a_time() -> None:
    made = uuid7(NOW)
    assert age_s(made, NOW + timedelta(seconds=6)) == pytest.approx(6.0)
    assert age_s(made, NOW - timedelta(seconds=6)) == 0.0
    assert [age_s(other, NOW) for other in (None, "", "event-1", imported_id("f", "r"))] == [0.0] * 4


def test_calls_and_steps_have_names() -> None:
    assert kind_of_call("wanted", "authorised") == "authorisation"
    assert kind_of_call("authorised", "captured") == "capture"
    assert kind_of_call("captured", "dropped") == "refund"
    assert kind_of_call("authorised", "dropped") == kind_of_call("wanted", "dropped") == "void"
    steps: tuple[State, ...] = ("placed", "reserved", "authorised", "captured", "shipped")
    assert [answers_next(step, False) for step in steps] == ["inventory", "payments", "payments", "shipping", None]
    assert [answers_next("cancelling", money) for money in (True, False)] == ["payments", "inventory"]
