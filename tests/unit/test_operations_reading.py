"""The tail's filter and summaries, and journeys in the order of cause."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.eventlog.interface import StoredRecord
from shop_stack.operations.journeys import Step, assemble, in_order_of_cause
from shop_stack.operations.model import Skipped, TailEvent
from shop_stack.operations.tail import Filter, Listener, summarise, tail_event

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def event(topic: str = "shop.orders", kind: str = "shop.order.placed.v1", summary: str = "", n: int = 0) -> TailEvent:
    return TailEvent(topic=topic, partition=0, position=n, at=NOW, type=kind, source="/orders", subject="o-1",
                     event_id=str(n), correlation="o-1", summary=summary)  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Filter(), True),
        (Filter(topic="orders"), True),
        (Filter(topic="payments"), False),
        (Filter(type="PLACED"), True),
        (Filter(type="completed"), False),
        (Filter(contains="O-1"), True),
        (Filter(contains="nothing of it"), False),
    ],
)
def test_filters_match_parts_whatever_the_case(wanted: Filter, shown: bool) -> None:
    assert wanted.wants(event()) is shown


def test_samples_are_shown_when_asked_for() -> None:
    sample = event(topic="ops.samples", kind="ops.stack.sampled.v1")
    assert not Filter().wants(sample)
    assert Filter(topic="ops.samples").wants(sample)
    assert Filter(type="sampled").wants(sample)


@given(st.text(max_size=600))
def test_a_summary_is_one_short_line_whatever_the_data(text: str) -> None:
    import json

    summary = summarise(json.dumps({"name": text, "lines": [1, 2], "more": {"a": 1}}).encode())
    assert len(summary) <= 160
    assert summary.isprintable()


def test_a_record_that_is_no_event_is_shown_as_such() -> None:
    shown = tail_event(StoredRecord("shop.orders", 1, 7, "o-9", b"\xff\x00", {}, 1000))
    assert (shown.type, shown.subject, shown.position) == ("unreadable", "o-9", 7)


async def test_a_slow_listener_loses_the_oldest_and_is_told() -> None:
    listener = Listener(Filter(), asyncio.get_running_loop())
    for start in range(0, 1500, 500):
        listener.offer([event(n=n) for n in range(start, start + 500)])
    await asyncio.sleep(0)
    marker, *rest = await listener.next(1.0)
    assert marker == Skipped(500)
    assert [e.position for e in rest if isinstance(e, TailEvent)] == list(range(500, 1500))
    assert await listener.next(0.01) == []


def step(name: str, after_s: float, cause: str | None = None, source: str = "/orders", sequence: int = 0) -> Step:
    return Step(at=NOW + timedelta(seconds=after_s), type="shop.order.advanced.v1", source=source, event_id=name,
                causation_id=cause, sequence=sequence or None, data={"state": name, "order_id": "o-1"})  # fmt: skip


def test_a_cause_stands_before_its_effect_even_when_clocks_disagree() -> None:
    steps = [step("c", 0, "b", "/payments"), step("b", 5, "a", "/inventory"), step("a", 3)]
    assert [s.event_id for s in in_order_of_cause(steps)] == ["a", "b", "c"]


def test_versions_of_an_aggregate_keep_their_order() -> None:
    steps = [step("second", 0, sequence=2), step("first", 1, sequence=1), step("third", 0.5, sequence=3)]
    assert [s.event_id for s in in_order_of_cause(steps)] == ["first", "second", "third"]


def test_a_circle_of_causes_loses_no_step() -> None:
    steps = [step("a", 0, "b"), step("b", 1, "a"), step("c", 2)]
    assert sorted(s.event_id for s in in_order_of_cause(steps)) == ["a", "b", "c"]


def test_a_journey_shows_each_event_once_and_none_is_no_journey() -> None:
    journey = assemble("o-1", [step("a", 0), step("a", 0), step("b", 2, "a")])
    assert journey is not None
    assert [(s.event_id, s.after_ms) for s in journey.steps] == [("a", 0.0), ("b", 2000.0)]
    assert journey.state == "b"
    assert assemble("o-1", []) is None
