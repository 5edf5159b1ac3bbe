"""The payment provider's stand-in: one key one effect, seeded moods, and books that survive its death."""

import http.client
import multiprocessing
import os
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.listening import claim_any
from shop_stack.provider.app import run_provider
from shop_stack.provider.behaviour import (
    Behaviour,
    BehaviourChange,
    answer_after_s,
    callbacks_of,
    changed,
    decline_reason,
)
from shop_stack.provider.callbacks import rest_s
from shop_stack.provider.ledger import KeyMisused, Ledger
from shop_stack.services.payments import provider as calls
from shop_stack.services.payments.rules import Approved, Refused, TakenAlready, Unclear
from shop_stack.settings import LOOPBACK, Home, Settings
from tests.flows.shop_at_work import free_port
from tests.flows.shop_in_process import wait_until

pytestmark = pytest.mark.embedded

SPAWN = multiprocessing.get_context("spawn")


class Running:
    """A provider in a process of its own."""

    def __init__(self, folder: Path, port: int, mesh: int | None = None) -> None:
        self.port = port
        self.channel, theirs = SPAWN.Pipe()
        ports = {"provider": port} if mesh is None else {"provider": port, "mesh": mesh}
        settings = Settings(home=Home(folder), ports=ports)
        self.process = SPAWN.Process(target=run_provider, args=(settings, theirs), daemon=True)
        self.process.start()
        theirs.close()
        assert self.channel.poll(20), "the provider did not start"
        assert self.channel.recv() == ("ready", True)
        self.behave(decline_rate=0.0, slow_rate=0.0)

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"idempotency-key": key} if key else {}
            connection.request(method, path, msgspec.json.encode(body), headers)
            response = connection.getresponse()
            return response.status, msgspec.json.decode(response.read())
        finally:
            connection.close()

    def step(self, step: str, order_id: str, amount_minor: int = 100) -> tuple[int, Any]:
        wanted = {"order_id": order_id, "amount_minor": amount_minor}
        return self.ask("POST", f"/{step}", wanted, f"{order_id}/{step}")

    def behave(self, **change: float) -> None:
        assert self.ask("POST", "/behaviour", change)[0] == 200

    def account(self, order_id: str) -> dict[str, Any]:
        accounts = self.ask("GET", f"/ledger?order_id={order_id}")[1]["accounts"]
        return dict(accounts[0]) if accounts else {}

    def stop(self) -> None:
        self.channel.close()
        self.process.join(10)
        assert not self.process.is_alive(), "the provider outlived its supervisor's channel"


@contextmanager
def running(folder: Path, mesh: int | None = None) -> Iterator[Running]:
    with closing(claim_any("127.0.0.1")) as held:  # so that no other test's provider listens there too
        provider = Running(folder, held.getsockname()[1], mesh)
        try:
            yield provider
        finally:
            provider.process.kill()
            provider.process.join(10)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("provider")) as started:
        yield started


def test_money_is_held_taken_and_given_back(provider: Running) -> None:
    assert provider.step("authorise", "a")[0] == 200
    assert provider.step("capture", "a")[0] == 200
    assert provider.account("a")["captured_minor"] == 100
    assert provider.step("void", "a") == (409, {"status": "captured"})
    assert provider.step("refund", "a")[0] == 200
    account = provider.account("a")
    assert (account["state"], account["refunded_minor"]) == ("refunded", 100)


def test_the_same_key_acts_once_and_answers_the_same(provider: Running) -> None:
    first = provider.step("authorise", "b")
    assert provider.step("authorise", "b") == first
    other = provider.ask("POST", "/authorise", {"order_id": "b", "amount_minor": 999}, "b/authorise")
    assert other[0] == 422
    assert provider.account("b")["authorised_minor"] == 100


def test_an_authorisation_after_its_void_is_declined(provider: Running) -> None:
    assert provider.step("void", "c")[0] == 200
    assert provider.step("authorise", "c") == (402, {"status": "declined", "reason": "already_voided"})
    assert provider.account("c")["authorised_minor"] == 0


@pytest.mark.parametrize("step", ["capture", "refund"])
def test_nothing_is_taken_or_returned_without_a_hold(provider: Running, step: str) -> None:
    assert provider.step(step, f"d-{step}")[0] == 402
    assert provider.account(f"d-{step}") == {}


def test_no_more_is_taken_than_is_held(provider: Running) -> None:
    provider.step("authorise", "e", 100)
    assert provider.step("capture", "e", 101)[0] == 402


def test_a_lost_answer_has_acted_and_its_repeat_says_so(provider: Running) -> None:
    provider.behave(lost_rate=1.0)
    try:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            provider.step("authorise", "f")
        assert provider.account("f")["state"] == "authorised"
        assert provider.step("authorise", "f")[0] == 200
    finally:
        provider.behave(lost_rate=0.0)


def test_a_slow_answer_comes_late_and_its_repeat_at_once(provider: Running) -> None:
    provider.behave(slow_rate=1.0, slow_s=0.3)
    try:
        began = time.monotonic()
        provider.step("authorise", "g")
        assert time.monotonic() - began >= 0.3
        provider.behave(slow_s=60)
        assert provider.step("authorise", "g")[0] == 200
    finally:
        provider.behave(slow_rate=0.0)


@pytest.mark.parametrize("change", [{"decline_rate": 1.5}, {"slow_s": -1}, {"nonsense": 1}, []])
def test_an_impossible_behaviour_is_refused_and_changes_nothing(provider: Running, change: Any) -> None:
    before = provider.ask("GET", "/behaviour")[1]
    assert provider.ask("POST", "/behaviour", change)[0] == 422
    assert provider.ask("GET", "/behaviour")[1] == before


def test_bad_requests_are_problems(provider: Running) -> None:
    assert provider.ask("POST", "/authorise", {"order_id": "h"}, "k")[0] == 422
    assert provider.ask("POST", "/authorise", {"order_id": "h", "amount_minor": 1})[0] == 422
    assert provider.ask("GET", "/nowhere")[0] == 404


def test_the_payments_client_understands_each_answer(provider: Running) -> None:
    assert isinstance(calls.call((LOOPBACK, provider.port), "authorise", "i/authorise", "i", 100), Approved)
    assert isinstance(calls.call((LOOPBACK, provider.port), "capture", "j/capture", "j", 100), Refused)
    calls.call((LOOPBACK, provider.port), "capture", "i/capture", "i", 100)
    assert calls.call((LOOPBACK, provider.port), "void", "i/void", "i", 100) == TakenAlready()
    provider.behave(lost_rate=1.0)
    try:
        assert isinstance(calls.call((LOOPBACK, provider.port), "refund", "i/refund", "i", 100), Unclear)
    finally:
        provider.behave(lost_rate=0.0)
    assert isinstance(calls.call((LOOPBACK, provider.port), "refund", "i/refund", "i", 100), Approved)
    assert isinstance(calls.call((LOOPBACK, free_port()), "refund", "i/refund", "i", 100), Unclear)


def test_the_books_survive_a_kill_and_a_client_goes_on_with_the_next_provider(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        assert isinstance(calls.call((LOOPBACK, first.port), "authorise", "a/authorise", "a", 100), Approved)
        assert first.process.pid is not None
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.join(10)
        second = Running(tmp_path, first.port)
        assert isinstance(calls.call((LOOPBACK, first.port), "capture", "a/capture", "a", 100), Approved)
        assert second.account("a")["captured_minor"] == 100
        second.stop()


def test_sigterm_ends_it(tmp_path: Path) -> None:
    with running(tmp_path) as started:
        started.process.terminate()
        started.process.join(10)
        assert not started.process.is_alive()


def test_the_ledger_is_read_in_pages(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    for number in range(5):
        ledger.perform("authorise", f"{number}/authorise", f"order-{number}", 10, lambda _: None)
    first = ledger.accounts(most=3)
    rest = ledger.accounts(after=first[-1].order_id, most=3)
    assert [account.order_id for account in first + rest] == [f"order-{number}" for number in range(5)]
    with pytest.raises(KeyMisused):
        ledger.perform("capture", "0/authorise", "order-0", 10, lambda _: None)
    ledger.close()


def callbacks_in(folder: Path) -> list[tuple[str, int, int]]:
    """(key, copies, attempts) of what the provider has still to tell."""
    with closing(sqlite3.connect(Home(folder).provider_ledger)) as books:
        return books.execute("SELECT key, copies, attempts FROM callbacks ORDER BY key").fetchall()


def test_a_callback_that_nobody_hears_outlives_the_provider(tmp_path: Path) -> None:
    with running(tmp_path, mesh=free_port()) as first:
        first.behave(callback_rate=1.0, duplicate_rate=1.0, callback_s=0.0)
        first.step("authorise", "a")
        wait_until(lambda: [(key, copies) for key, copies, tried in callbacks_in(tmp_path) if tried]
                   == [("a/authorise", 2)], "a try")  # fmt: skip
        first.stop()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, running(tmp_path, listener.getsockname()[1]):
        told = [hear(listener) for _ in range(2)]
        wait_until(lambda: not callbacks_in(tmp_path), "the last acknowledgement")
    wanted = {"id": "a/authorise", "order_id": "a", "step": "authorise", "status": "approved"}
    assert told == [wanted, wanted]


def hear(listener: socket.socket) -> Any:
    """Take one callback and acknowledge it; its body."""
    listener.settimeout(20)
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as stream:
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = stream.read(length)
        stream.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    return msgspec.json.decode(body)


def test_nobody_is_told_unless_the_behaviour_says_so(tmp_path: Path) -> None:
    with running(tmp_path, mesh=free_port()) as quiet:
        quiet.step("authorise", "a")
        assert callbacks_in(tmp_path) == []


def test_a_callback_rests_ever_longer_up_to_a_minute() -> None:
    assert [rest_s(attempts) for attempts in (0, 1, 2, 6, 1000)] == [1, 2, 4, 60, 60]


@given(st.floats(0, 1), st.integers(0, 2**32), st.text(max_size=20))
def test_a_seed_decides_the_same_every_time_and_a_higher_rate_declines_no_fewer(
    rate: float, seed: int, order: str
) -> None:
    behaviour = Behaviour(decline_rate=rate, seed=seed)
    reason = decline_reason(behaviour, order)
    assert decline_reason(behaviour, order) == reason
    if reason is not None:
        assert decline_reason(changed(behaviour, BehaviourChange(decline_rate=1.0)), order) == reason


def test_rates_are_met_over_many_orders() -> None:
    behaviour = Behaviour(decline_rate=0.03, slow_rate=0.1, slow_s=2.0, seed=7)
    orders = [f"order-{number}" for number in range(20_000)]
    declined = sum(decline_reason(behaviour, order) is not None for order in orders) / len(orders)
    slow = sum(answer_after_s(behaviour, order) == 2.0 for order in orders) / len(orders)
    assert abs(declined - 0.03) < 0.005
    assert abs(slow - 0.1) < 0.01


def test_outcomes_are_told_and_told_twice_at_their_rates() -> None:
    behaviour = Behaviour(callback_rate=0.6, duplicate_rate=0.25, seed=7)
    times = Counter(callbacks_of(behaviour, f"order-{number}/capture") for number in range(20_000))
    assert abs(times[0] / 20_000 - 0.4) < 0.015
    assert abs(times[2] / (times[1] + times[2]) - 0.25) < 0.015
