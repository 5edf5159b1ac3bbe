"""One replica at work: problems, health, metrics, timers, calls within and between groups, a clean leave."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pytest

from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.hosting import host
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests import toy_service
from tests.contracts.toy_parts import lags, on_log, product, send, sequences
from tests.flows.shop_in_process import ReplicaProcess, Shop, replica_process, running_shop, wait_until

pytestmark = pytest.mark.embedded


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with running_shop(tmp_path, cards={"toy": [toy_service.CARD]}) as running:
        yield running


def test_a_request_answers_and_its_event_reaches_the_log(shop: Shop) -> None:
    answer = shop.post("toy", "/v1/counts/a", {"amount": 3}, subject="jane", key="k")
    assert (answer.status_code, answer.json()) == (201, {"value": 3})
    events = wait_until(lambda: shop.events("shop.inventory"), "the event on the log")
    assert [(e.source, e.subject, e.sequence, e.correlationid) for e in events] == [("/toy", "a", 1, "toy")]
    wait_until(lambda: toy_service.value_of(shop.context("toy"), "tally") >= 2, "the timer's woken turn")


@pytest.mark.parametrize(
    ("method", "path", "body", "key", "status", "word"),
    [
        ("POST", "/v1/counts/a", {"amount": "x"}, "k", 400, "Validation failed"),
        ("POST", "/v1/counts/a", {"amount": 1}, None, 400, "idempotency-key"),
        ("POST", "/v1/counts/a", {"amount": 99}, "used", 422, "another body"),
        ("GET", "/v1/nowhere", None, None, 404, "Not Found"),
        ("DELETE", "/v1/counts/a", None, None, 405, "Method Not Allowed"),
        ("GET", "/v1/broken", None, None, 500, "the service failed"),
    ],
)
def test_every_error_is_a_problem(
    shop: Shop, method: str, path: str, body: object, key: str | None, status: int, word: str
) -> None:
    shop.post("toy", "/v1/counts/a", {"amount": 1}, subject="jane", key="used")
    answer = shop.request("toy", method, path, body, subject="jane", key=key)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert word in problem["detail"]
    assert "jane@example.com" not in answer.text


def test_health_metrics_and_openapi(shop: Shop) -> None:
    shop.get("toy", "/v1/counts/a")
    send(shop.log, product("bad", 1, "poison"), product("good", 2))
    stopped = wait_until(lambda: shop.get("toy", "/stopped").json(), "the stopped aggregate")
    assert [(one["consumer"], one["aggregate"], one["parked"]) for one in stopped] == [("toy", "bad", 0)]
    wait_until(lambda: toy_service.value_of(shop.context("toy"), "good") == 2, "the neighbour")
    assert shop.get("toy", "/livez").status_code == 200
    assert shop.get("toy", "/readyz").json() == {"ready": True, "troubles": {}}
    metrics = shop.get("toy", "/metrics").text
    assert 'shopfloor_requests_total{service="toy",status="200"} 1\n' in metrics
    assert 'shopfloor_stopped_aggregates{service="toy"} 1\n' in metrics
    assert 'shopfloor_events_handled_total{service="toy",type="shop.product.added.v1"} 1\n' in metrics
    sent = 'shopfloor_outbox_age_seconds{service="toy"} 0\n'
    wait_until(lambda: sent in shop.get("toy", "/metrics").text, "the dead letter's way out of the outbox")
    assert "/v1/counts/{name}" in shop.get("toy", "/schema/openapi.json").json()["paths"]


def test_a_leaving_replica_is_not_ready(shop: Shop) -> None:
    shop.groups["toy"].group.leaving = True
    answer = shop.get("toy", "/readyz")
    assert (answer.status_code, answer.json()["troubles"]) == (503, {"toy": "leaving"})


def serve_toy(settings: Settings, channel: Connection) -> None:
    """A replica of the toy as a process."""
    listener = host.bind()
    channel.send(("port", listener.getsockname()[1]))
    host.serve([toy_service.CARD], settings, read_stack(), "toy-1", channel, listener)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=Home(tmp_path))


def add(replica: ReplicaProcess, name: str, key: str) -> int:
    """A creating request; its status, 0 when the connection failed."""
    headers = {"x-subject": "jane", "idempotency-key": key}
    try:
        return replica.client.post(f"/v1/counts/{name}", json={"amount": 1}, headers=headers).status_code
    except httpx.TransportError:
        return 0


def test_a_replica_leaves_cleanly(home: Settings) -> None:
    with replica_process(serve_toy, home) as replica:
        replica.wait_ready()
        statuses: list[int] = []
        begun = threading.Event()

        def keep_asking() -> None:
            for number in range(2000):
                status = add(replica, "a", f"k{number}")
                statuses.append(status)
                if len(statuses) == 20:
                    begun.set()
                if status == 0:
                    return

        asking = threading.Thread(target=keep_asking)
        asking.start()
        assert begun.wait(20)
        assert replica.process.pid is not None
        os.kill(replica.process.pid, signal.SIGTERM)
        asking.join()
        replica.process.join(20)
        assert replica.process.exitcode == 0
        assert replica.channel.recv() == ("ready", False)
    assert set(statuses[:-1]) == {201}
    with EmbeddedLog(home.home.log) as log:
        done = len(sequences(log)["a"])
        assert done - statuses.count(201) in (0, 1), "at most the request that was refused a connection"
        assert len(on_log(log)) == done, "the outbox was flushed and marked: nothing is sent again"
        assert not lags(log)


def test_a_replica_goes_when_its_supervisor_is_gone(home: Settings) -> None:
    with replica_process(serve_followed, home) as replica:
        replica.wait_ready()
        replica.channel.close()
        replica.process.join(20)
        assert replica.process.exitcode == 0


def serve_followed(settings: Settings, channel: Connection) -> None:
    """A replica of the toy that follows its supervisor's channel, as run_group has it."""
    host.lifeline.follow(channel.fileno())
    serve_toy(settings, channel)


def test_an_effect_whose_commit_a_kill_prevented_comes_once(home: Settings) -> None:
    home.home.path.joinpath("deadly").touch()
    with EmbeddedLog(home.home.log) as log:
        with replica_process(serve_toy, home) as replica:
            replica.wait_ready()
            send(log, product("a", 1), product("b", 7, "deadly"), product("a", 2))
            replica.process.join(20)
            assert replica.process.exitcode == -signal.SIGKILL
        with replica_process(serve_toy, home) as replica:
            replica.wait_ready()
            wait_until(lambda: value(replica, "b") == 7, "the effect that the kill prevented")
            wait_until(lambda: value(replica, "a") == 3, "the other events")


def value(replica: ReplicaProcess, name: str) -> int:
    """A count of the toy."""
    return int(replica.client.get(f"/v1/counts/{name}").json()["value"])


def test_kill_under_load_loses_and_doubles_nothing(home: Settings) -> None:
    keys = [f"k{number}" for number in range(150)]
    open_keys = list(keys)
    for last in (False, False, True):
        with replica_process(serve_toy, home) as replica:
            replica.wait_ready()
            goal = 0 if last else len(open_keys) - 50
            threads = [threading.Thread(target=ask_until, args=(replica, open_keys, goal, n)) for n in range(4)]
            for thread in threads:
                thread.start()
            if not last:
                wait_until(lambda goal=goal: len(open_keys) <= goal + 10, "some answers")
                replica.process.kill()
            for thread in threads:
                thread.join()
            if last:
                assert value(replica, "a") == len(keys)
                with EmbeddedLog(home.home.log) as log:
                    wait_until(
                        lambda: sequences(log).get("a") == list(range(1, len(keys) + 1)), "every event, in order"
                    )


def ask_until(replica: ReplicaProcess, open_keys: list[str], goal: int, number: int) -> None:
    """Ask for open keys, two threads each time for the same, until so many are left or the replica is dead."""
    while len(open_keys) > goal:
        key = open_keys[-1 - number // 2 % len(open_keys)]
        status = add(replica, "a", key)
        if status == 0:
            return
        with contextlib.suppress(ValueError):
            if status == 201:
                open_keys.remove(key)
