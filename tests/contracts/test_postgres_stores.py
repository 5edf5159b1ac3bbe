"""Stores on a real PostgreSQL server: who may enter, one preparation, writers beside each other, errors that pass."""

import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from shop_stack.errors import Conflict, SettingError
from shop_stack.eventlog import inbox
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.events import StockReceived
from shop_stack.hosting.context import Context
from shop_stack.hosting.postgres_store import POOL
from shop_stack.hosting.provisioning import prepare_stores
from shop_stack.hosting.service import Answer, StillWorking, Transaction
from shop_stack.hosting.store import StoreAway, StoreBusy, ValueRefused, is_passing
from shop_stack.hosting.store_opening import open_store
from shop_stack.mesh.calls import HttpMesh
from shop_stack.postgres import server_of
from shop_stack.stack import read_stack
from tests import toy_service
from tests.contracts.toy_parts import receive, relay_of, sequences
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.embedded
MakeContext = Callable[[], Context]


@pytest.fixture
def make(postgres: PostgresServer, tmp_path: Path) -> MakeContext:
    """Replicas of the toy over one database."""
    settings = postgres.settings(tmp_path, ["toy"])

    def context() -> Context:
        made = Context(toy_service.CARD, settings, read_stack(), HttpMesh(lambda service: ("127.0.0.1", 9)))
        made.prepare()
        return made

    return context


def in_threads(work: Callable[[int], object], number: int) -> list[object]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(work, range(number)))


def test_a_role_enters_its_own_database_alone_and_the_auditor_only_reads(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    settings = postgres.settings(tmp_path, ["orders", "payments"])
    store = open_store(settings, "orders")
    store.prepare(toy_service.CARD.store)
    server = server_of(postgres.url, postgres.secrets)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        server.connect("orders", who="payments")
    with server.connect("orders", who="auditor") as auditor:
        assert auditor.execute("SELECT count(*) FROM counts").fetchone() == (0,), "a table made after the grant"
        for change in ("INSERT INTO counts VALUES ('a', 1)", "DELETE FROM counts", "CREATE TABLE mine (a int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                auditor.execute(change.encode())
    store.close()


def test_making_stores_again_changes_nothing_and_passwords_are_private(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.settings(tmp_path, ["orders"])
    before = {path.name: path.read_text() for path in postgres.secrets.iterdir()}
    in_threads(lambda _: prepare_stores(postgres.admin_url, postgres.secrets, ["orders"]), 3)
    assert {path.name: path.read_text() for path in postgres.secrets.iterdir()} == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in postgres.secrets.iterdir()} == {0o600}


def test_an_address_with_a_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        server_of("postgresql://me:hunter2@127.0.0.1:5432", tmp_path)
    assert "hunter2" not in str(caught.value)


def test_replicas_that_start_at_once_prepare_a_store_once(make: MakeContext) -> None:
    contexts = in_threads(lambda _: make(), 4)
    for context in contexts:
        assert isinstance(context, Context)
        assert context.store.current()
        context.store.close()


def test_writers_beside_each_other_keep_every_order(make: MakeContext, embedded_log: EmbeddedLog) -> None:
    contexts = [make(), make()]
    relays = [relay_of(context, embedded_log, f"toy-{number}") for number, context in enumerate(contexts)]
    for relay in relays:
        relay.start()

    def work(number: int) -> None:
        for turn in range(40):
            receive(contexts[number % 2], f"shared-{turn % 5}")

    in_threads(work, 4)
    for relay in relays:
        relay.stop()
    assert sequences(embedded_log) == {f"shared-{number}": list(range(1, 33)) for number in range(5)}


def test_an_event_has_its_effect_once_whoever_handles_it(make: MakeContext) -> None:
    contexts = [make(), make()]

    def enter(number: int) -> int:
        won = 0
        for event in range(50):
            with contexts[number % 2].write() as transaction:
                won += inbox.enter(transaction.driver, "toy", f"e-{event}", 1)
        return won

    assert sum(map(int, in_threads(enter, 4))) == 50  # type: ignore[call-overload]


def test_a_request_and_its_twin_are_done_once(make: MakeContext) -> None:
    contexts, done = [make(), make()], []

    def work(transaction: Transaction) -> Answer:
        done.append(1)
        toy_service.add(transaction, "once", 1)
        return Answer(201, b"1")

    answers = in_threads(lambda number: contexts[number % 2].once("key", "me", "POST", "/x", b"{}", work), 4)
    assert [answer for answer in answers if answer != Answer(201, b"1")] == []
    assert len(done) == 1


def test_a_twin_waits_two_seconds_and_is_told(make: MakeContext) -> None:
    context, other = make(), make()
    begun, leave = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> Answer:
        begun.set()
        assert leave.wait(20)
        return Answer(201, b"1")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(context.once, "key", "me", "POST", "/x", b"{}", slow)
        assert begun.wait(20)
        with pytest.raises(StillWorking):
            other.once("key", "me", "POST", "/x", b"{}", slow)
        leave.set()
        assert first.result(20) == Answer(201, b"1")


def test_a_wrong_sequence_and_a_text_with_a_nul_are_told_apart_from_what_passes(make: MakeContext) -> None:
    context = make()
    event = StockReceived(product_id="a", quantity=1)
    with pytest.raises(Conflict, match="the next of its aggregate is 1"), context.write() as transaction:
        transaction.publish(event, subject="a", sequence=2)
    with pytest.raises(ValueRefused) as caught, context.write() as transaction:
        toy_service.add(transaction, "a\0b", 1)
    assert not is_passing(caught.value)


def test_a_service_has_few_connections_and_waits_for_one(make: MakeContext, postgres: PostgresServer) -> None:
    context = make()
    inside, leave = threading.Barrier(POOL + 1), threading.Event()

    def hold(_: int) -> None:
        with context.read() as connection:
            connection.exec_driver_sql("SELECT 1")
            inside.wait(20)
            assert leave.wait(20)

    with ThreadPoolExecutor(POOL) as pool:
        held = [pool.submit(hold, number) for number in range(POOL)]
        inside.wait(20)
        with psycopg.connect(postgres.admin_url) as admin:
            counted = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_toy'").fetchone()
        with pytest.raises(StoreBusy), context.read():
            pass
        leave.set()
        for one in held:
            one.result(20)
    assert counted == (POOL,)


def end_connections(admin: "psycopg.Connection[tuple[object, ...]]") -> None:
    """End the toy's connections as an administrator would, and wait until the server has let go of them."""
    until = time.monotonic() + 10
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop_toy'"
    while admin.execute(end).fetchall():
        assert time.monotonic() < until, "the connections do not end"
        time.sleep(0.02)


def test_connections_that_the_server_ended_are_replaced_unseen(make: MakeContext, postgres: PostgresServer) -> None:
    context = make()
    receive(context, "a")
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        end_connections(admin)
        receive(context, "a")

        def write_while_it_ends() -> None:
            with context.write() as transaction:
                end_connections(admin)
                toy_service.add(transaction, "a", 1)

        with pytest.raises(StoreAway):
            write_while_it_ends()
    receive(context, "a")
    assert toy_service.value_of(context, "a") == 3
