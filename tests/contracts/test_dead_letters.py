"""Dead letters on real stores and the embedded log: told of, replayed in order and once, quarantined, discarded."""

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shop_stack.envelope import decode
from shop_stack.eventlog import inbox
from shop_stack.eventlog.dead_letters import Choice, Replayer, histogram
from shop_stack.eventlog.delivery import types_of
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.events import CATALOG, DEAD_LETTERS, RecordParked, RecordReplayed
from shop_stack.hosting.context import Context
from shop_stack.hosting.sqlite_store import SqliteStore
from shop_stack.hosting.store import SCHEMA_VERSION, is_passing
from tests import toy_service
from tests.contracts.test_delivery_inbox import counted, following, seen, stopped
from tests.contracts.toy_parts import driver_of, product, relay_of, send, taken, toy_context
from tests.flows.shop_in_process import wait_until

pytestmark = pytest.mark.embedded
ALL = Choice()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with closing(EmbeddedLog(tmp_path / "log")) as opened:
        yield opened


@pytest.fixture
def context(tmp_path: Path, log: EventLog) -> Iterator[Context]:
    made = toy_context(tmp_path)
    relay_of(made, log).start()
    yield made
    assert made.relay is not None
    made.relay.stop()
    made.store.close()


def replayer(context: Context) -> Replayer:
    """The toy's, as the host makes it."""
    _, types = types_of(toy_service.CARD.subscriptions)
    return Replayer("toy", types, context.store, context.write, is_passing)


def told(log: EventLog) -> list[RecordParked | RecordReplayed]:
    """The dead-letter events on the log, in order."""
    found = [decode(record.value).data for record in log.read(DEAD_LETTERS.name, 0, 0, 1000)]
    return [event for event in found if isinstance(event, RecordParked | RecordReplayed)]


def poisoned(context: Context, log: EventLog, tmp_path: Path) -> None:
    """`bad` stopped by its second event, with two behind it; the poison works while `cured` lies in the folder."""
    with following(context, log):
        send(log, product("bad", 1), product("bad", 2, "poison"), product("bad", 3), product("bad", 4))
        wait_until(lambda: stopped(context) and stopped(context)[0].parked == 2, "the aggregate to stop")
        wait_until(lambda: told(log), "the dead letter on the log, where the relay puts it")


def test_a_poison_record_is_told_of_with_its_origin(context: Context, log: EventLog) -> None:
    with following(context, log):
        send(log, Record("j", b"{not json", {"traceparent": "00-1-2-3"}), product("good"))
        wait_until(lambda: told(log), "the dead letter")
    (event,) = told(log)
    assert isinstance(event, RecordParked)
    assert (event.consumer, event.reason, event.attempts) == ("toy", "BadEvent", 1)
    assert (event.origin.topic, event.origin.key, event.origin.position) == (CATALOG.name, "j", 0)
    assert event.headers == {"traceparent": "00-1-2-3"}
    assert base64.b64decode(event.value or "") == b"{not json"
    assert counted(context, "good") == [1]


def test_a_handler_that_always_fails_is_tried_five_times(context: Context, log: EventLog, tmp_path: Path) -> None:
    poisoned(context, log, tmp_path)
    (event,) = told(log)
    assert isinstance(event, RecordParked)
    assert (event.attempts, event.reason) == (5, "ValueError")


def test_a_replay_handles_the_record_and_those_behind_it_in_order(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    poisoned(context, log, tmp_path)
    (tmp_path / "cured").touch()
    assert histogram(replayer(context).letters(ALL)) == {"ValueError": 1}
    round_ = replayer(context).round(ALL, 10, set())
    assert (round_.outcomes, round_.events_handled) == ({"succeeded": 1}, 3)
    assert seen(context, "bad") == ["e-bad-tea-1", "e-bad-poison-2", "e-bad-tea-3", "e-bad-tea-4"]
    assert not stopped(context)
    with following(context, log):
        send(log, product("bad", 2, "poison"), product("bad", 5))
        wait_until(lambda: counted(context, "bad") == [15], "the aggregate to flow again, the repeat without effect")
    wait_until(lambda: len(told(log)) == 2, "the outcome on the log")
    last = told(log)[-1]
    assert isinstance(last, RecordReplayed)
    assert (last.outcome, last.replays, last.origin.event_id) == ("succeeded", 1, "e-bad-poison-2")


def test_a_record_that_had_its_effect_meanwhile_gets_none_on_replay(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    poisoned(context, log, tmp_path)
    (tmp_path / "cured").touch()
    (letter,) = stopped(context)
    with context.write() as transaction:
        assert inbox.enter(transaction.driver, "toy", letter.event_id, 1)
    done = replayer(context).round(ALL, 10, set())
    assert (done.outcomes, done.events_handled) == ({"succeeded": 1}, 2)
    assert not stopped(context)
    assert counted(context, "bad") == [1 + 3 + 4]


def test_three_failed_replays_quarantine(context: Context, log: EventLog, tmp_path: Path) -> None:
    poisoned(context, log, tmp_path)
    outcomes = [replayer(context).round(ALL, 10, set()).outcomes for _ in range(4)]
    assert outcomes == [{"failed": 1}, {"failed": 1}, {"quarantined": 1}, {}]
    assert replayer(context).letters(ALL) == []
    (tmp_path / "cured").touch()
    assert replayer(context).round(Choice(quarantined=True), 10, set()).outcomes == {"succeeded": 1}
    assert counted(context, "bad") == [10]


def test_a_record_behind_that_fails_stops_the_rest_again(context: Context, log: EventLog, tmp_path: Path) -> None:
    with following(context, log):
        send(log, product("bad", 1, "poison"), product("bad", 2), product("bad", 3, "toxic"), product("bad", 4))
        wait_until(lambda: stopped(context) and stopped(context)[0].parked == 3, "the aggregate to stop")
    (tmp_path / "cured").touch()
    assert replayer(context).round(ALL, 10, set()).outcomes == {"failed": 1}
    assert counted(context, "bad") == [3]
    (one,) = stopped(context)
    assert (one.event_id, one.replays, one.parked) == ("e-bad-toxic-3", 1, 1)


def test_a_round_leaves_out_what_was_tried_and_keeps_to_its_limit(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    with following(context, log):
        send(log, *(product(f"bad-{number}", 1, "poison") for number in range(5)))
        wait_until(lambda: len(stopped(context)) == 5, "five stopped aggregates")
    first = replayer(context).round(ALL, 2, set())
    second = replayer(context).round(ALL, 10, set(first.done))
    assert (len(first.done), len(second.done)) == (2, 3)
    assert not set(first.done) & set(second.done)


def test_a_discarded_record_has_no_effect_and_those_behind_go_on(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    poisoned(context, log, tmp_path)
    assert replayer(context).round(ALL, 10, set(), discard=True).outcomes == {"discarded": 1}
    (tmp_path / "cured").touch()
    with following(context, log):
        send(log, product("bad", 2, "poison"), product("bad", 5))
        wait_until(lambda: counted(context, "bad") == [13], "the events behind, and not the discarded one")


def test_a_choice_takes_only_what_it_means(context: Context, log: EventLog) -> None:
    with following(context, log):
        send(log, product("bad", 1, "poison"), Record("j", b"{not json"))
        wait_until(lambda: len(stopped(context)) == 2, "two stopped aggregates")
    one = replayer(context)
    assert [letter.aggregate for letter in one.letters(Choice(error="POISON"))] == ["bad"]
    assert [letter.aggregate for letter in one.letters(Choice(aggregate="j"))] == ["j"]
    assert one.letters(Choice(topic="shop.orders")) == []


def test_a_full_disk_is_no_poison(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "small.db")
    store.prepare(toy_service.CARD.store)
    pages = store.kept().driver.execute("PRAGMA page_count").fetchone()[0]
    store.kept().driver.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Exception, match="full") as caught, store.write() as kept:
        kept.driver.execute("CREATE TABLE large AS SELECT randomblob(100000) AS b")
    assert is_passing(caught.value)
    store.close()


def test_a_store_of_the_first_schema_is_brought_to_this_one(tmp_path: Path, context: Context, log: EventLog) -> None:
    driver = driver_of(context)
    for column in ("headers", "attempts", "replays"):
        driver.execute(f"ALTER TABLE stopped_aggregates DROP COLUMN {column}")
    on_file = isinstance(context.store, SqliteStore)
    driver.execute("PRAGMA user_version=1" if on_file else "UPDATE schema_version SET version = 1")
    with following(context, log) as _:
        pass
    again = toy_context(tmp_path)
    asked = "PRAGMA user_version" if on_file else "SELECT version FROM schema_version"
    version = driver_of(again).execute(asked).fetchone()[0]
    assert version == SCHEMA_VERSION
    assert inbox.stopped(driver_of(again)) == []
    again.store.close()


def test_what_is_no_event_is_no_event_on_replay_either(context: Context, log: EventLog) -> None:
    with following(context, log):
        send(log, Record("j", b"{not json"), product("good"))
        wait_until(lambda: stopped(context), "the aggregate to stop")
    done = replayer(context).round(ALL, 10, set())
    assert (done.outcomes, done.events_handled) == ({"failed": 1}, 0)
    assert [(one.replays, one.error[:8]) for one in stopped(context)] == [(1, "BadEvent")]


def test_a_record_of_a_kind_that_is_no_longer_followed_is_let_go_without_effect(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    poisoned(context, log, tmp_path)
    done = Replayer("toy", [], context.store, context.write, is_passing).round(ALL, 10, set())
    assert (done.outcomes, done.events_handled) == ({"succeeded": 1}, 0)
    assert not stopped(context)
    assert counted(context, "bad") == [1]


def test_a_store_that_is_taken_makes_a_replay_wait_and_counts_for_nothing(
    context: Context, log: EventLog, tmp_path: Path
) -> None:
    poisoned(context, log, tmp_path)
    other = toy_context(tmp_path)
    hurried = Replayer("toy", types_of(toy_service.CARD.subscriptions)[1], context.store,
                       lambda: context._transaction(wait_s=0.05), is_passing)  # fmt: skip
    with taken(other):
        assert hurried.round(ALL, 10, set()).outcomes == {"not now": 1}
    other.store.close()
    assert [one.replays for one in stopped(context)] == [0]
