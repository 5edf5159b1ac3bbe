"""Repair on every event log: what outboxes say was sent is there afterwards, in order, however often it is begun."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from shop_stack.errors import LogUnavailable
from shop_stack.eventlog import outbox
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog, Placed, Record
from shop_stack.eventlog.kafka import KafkaLog
from shop_stack.eventlog.loss import event_id, find_loss
from shop_stack.eventlog.postgres_rows import rows_of
from shop_stack.eventlog.records import partition_of
from shop_stack.eventlog.repair import repair
from shop_stack.eventlog.sent_rows import SentRows
from shop_stack.events import BEHAVIOUR, CATALOG, TOPICS, RecordLost
from shop_stack.hosting.store_opening import open_store
from shop_stack.moments import micros
from shop_stack.postgres import server_of
from shop_stack.settings import Home, Settings
from tests.flows.shop_in_process import records

AGGREGATES = [f"product-{number}" for number in range(5)]
VERSIONS = 30


@pytest.fixture(params=[pytest.param("embedded", marks=pytest.mark.embedded),
                        pytest.param("kafka", marks=pytest.mark.real)])  # fmt: skip
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    opened: EmbeddedLog | KafkaLog
    if request.param == "kafka":
        opened = KafkaLog(request.getfixturevalue("kafka_broker").address)
    else:
        opened = EmbeddedLog(tmp_path / "log")
    with opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def sent(request: pytest.FixtureRequest, tmp_path: Path) -> SentRows:
    """The outbox of a service that has published some versions of some aggregates, on either engine."""
    settings = Settings(home=Home(tmp_path))
    if request.param == "postgresql":
        settings = request.getfixturevalue("postgres").settings(tmp_path, ["catalog"])
    store = open_store(settings, "catalog")
    store.prepare(outbox.OUTBOX.metadata)
    with store.write() as kept:
        for version in range(1, VERSIONS + 1):
            for aggregate in AGGREGATES:
                identifier = str(uuid4())
                value = f'{{"id":"{identifier}","sequence":{version}}}'.encode()
                entry = outbox.Entry(identifier, CATALOG.name, aggregate, "x", value, version, CATALOG.name, None, 1)
                outbox.add(kept.driver, entry)
        kept.driver.execute("UPDATE outbox SET published = ?", (micros(now()),))
    store.close()
    if request.param == "postgresql":
        return rows_of(server_of(settings.stores_url, settings.store_secrets), "catalog")
    return SentRows(settings.home.store("catalog"))


def now() -> datetime:
    return datetime.now(UTC)


def append_first(log: EventLog, sent: SentRows, count: int) -> None:
    """Let the log have the first rows of the outbox only."""
    with sent._open() as store:
        rows = store.execute("SELECT key, payload FROM outbox ORDER BY ordinal LIMIT ?", (count,)).fetchall()
    log.append(CATALOG.name, [Record(key, value) for key, value in rows])


def ids_by_key(log: EventLog, sent: SentRows) -> dict[str, list[str]]:
    """The outbox's events as they lie in the log, by key, in its order."""
    ours = {row.id for row in sent.all_of(CATALOG.name)}
    found: dict[str, list[str]] = {}
    for record in records(log, CATALOG.name):
        if event_id(record) in ours:
            found.setdefault(record.key, []).append(event_id(record))
    return found


def decided(sent: SentRows) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in sent.all_of(CATALOG.name):
        found.setdefault(row.key, []).append(row.id)
    return found


@pytest.mark.parametrize("kept", [0, 77])
def test_what_is_missing_is_sent_again_in_order_and_once(log: EventLog, sent: SentRows, kept: int) -> None:
    if kept:
        append_first(log, sent, kept)
    assert find_loss(log, [sent], now()).absent
    done = repair(log, [sent], {}, now)
    assert (done.missing[CATALOG.name], done.sent) == (len(AGGREGATES) * VERSIONS - kept,) * 2
    assert ids_by_key(log, sent) == decided(sent)
    assert find_loss(log, [sent], now()).absent == 0
    again = repair(log, [sent], {}, now)
    assert (again.missing.total(), again.sent) == (0, 0)
    assert ids_by_key(log, sent) == decided(sent)


def test_positions_that_somebody_has_read_are_not_given_out_again(log: EventLog, sent: SentRows) -> None:
    partition = partition_of(AGGREGATES[0], log.partitions(CATALOG.name))
    end = log.ends(CATALOG.name)[partition]
    repair(log, [sent], {(CATALOG.name, partition): end + 3}, now)
    behind = log.read(CATALOG.name, partition, end)
    assert [RecordLost.type.encode() in record.value for record in behind[:4]] == [True] * 3 + [False]
    assert ids_by_key(log, sent) == decided(sent)


class Broken:
    """A log that stops answering after some appends."""

    def __init__(self, log: EventLog, appends: int) -> None:
        self._log = log
        self._left = appends

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def append(self, topic: str, some: list[Record]) -> list[Placed]:
        if self._left == 0:
            raise LogUnavailable("it does not answer; try again")
        self._left -= 1
        return self._log.append(topic, some)


@pytest.mark.embedded
@pytest.mark.parametrize("appends", [0, 1])
def test_a_repair_that_broke_off_is_finished_by_the_next_or_by_the_relay(
    embedded_log: EmbeddedLog, sent: SentRows, appends: int
) -> None:
    broken: EventLog = Broken(embedded_log, appends)  # type: ignore[assignment]
    claims = {(CATALOG.name, 0): 3, (CATALOG.name, 1): 2}
    ids = decided(sent)
    with pytest.raises(LogUnavailable):
        repair(broken, [sent], claims, now)
    assert len(sent.unsent(0, 1000)) == len(AGGREGATES) * VERSIONS
    repair(embedded_log, [sent], claims, now)
    assert decided(sent) == ids == ids_by_key(embedded_log, sent)


@pytest.mark.embedded
def test_rows_that_wait_to_be_sent_are_counted(sent: SentRows) -> None:
    assert sent.waiting() == 0
    some = [row.ordinal for row in sent.newest(7)]
    sent.take_back(some)
    assert sent.waiting() == 7
    sent.mark(some[:3], 1)
    assert sent.waiting() == 4


@pytest.mark.embedded
def test_what_retention_has_removed_is_not_missed(embedded_log: EmbeddedLog, sent: SentRows) -> None:
    with sent._open() as store:
        store.execute("UPDATE outbox SET topic = ?, published = 1", (BEHAVIOUR.name,))
    assert not find_loss(embedded_log, [sent], now())
    assert repair(embedded_log, [sent], {}, now).missing.total() == 0
    assert all(embedded_log.ends(topic) == embedded_log.starts(topic) for topic in TOPICS)
