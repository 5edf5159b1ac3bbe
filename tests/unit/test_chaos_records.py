"""Chaos: what older and newer producers write is read as the event that it was, and what nobody knows is refused."""

import random
from datetime import UTC, datetime

import msgspec
import pytest

from shop_stack.envelope import Envelope, decode, encode
from shop_stack.errors import BadEvent
from shop_stack.events import OrderCancelled
from shop_stack.trials.chaos_faults import _as_other, _of_next_version

pytestmark = pytest.mark.pure
EVENT = OrderCancelled(order_id="order-1", reason="deadline")


def value() -> bytes:
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    return encode(Envelope(id="one", source="/orders", subject="order-1", time=at, sequence=3, data=EVENT))


def test_an_event_of_another_version_is_the_same_event() -> None:
    chance = random.Random(1)
    seen = {_as_other(value(), chance) for _ in range(20)}
    assert len(seen) == 2, "an older and a newer form"
    assert any(b"added_by_a_newer_version" in form for form in seen)
    assert {decode(form).data for form in seen} == {EVENT}


def test_what_is_no_event_stays_as_it_is() -> None:
    assert _as_other(b"{no json", random.Random(1)) == b"{no json"
    assert _of_next_version(b"{no json") == b"{no json"


def test_an_event_of_the_next_version_is_known_to_nobody_and_another_event() -> None:
    written = msgspec.json.decode(_of_next_version(value()))
    assert (written["type"], written["source"]) == ("shop.order.cancelled.v2", "/elsewhere")
    assert written["id"] != "one"
    with pytest.raises(BadEvent):
        decode(_of_next_version(value()))
