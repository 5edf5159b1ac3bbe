"""What operations reads of Envoy and replicas, keeps as history, and says as health and advice."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import unquote

import pytest
from msgspec import structs

from shop_stack.events import ForecastMade, Point
from shop_stack.operations import envoy_statistics as envoy
from shop_stack.operations.advice import SETTLED_S, Advice, Demand, Peak, forecast_peak, recommend, waits
from shop_stack.operations.health import judge
from shop_stack.operations.history import History, Moment, effect, is_whole, latency
from shop_stack.operations.incidents import CrashLoops
from shop_stack.operations.replica_reports import read_gauge
from shop_stack.operations.sampling import cpu_cores
from shop_stack.runtime.interface import Group, Observation, Replica, State
from shop_stack.stack import ServiceSpec

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SPEC = ServiceSpec(name="orders", purpose="", p95_ms=100, error_rate=0.01, replica_capacity=60)


def page(completed: int, errors: int, buckets: dict[float, int]) -> bytes:
    totals = [{"lower_bound": low, "width": 1.0, "count": count} for low, count in buckets.items()]
    stats: list[object] = [{"name": "cluster.orders.upstream_rq_completed", "value": completed}]
    stats += [{"name": "cluster.orders.upstream_rq_5xx", "value": errors}] if errors else []
    details = [{"name": "cluster.orders.upstream_rq_time", "totals": totals, "intervals": []}]
    stats.append({"histograms": {"supported_percentiles": [50], "details": details}})
    return json.dumps({"stats": stats}).encode()


def replica(state: State = "ready", restarts: int = 0, note: str = "", cpu_s: float = 0.0) -> Replica:
    return Replica(name="orders-1", pid=1, port=1, state=state, started_at=0, restarts=restarts, cpu_s=cpu_s,
                   memory_bytes=1, note=note)  # fmt: skip


def moments(number: int = 30, requests: float = 10, errors: float = 0, ms: float = 20, lag: int = 0) -> list[Moment]:
    latencies = {(ms, ms): int(requests)} if requests else {}
    return [Moment(float(at), 1.0, requests, errors, lag, 1, 0.2, latencies=latencies) for at in range(number)]


def test_a_span_is_whole_when_its_seconds_were_sampled() -> None:
    assert is_whole(moments(120), 120)
    assert not is_whole(moments(60), 120)
    assert not is_whole([], 120)


def test_statistics_are_counted_between_two_readings() -> None:
    first, second = (envoy.parse(page(100, 2, {5: 90, 50: 10})), envoy.parse(page(160, 5, {5: 120, 50: 40})))
    gained = envoy.since(first["orders"], second["orders"])
    assert (gained.completed, gained.errors, gained.limited) == (60, 3, 0)
    assert gained.latencies == {(5.0, 6.0): 30, (50.0, 51.0): 30}
    assert envoy.quantile(gained.latencies, 0.5) == pytest.approx(6.0)
    assert envoy.quantile(gained.latencies, 0.95) == pytest.approx(50.9)


def test_a_gateway_that_started_anew_counts_from_zero() -> None:
    later = envoy.parse(page(7, 0, {5: 7}))["orders"]
    assert envoy.since(envoy.parse(page(100, 2, {5: 100}))["orders"], later) == later


def test_an_empty_histogram_has_no_quantile() -> None:
    assert envoy.quantile({}, 0.95) is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"stats": 3}', b"upstream connect error"])
def test_an_answer_that_is_not_statistics_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="unreadable"):
        envoy.parse(body)


def test_only_what_is_read_is_asked_for() -> None:
    path = unquote(envoy.statistics_path(["orders", "payments"]))
    assert "^cluster[.](orders|payments)[.]" in path
    assert "usedonly" in path


def test_an_effect_is_of_all_requests_not_a_mean_of_seconds() -> None:
    quiet, busy = moments(1, requests=1, ms=1000), moments(1, requests=99, ms=10)
    assert latency([*quiet, *busy], 0.95) == 10
    measured = effect([*quiet, *busy])
    assert (measured.seconds, measured.request_rate) == (2.0, 50.0)
    assert effect([]).utilisation is None


def test_a_history_forgets_and_is_filled_before_what_it_has() -> None:
    history = History()
    history.add("orders", Moment(100.0, 1.0, 1, 0, 0, 1, 0.0))
    history.fill([("orders", m) for m in moments(200)])
    ats = [m.at for m in history.last("orders", 500)]
    assert len(ats) == 180 - 79
    assert ats[-1] == 100.0
    assert all(a < b for a, b in pairwise(ats))
    assert [m.at for m in history.window("orders", 97.0, 99.0)] == [98.0, 99.0]


@pytest.mark.parametrize(
    ("desired", "replicas", "recent", "age", "stopped", "health", "words"),
    [
        (1, [replica()], moments(), 0, [], "ok", ""),
        (0, [], moments(), 0, [], "stopped", "0 replicas"),
        (1, [replica("starting")], [], 0, [], "starting", "not ready yet"),
        (1, [replica("crashed", 3, "exit 1")], [], 0, [], "down", "after 3 restarts: exit 1"),
        (3, [replica(), replica("crashed", 1, "killed")], moments(), 0, [], "degraded", "1 of 3 replicas"),
        (1, [replica()], moments(ms=180), 0, [], "degraded", "p95 is 180 ms"),
        (1, [replica()], moments(number=4, requests=1, ms=180), 0, [], "ok", ""),
        (1, [replica()], moments(errors=1), 0, [], "degraded", "10.0% of requests failed"),
        (1, [replica()], moments(), 11, [], "degraded", "11 s old"),
        (1, [replica()], moments(), 0, ["o-1"], "degraded", "o-1"),
        (1, [replica()], [m for lag in range(0, 300, 10) for m in moments(1, lag=lag)], 0, [], "degraded", "0 -> 290"),
        (1, [replica()], [m for lag in range(300, 0, -10) for m in moments(1, lag=lag)], 0, [], "ok", ""),
    ],
)
def test_health_in_words(
    desired: int,
    replicas: list[Replica],
    recent: list[Moment],
    age: float,
    stopped: list[str],
    health: str,
    words: str,
) -> None:
    judged, because = judge(SPEC, desired, replicas, recent, age, stopped)
    assert judged == health
    assert words in because
    assert bool(because) == bool(words)


def forecast(made: datetime = NOW, unit: str = "requests/minute", status: str = "ok") -> ForecastMade:
    points = [Point(NOW + timedelta(minutes=m), 60.0 * m, 0, 120.0 * m, 0, 0) for m in range(1, 90)]
    return ForecastMade(forecast_id="f", series="requests:orders", unit=unit, origin="live", made_at=made,
                        history_end=made, step_s=60, model="m", status=status, note="", backtest_mase=1.0,
                        points=points if status == "ok" else [])  # fmt: skip


def test_the_forecast_peak_is_that_of_the_coming_hour_per_second() -> None:
    peak = forecast_peak(forecast(), NOW)
    assert peak == Peak(mean=60.0, high80=120.0, at=NOW + timedelta(minutes=60))


@pytest.mark.parametrize("made", [forecast(NOW - timedelta(hours=3)), forecast(status="not_enough_history"), None])
def test_a_stale_or_missing_forecast_has_no_peak(made: ForecastMade | None) -> None:
    assert forecast_peak(made, NOW) is None


def test_advice_goes_before_the_rule_until_it_is_stale() -> None:
    demand = [Demand("orders", 50.0, None, 60.0)]
    advice = [Advice(5, "the forecast says so", NOW)]
    assert recommend(demand, advice, (1, 8), NOW) == (5, "the forecast says so")
    replicas, why = recommend(demand, advice, (1, 8), NOW + timedelta(hours=3))
    assert replicas == 2
    assert why.startswith("the rate of the last minute")


@pytest.mark.parametrize(
    ("desired", "ready", "since_change_s", "words"),
    [
        (3, 1, None, "1 of 3 replicas are ready"),
        (1, 2, 200.0, "2 of 1 replicas are ready"),
        (3, 3, 4.2, "changed 4 s ago: advice waits for 30 s of samples since then"),
        (3, 3, SETTLED_S - 0.1, "advice waits"),
        (3, 3, SETTLED_S, ""),
        (3, 3, None, ""),
    ],
)
def test_advice_waits_for_samples_from_after_a_scaling(
    desired: int, ready: int, since_change_s: float | None, words: str
) -> None:
    why = waits(desired, ready, since_change_s)
    assert words in why
    assert bool(why) == bool(words)


@pytest.mark.parametrize(
    ("ready", "at"), [([], None), ([2, 2, 2], None), ([1, 1, 2], 2.0), ([1, 2, 2, 2], 1.0), ([2, 1, 2, 2], 2.0)]
)
def test_history_knows_since_when_the_replicas_are_as_they_are(ready: list[int], at: float | None) -> None:
    history = History()
    for second, number in enumerate(ready):
        history.add("orders", Moment(float(second), 1.0, 1, 0, 0, number, 0.2))
    assert history.changed_at("orders") == at


def test_a_rate_since_a_scaling_says_over_how_long() -> None:
    demand = [Demand("orders", 50.0, None, 60.0)]
    assert recommend(demand, [], (1, 8), NOW, 31.0)[1].startswith("the rate of the last 31 s is")


def test_the_rule_takes_the_peak_and_stays_in_bounds() -> None:
    peak = Peak(mean=100.0, high80=126.0, at=NOW)
    assert recommend([Demand("orders", 10.0, peak, 60.0)], [], (1, 8), NOW)[0] == 3
    replicas, why = recommend([Demand("orders", 900.0, None, 60.0)], [], (1, 8), NOW)
    assert replicas == 8
    assert "out of bounds" in why
    assert recommend([], [], (1, 8), NOW) == (None, "")


def test_a_gauge_is_read_by_service() -> None:
    text = '# HELP a b\na{service="orders"} 1.5\na{service="orders"} 0.5\na{service="x"} bad\nab{service="y"} 9\n'
    assert read_gauge(text, "a") == {"orders": 1.5}


def observation(at: float, cpu_s: float = 0.0, restarts: int = 0) -> Observation:
    group = Group(name="orders", services=["orders"], desired=1, replicas=[replica(cpu_s=cpu_s, restarts=restarts)])
    return Observation(at=at, ready=True, groups=[group], parts=[])


def test_cpu_is_the_difference_over_the_time() -> None:
    (process,) = (one.process for one in observation(10).groups[0].replicas)
    assert cpu_cores(observation(10, 5.0), observation(12, 6.0), {}) == {process: 0.5}
    assert cpu_cores(observation(10, 5.0), observation(10, 5.0), {process: 0.25}) == {process: 0.25}
    assert cpu_cores(None, observation(10, 5.0), {}) == {}


def containers(at: float, read_at: float, *cpu_s: float) -> Observation:
    """Replicas of which no process id is known, read at a time of their own."""
    names = ("orders-1", "orders-2")
    replicas = [structs.replace(replica(cpu_s=used), name=name, pid=0, cpu_at=read_at)
                for name, used in zip(names, cpu_s, strict=True)]  # fmt: skip
    group = Group(name="orders", services=["orders"], desired=2, replicas=replicas)
    return Observation(at=at, ready=True, groups=[group], parts=[])


def test_each_container_has_its_own_cpu_and_keeps_it_until_it_is_read_again() -> None:
    first, again = containers(10, 9, 5.0, 7.0), containers(12, 9, 5.0, 7.0)
    later = containers(15, 14, 5.5, 9.5)
    busy = cpu_cores(again, later, cpu_cores(first, again, {}))
    assert sorted(busy.values()) == [0.1, 0.5]
    assert cpu_cores(later, containers(16, 14, 5.5, 9.5), busy) == busy


def test_three_restarts_within_a_minute_are_a_loop_that_ends() -> None:
    loops = CrashLoops()
    assert loops.troubles(observation(0, restarts=4)) == []
    assert loops.troubles(observation(10, restarts=6)) == []
    assert [t.kind for t in loops.troubles(observation(20, restarts=7))] == ["crash_loop"]
    assert [t.kind for t in loops.troubles(observation(60, restarts=7))] == ["crash_loop"]
    assert loops.troubles(observation(90, restarts=7)) == []
