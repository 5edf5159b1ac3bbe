"""A shop whose log lost its tail: found at the start, sent again from the outboxes, nothing lost or doubled.

The stores are files of the home, or lie on a PostgreSQL server, which a power cut of the log's disk leaves alone.
"""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analytics.checks import all_checks
from analytics.ingest import Ingest
from analytics.warehouse import Warehouse
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.eventlog.loss import event_id, find_loss
from shop_stack.events import ORDERS, SAMPLES, TOPICS, RecordLost
from shop_stack.runtime.repairing import outboxes_of, repair_at_start
from shop_stack.settings import Home, Settings
from tests import needs
from tests.flows.shop_at_work import Shop, gaps, until
from tests.flows.shop_in_process import records
from tests.postgres_server import PostgresServer, running_postgres
from tests.store_hands import hands_on

pytestmark = pytest.mark.embedded
SMALLEST_BYTES = 30_000


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_postgres(needs.postgres()) as running:
        yield running


@contextmanager
def shop_at(
    folder: Path, absent: tuple[str, ...] = (), postgres: PostgresServer | None = None, *, again: bool = False
) -> Iterator[Shop]:
    shop = Shop(folder, "microservices", absent, postgres=postgres, again=again)
    try:
        yield shop
    finally:
        shop.close()


def copy(folder: Path, to: Path) -> Path:
    """What a power cut would leave; by another process, since closing a copied file drops SQLite's locks."""
    subprocess.run(["cp", "-r", str(folder), str(to)], check=True)
    return to


def quiet(shop: Shop) -> bool:
    """Whether everything is sent, marked, read and committed."""
    lag = sum(sum(shop.log.lag(group).values()) for group in shop.log.groups())
    return lag == 0 and all_sent(shop.settings)


def all_sent(settings: Settings) -> bool:
    return sum(outbox.waiting() for outbox in outboxes_of(settings)) == 0


def outbox_ids(settings: Settings) -> set[str]:
    """The id of every event that a service has ever decided to publish."""
    hands = hands_on(settings)
    services = [outbox.name for outbox in outboxes_of(settings)]
    return {str(row[0]) for service in services for row in hands.look(service, "SELECT id FROM outbox")}


def log_ids(log: EmbeddedLog) -> Counter[str]:
    return Counter(event_id(record) for topic in TOPICS for record in records(log, topic))


def ingest(settings: Settings) -> None:
    """Let analytics read all there is, and hold what it keeps against the log, record by record."""
    home = settings.home
    with EmbeddedLog(home.log) as log, closing(Warehouse(home.warehouse)) as warehouse:
        reading = Ingest(log, warehouse)
        while reading.watermark.halted is None and reading.step():
            pass
        reading.roll_up()
        assert reading.watermark.halted is None
        kept = warehouse.ask("select topic, partition, position, id from raw_events", {}).rows
        by_place = {(topic, partition, position): identifier for topic, partition, position, identifier in kept}
        for record in (record for topic in TOPICS for record in records(log, topic)):
            place = (record.topic, record.partition, record.position)
            assert by_place[place] == event_id(record) or b"record-lost" in record.value
        assert {row[3] for row in kept} >= outbox_ids(settings)
        for check in all_checks():
            assert warehouse.ask(check.sql, check.bound(datetime.now(UTC))).rows == [], check.name


def tear_topics(home: Home, older: Path) -> None:
    """The last frames of every topic's write-ahead log are gone."""
    torn = 0
    for wal in (home.log / "topics").glob("shop.*.db-wal"):
        size = wal.stat().st_size
        if size > SMALLEST_BYTES:
            with wal.open("r+b") as file:
                file.truncate(size * 2 // 3)
            torn += 1
    assert torn >= 3


def older_topics(home: Home, older: Path) -> None:
    """An older copy of the topics' files was put back; groups and notes stayed."""
    for path in (home.log / "topics").iterdir():
        if not path.name.endswith(".ends"):
            path.unlink()
    for path in (older / "topics").iterdir():
        if not path.name.endswith(".ends"):
            shutil.copy(path, home.log / "topics" / path.name)


def older_folder(home: Home, older: Path) -> None:
    """An older copy of the whole log was put back, with the groups' positions of then."""
    shutil.rmtree(home.log)
    shutil.copytree(older, home.log, ignore=shutil.ignore_patterns("wake"))


Wound = Callable[[Home, Path], None]


def said_by_repair(settings: Settings) -> list[str]:
    said: list[str] = []
    assert repair_at_start(settings, said.append) is not None
    return said


@pytest.mark.parametrize("wound", [tear_topics, older_topics, older_folder])
def test_a_lost_tail_is_sent_again_and_nothing_is_doubled(tmp_path: Path, wound: Wound) -> None:
    lose_a_tail(tmp_path, wound)


def test_a_lost_tail_is_sent_again_from_stores_on_postgresql(tmp_path: Path, server: PostgresServer) -> None:
    lose_a_tail(tmp_path, tear_topics, server)


def lose_a_tail(tmp_path: Path, wound: Wound, server: PostgresServer | None = None) -> None:
    """Orders, the log's tail lost, the repair, and orders again: each effect once, nothing missing."""
    home = Home(tmp_path / "wounded")
    with shop_at(tmp_path / "home", postgres=server) as shop:
        shop.add_products({"tea": 100})
        first = [shop.order({"tea": 2}) for _ in range(4)]
        for order in first:
            shop.until_state(order, "completed")
        until(lambda: quiet(shop), what="quiet")
        older = copy(shop.settings.home.log, tmp_path / "older")
        placed = [*first, *(shop.order({"tea": 1}) for _ in range(6))]
        for order in placed:
            shop.until_state(order, "completed")
        until(lambda: quiet(shop), what="quiet")
        levels, accounts = shop.levels(["tea"]), shop.accounts()
        ingest(shop.settings)
        copy(shop.settings.home.path, home.path)
        settings = replace(shop.settings, home=home)
    wound(home, older)
    with EmbeddedLog(home.log) as log:
        before = log_ids(log)
        missing = outbox_ids(settings) - before.keys()
        assert len(missing) > 10
        assert find_loss(log, outboxes_of(settings), datetime.now(UTC))
    said = said_by_repair(settings)
    assert any("sent again" in words for words in said), said
    with EmbeddedLog(home.log) as log:
        after = log_ids(log)
        assert outbox_ids(settings) <= after.keys()
        assert {identifier for identifier in outbox_ids(settings) if after[identifier] != 1} == set()
        assert all(after[identifier] == before[identifier] for identifier in before)
    ingest(settings)
    with shop_at(home.path, postgres=server, again=True) as shop:
        until(lambda: quiet(shop), what="quiet")
        assert shop.levels(["tea"]) == levels
        assert {order: account["captured_minor"] for order, account in shop.accounts().items()} == {
            order: account["captured_minor"] for order, account in accounts.items()
        }
        assert {shop.show(order)["state"] for order in placed} == {"completed"}
        assert gaps(shop.events()) == []
        shop.until_state(shop.order({"tea": 1}), "completed")
        until(lambda: quiet(shop), what="quiet")
        ingest(settings)
    assert repair_at_start(settings, said.append) is None


def test_what_nobody_had_read_yet_still_takes_effect(tmp_path: Path) -> None:
    home = Home(tmp_path / "wounded")
    with shop_at(tmp_path / "home", absent=("shipping",)) as shop:
        shop.add_products({"tea": 100})
        orders = [shop.order({"tea": 1}) for _ in range(5)]
        for order in orders:
            shop.until_state(order, "captured")
        until(lambda: all_sent(shop.settings), what="all sent")
        copy(shop.settings.home.path, home.path)
    tear_topics(home, home.path)
    said_by_repair(Settings(home=home))
    with shop_at(home.path) as shop:
        for order in orders:
            shop.until_state(order, "completed")
        assert shop.levels(["tea"])["tea"] == {"available": 95, "reserved": 0, "sold": 5}
        assert gaps(shop.events()) == []


def test_records_that_no_outbox_keeps_are_said_and_their_positions_taken(tmp_path: Path) -> None:
    home = Home(tmp_path)
    sample = [Record("stack", b'{"id":"1","source":"/x","type":"x","time":"2026-11-22T12:00:00Z","data":{}}')]
    with EmbeddedLog(home.log) as log:
        log.append(SAMPLES.name, sample * 3)
        older = copy(home.log / "topics", tmp_path / "older")
        log.append(SAMPLES.name, sample * 4)
    for path in (home.log / "topics").glob("ops.samples.db*"):
        if path.suffix != ".ends":
            path.unlink()
    for path in older.glob("ops.samples.db*"):
        if path.suffix != ".ends":
            shutil.copy(path, home.log / "topics")
    assert said_by_repair(Settings(home=home))[-1] == (
        "the log has lost 4 records of ops.samples: no outbox keeps any event that is missing from it"
    )
    with EmbeddedLog(home.log) as log:
        assert log.ends(SAMPLES.name) == [7]
        markers = [RecordLost.type.encode() in record.value for record in records(log, SAMPLES.name)]
        assert markers == [False] * 3 + [True] * 4
    assert repair_at_start(Settings(home=home), print) is None


def test_a_log_that_is_gone_is_rebuilt_and_analytics_begins_anew(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with shop_at(home.path) as shop:
        shop.add_products({"tea": 5})
        shop.until_state(shop.order({"tea": 1}), "completed")
        until(lambda: quiet(shop), what="quiet")
        levels = shop.levels(["tea"])
        ingest(Settings(home=home))
        shop.log.append(SAMPLES.name, [Record("stack", b"no event")] * 4)
        with closing(Warehouse(home.warehouse)) as warehouse:
            assert Ingest(shop.log, warehouse).step() == 4
    shutil.rmtree(home.log)
    said = said_by_repair(Settings(home=home))
    assert "records that no outbox keeps are lost with the old log: 4 of ops.samples" in said
    (aside,) = home.path.glob("analytics-until-*")
    assert str(aside) in said[-1]
    assert not home.warehouse.exists()
    with EmbeddedLog(home.log) as log:
        assert outbox_ids(Settings(home=home)) == log_ids(log).keys()
    with shop_at(home.path) as shop:
        until(lambda: quiet(shop), what="quiet")
        assert shop.levels(["tea"]) == levels
        shop.until_state(shop.order({"tea": 1}), "completed")
        until(lambda: quiet(shop), what="quiet")
        ingest(Settings(home=home))
    assert repair_at_start(Settings(home=home), said.append) is None


def test_a_whole_or_a_new_log_is_left_alone(tmp_path: Path) -> None:
    assert repair_at_start(Settings(home=Home(tmp_path / "new")), print) is None
    assert not (tmp_path / "new").exists()
    with shop_at(tmp_path / "home") as shop:
        shop.add_products({"tea": 5})
        shop.until_state(shop.order({"tea": 1}), "completed")
        until(lambda: quiet(shop), what="quiet")
    with EmbeddedLog(tmp_path / "home" / "log") as log:
        ends = log.ends(ORDERS.name)
    assert repair_at_start(Settings(home=Home(tmp_path / "home")), print) is None
    with EmbeddedLog(tmp_path / "home" / "log") as log:
        assert log.ends(ORDERS.name) == ends
