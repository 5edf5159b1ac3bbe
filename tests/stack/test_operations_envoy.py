"""Operations beside the real Envoy: what it counts, and a stream of events through the gateway."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shop_stack.mesh.policy import policy_of
from shop_stack.operations import envoy_statistics as envoy
from shop_stack.settings import Home
from shop_stack.stack import read_stack
from tests import needs
from tests.operations_stand import Stand
from tests.stack.gateway_bench import Gateway, Upstream, answer_with, gateway, until

pytestmark = pytest.mark.real
PATH = envoy.statistics_path([spec.name for spec in read_stack().services])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    needs.envoy()
    with gateway(tmp_path_factory.mktemp("mesh"), policy_of(read_stack())) as bench:
        yield bench


@pytest.fixture
def pair() -> Iterator[tuple[Upstream, Upstream]]:
    one, two = Upstream("one").start(), Upstream("two").start()
    yield one, two
    one.stop()
    two.stop()


def counted(running: Gateway, service: str) -> envoy.Totals:
    return envoy.parse(running.admin.get(PATH)).get(service, envoy.Totals())


def gained(running: Gateway, service: str, before: envoy.Totals, requests: int) -> envoy.Totals:
    """What was counted since, once Envoy has gathered its histograms."""

    def latest() -> envoy.Totals:
        return envoy.since(before, counted(running, service))

    until(lambda: sum(latest().latencies.values()) >= requests)
    return latest()


def _slow(handler: Any) -> bool:
    time.sleep(0.08)  # the latency that is measured
    return False


def test_requests_and_latencies_are_those_that_were_made(running: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    running.serve("orders", pair[0].port)
    before = counted(running, "orders")
    for number in range(40):
        pair[0].behave = _slow if number >= 30 else None
        assert running.mesh("orders", "/v1/orders/1").status_code == 200
    found = gained(running, "orders", before, 40)
    assert (found.completed, found.errors) == (40, 0)
    p50, p95 = envoy.quantile(found.latencies, 0.5), envoy.quantile(found.latencies, 0.95)
    assert p50 is not None
    assert p95 is not None
    assert p50 < 80 <= p95


def test_a_failed_answer_is_an_error_and_one_that_was_sent_again_is_none(
    running: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    running.serve("catalog", pair[0].port, pair[1].port)
    pair[0].behave = answer_with(503)
    before = counted(running, "catalog")
    reads = [running.mesh("catalog", "/v1/products/1").status_code for _ in range(20)]
    assert set(reads) == {200}
    found = envoy.since(before, counted(running, "catalog"))
    assert (found.completed, found.errors) == (20, 0)
    assert pair[0].seen, "a read met the failing replica and was sent again"
    running.serve("payments", pair[0].port)
    before = counted(running, "payments")
    assert {running.mesh("payments", "/v1/payments", "POST").status_code for _ in range(3)} == {503}
    found = envoy.since(before, counted(running, "payments"))
    assert (found.completed, found.errors) == (3, 3)


def test_a_service_without_replicas_counts_its_failures(running: Gateway) -> None:
    before = counted(running, "shipping")
    assert running.mesh("shipping", "/v1/shipments/1").status_code == 503
    found = envoy.since(before, counted(running, "shipping"))
    assert (found.completed, found.errors) == (1, 1)


def test_the_sampler_reads_what_came_between_two_samples(running: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    stand = Stand(running.home)
    sampler = stand.engine.sampler
    running.serve("orders", pair[0].port)
    sampler.tick(datetime.now(UTC))
    for _ in range(10):
        running.mesh("orders", "/v1/orders/1")
    sampler.tick(datetime.now(UTC))
    [moment] = sampler._history.last("orders", 1)
    assert (moment.requests, moment.errors) == (10, 0)
    assert sampler.snapshot.gateway_error is None
    assert sampler.parts()["gateway"]
    stand.engine.stop()


def test_the_stream_of_events_passes_the_gateway(tmp_path: Path) -> None:
    needs.envoy()
    stand = Stand(Home(tmp_path))
    with stand.served():
        floors = {"operations": int(stand.address.rpartition(":")[2])}
        with gateway(tmp_path, policy_of(read_stack()), floors) as bench:
            headers = {"authorization": f"Bearer {stand.token('viewer')}"}
            until(lambda: bench.client.get(bench.url("/ops/v1/whoami"), headers=headers).status_code == 200)
            shopper = {"authorization": f"Bearer {stand.shopper_token()}"}
            assert bench.client.get(bench.url("/ops/v1/whoami"), headers=shopper).status_code in (401, 403)
            url = bench.url("/ops/v1/events?topic=ops.samples")
            with bench.client.stream("GET", url, headers=headers, timeout=httpx.Timeout(15)) as answer:
                lines = answer.iter_lines()
                assert any(line.startswith("data: ") and "ops.stack.sampled.v1" in line for line in lines)
