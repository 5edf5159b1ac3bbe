"""Who waits for whom is said, and the load now raises the advice."""

from datetime import UTC, datetime

import msgspec
import pytest

from shop_stack.operations.advice import Advice, Demand, recommend
from shop_stack.operations.views import with_causes
from shop_stack.stack import read_stack
from tests.screens.fake_operations import service

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_service_names_the_unwell_ones_that_it_calls() -> None:
    slow = service("storefront", health="degraded", because="p95 is 900 ms")
    victim = service("orders", health="degraded", because="p95 is 950 ms")
    views = {v.name: v for v in with_causes([slow, victim, service("catalog")], read_stack())}
    assert views["orders"].waits_for == ["storefront"]
    assert views["orders"].because.startswith("it calls storefront, which is degraded: look there first; p95")
    assert views["storefront"].waits_for == []


def test_a_well_service_waits_for_nobody() -> None:
    views = with_causes([service("storefront", health="down"), service("orders")], read_stack())
    assert [v.waits_for for v in views] == [[], []]


def test_calls_of_the_bundled_stack_name_services() -> None:
    assert msgspec.structs.asdict(read_stack().service("orders"))["calls"] == ["storefront", "catalog"]


def test_the_load_now_raises_the_advice_above_the_forecast() -> None:
    advice = [Advice(replicas=1, because="the next hour is quiet", at=NOW)]
    busy = [Demand(service="storefront", rate=100.0, peak=None, replica_capacity=80.0)]
    assert recommend(busy, advice, (1, 8), NOW)[0] == 2
    quiet = [Demand(service="storefront", rate=20.0, peak=None, replica_capacity=80.0)]
    assert recommend(quiet, advice, (1, 8), NOW) == (1, "the next hour is quiet")
