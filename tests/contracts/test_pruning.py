"""Pruning: what may still be asked for is kept, what is too old goes in small batches, whoever prunes beside."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shop_stack.eventlog import idempotency, inbox, pruning
from shop_stack.eventlog.pruning import BATCH, INBOX_MARGIN, KEYS_KEPT, Pruning, inbox_kept
from shop_stack.events import BEHAVIOUR, ORDERS, SAMPLES
from shop_stack.events.topics import Topic
from shop_stack.hosting.context import Context
from shop_stack.hosting.service import Answer, Transaction
from shop_stack.ids import imported_id, uuid7
from shop_stack.moments import micros
from tests import toy_service
from tests.contracts.toy_parts import Clock, driver_of, toy_context
from tests.flows.shop_in_process import running_shop, wait_until

pytestmark = pytest.mark.embedded
BRIEF = Topic("brief", retention_days=2)
BRIEF_KEPT = timedelta(days=2) + INBOX_MARGIN


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(tmp_path: Path, clock: Clock) -> Iterator[Context]:
    made = toy_context(tmp_path, clock)
    yield made
    made.store.close()


def pruning_of(context: Context, *topics: Topic) -> Pruning:
    return Pruning(context.store, "toy", topics, context.now)


def ask(context: Context, key: str) -> Answer:
    """A creating request under this key; its answer tells how often it was done."""

    def work(transaction: Transaction) -> Answer:
        return Answer(201, str(toy_service.add(transaction, "asked", 1)).encode())

    return context.once(key, "jane", "POST", "/v1/counts/asked", b"{}", work)


def fill(context: Context, keys: int, rows: int, at: datetime) -> None:
    """So many keys and inbox rows of one time."""
    with context.write() as transaction:
        for number in range(keys):
            scope = ("jane", "POST", "/v1/counts/a", f"{number}-{at}")
            idempotency.keep(transaction.driver, scope, b"{}", 201, b"1", micros(at))
        for _ in range(rows):
            assert inbox.enter(transaction.driver, "toy", uuid7(at), micros(at))


def left(context: Context) -> tuple[int, int]:
    """How many keys and inbox rows there are."""
    driver = driver_of(context)
    keys = driver.execute("SELECT count(*) FROM idempotency_keys").fetchone()[0]
    return keys, driver.execute("SELECT count(*) FROM inbox").fetchone()[0]


def run_out(prune: Callable[[], bool]) -> int:
    """Prune until there is no more; the number of turns."""
    turns = 1
    while prune():
        turns += 1
    return turns


def test_a_key_answers_for_a_day_and_is_forgotten_after(context: Context, clock: Clock) -> None:
    prune = pruning_of(context).run
    assert ask(context, "first").body == b"1"
    clock.forward(KEYS_KEPT.total_seconds())
    assert ask(context, "second").body == b"2"
    run_out(prune)
    assert ask(context, "first").body == b"1"
    clock.forward(1)
    run_out(prune)
    assert left(context)[0] == 1
    assert ask(context, "second").body == b"2"
    assert ask(context, "first").body == b"3"


def test_inbox_rows_outlive_the_events_that_the_log_may_deliver_again(context: Context, clock: Clock) -> None:
    prune = pruning_of(context, BRIEF).run
    fill(context, keys=0, rows=3, at=clock())
    clock.forward(BRIEF_KEPT.total_seconds())
    fill(context, keys=0, rows=2, at=clock())
    run_out(prune)
    assert left(context) == (0, 5)
    clock.forward(1)
    run_out(prune)
    assert left(context) == (0, 2)


def test_an_old_event_that_was_handled_late_is_kept_from_then_on(context: Context, clock: Clock) -> None:
    made = uuid7(clock())
    clock.forward(BRIEF_KEPT.total_seconds())
    with context.write() as transaction:
        inbox.enter(transaction.driver, "toy", made, micros(clock()))
    clock.forward(60)
    run_out(pruning_of(context, BRIEF).run)
    assert left(context) == (0, 1)


@pytest.mark.parametrize("topics", [(), (ORDERS,), (BRIEF, ORDERS)])
def test_rows_of_topics_that_are_kept_for_ever_are_kept(
    context: Context, clock: Clock, topics: tuple[Topic, ...]
) -> None:
    fill(context, keys=0, rows=3, at=clock())
    clock.forward(timedelta(days=4000).total_seconds())
    run_out(pruning_of(context, *topics).run)
    assert left(context) == (0, 3)


def test_rows_of_other_consumers_and_of_derived_ids_are_kept(context: Context, clock: Clock) -> None:
    with context.write() as transaction:
        inbox.enter(transaction.driver, "other", uuid7(clock()), micros(clock()))
        inbox.enter(transaction.driver, "toy", "f" + imported_id("file", "row")[1:], micros(clock()))
    clock.forward(timedelta(days=40).total_seconds())
    run_out(pruning_of(context, BRIEF).run)
    assert left(context) == (0, 2)


def test_the_longest_retention_and_a_margin_decide() -> None:
    assert inbox_kept([BEHAVIOUR, SAMPLES]) == timedelta(days=30) + INBOX_MARGIN
    assert inbox_kept([BEHAVIOUR, ORDERS]) is None


def test_a_turn_is_one_small_batch(context: Context, clock: Clock) -> None:
    fill(context, keys=2 * BATCH + 1, rows=BATCH + 1, at=clock())
    clock.forward(timedelta(days=4).total_seconds())
    fill(context, keys=1, rows=1, at=clock())
    prune = pruning_of(context, BRIEF).run
    assert prune()
    assert left(context) == (BATCH + 2, 2)
    assert run_out(prune) == 2
    assert left(context) == (1, 1)


def test_an_idle_turn_takes_no_lock_of_sqlite(context: Context, clock: Clock) -> None:
    fill(context, keys=1, rows=1, at=clock())
    prune = pruning_of(context, BRIEF).run
    changes = context.store.kept().driver.total_changes
    with context.store.write():
        assert not prune()
    assert context.store.kept().driver.total_changes == changes


def test_two_replicas_at_once_delete_no_more_than_one(context: Context, clock: Clock, tmp_path: Path) -> None:
    fill(context, keys=3 * BATCH, rows=3 * BATCH, at=clock())
    clock.forward(timedelta(days=4).total_seconds())
    fill(context, keys=7, rows=7, at=clock())
    replicas = [context, toy_context(tmp_path, clock)]
    together = threading.Barrier(2)

    def prune(replica: Context) -> None:
        together.wait()
        run_out(pruning_of(replica, BRIEF).run)

    threads = [threading.Thread(target=prune, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replicas[1].store.close()
    assert left(context) == (7, 7)


def test_the_search_for_old_rows_uses_an_index_of_sqlite(context: Context) -> None:
    driver = context.store.kept().driver
    for query, values in ((pruning._OLD_KEYS, (1,)), (pruning._ANY_OLD_ROW, ("toy", "0", 1))):
        plan = " ".join(str(row[3]) for row in driver.execute(f"EXPLAIN QUERY PLAN {query}", values))
        assert "SEARCH" in plan
        assert "SCAN" not in plan


def test_every_service_at_work_prunes_its_store(tmp_path: Path) -> None:
    clock = Clock(datetime.now(UTC) - timedelta(days=2))
    before = toy_context(tmp_path, clock)
    fill(before, keys=BATCH + 1, rows=0, at=clock())
    before.store.close()
    with running_shop(tmp_path, cards={"toy": [toy_service.CARD]}) as shop:
        wait_until(lambda: left(shop.context("toy"))[0] == 0, "the old keys to go")
