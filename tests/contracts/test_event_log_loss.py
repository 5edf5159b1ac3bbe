"""What every event log says when it is not the log it was: another log_id, or a tail that is gone."""

import shutil
import subprocess
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from shop_stack.errors import ForeignLog, LogUnavailable, PositionPastEnd
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record, check_log_id
from shop_stack.eventlog.loss import LostTail, lost_tails
from shop_stack.events.topics import Topic
from tests.brokers import Broker
from tests.contracts.event_log_places import Place, drain, positions_after, read_all, settle

TOPIC = {"trial": Topic("trial", partitions=1)}


def filled(folder: Path, count: int = 50) -> EmbeddedLog:
    """A log of single appends whose group `readers` has consumed and committed all of them."""
    log = EmbeddedLog(folder, TOPIC)
    for number in range(count):
        log.append("trial", [Record("k", str(number).encode().ljust(300))])
    consumer = log.subscribe("readers", ["trial"])
    drain([consumer], lambda found: len(found) == count)
    return log


def copy_of(folder: Path, to: Path) -> Path:
    """A copy as a power cut would leave it; by another process, since closing a copied file drops SQLite's locks."""
    subprocess.run(["cp", "-r", str(folder), str(to)], check=True)
    return to


@pytest.mark.pure
def test_a_stored_log_id_must_be_this_logs() -> None:
    check_log_id("a", "a", "analytics")
    with pytest.raises(ForeignLog, match="analytics belong to log a and this is log b"):
        check_log_id("a", "b", "analytics")


@pytest.mark.embedded
def test_an_embedded_log_keeps_its_id_and_a_new_one_has_another(tmp_path: Path) -> None:
    with (
        EmbeddedLog(tmp_path / "a") as first,
        EmbeddedLog(tmp_path / "a") as again,
        EmbeddedLog(tmp_path / "b") as other,
    ):
        assert first.log_id == again.log_id != other.log_id


@pytest.mark.embedded
def test_an_embedded_group_of_another_log_is_halted(tmp_path: Path) -> None:
    with filled(tmp_path / "log"), EmbeddedLog(tmp_path / "other", TOPIC):
        copied = copy_of(tmp_path / "other", tmp_path / "copy")
        copy_of(tmp_path / "log" / "groups", copied / "groups")
    with EmbeddedLog(copied, TOPIC) as log:
        consumer = log.subscribe("readers", ["trial"])
        for _ in range(2):
            with pytest.raises(ForeignLog, match=log.log_id):
                consumer.poll()
        assert not consumer.ready()


@pytest.mark.embedded
def test_an_embedded_logs_lost_tail_is_noticed(tmp_path: Path) -> None:
    with filled(tmp_path / "log"):
        copied = copy_of(tmp_path / "log", tmp_path / "copy")
    wal = copied / "topics" / "trial.db-wal"
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size - 10_000)
    with EmbeddedLog(copied, TOPIC) as log:
        kept = len(read_all(log, "trial"))
        assert 0 < kept < 50
        consumer = log.subscribe("readers", ["trial"])
        with pytest.raises(PositionPastEnd, match=f"position 50 lies past the end {kept}"):
            consumer.poll()
        with pytest.raises(PositionPastEnd):
            log.read("trial", 0, 50)
        assert log.lag("readers") == {("trial", 0): 0}
        assert lost_tails(log) == [LostTail("readers", "trial", 0, position=50, end=kept)]


@pytest.mark.embedded
def test_a_whole_log_has_lost_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "log") as log:
        assert lost_tails(log) == []


@pytest.mark.embedded
def test_sockets_of_killed_processes_are_swept(tmp_path: Path) -> None:
    place = Place.at(f"embedded:{tmp_path / 'log'}")
    sockets = tmp_path / "log" / "wake" / "sockets"
    process = place.run("consume", place.group)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert len(list(sockets.iterdir())) == 1
    process.kill()
    process.wait()
    log = place.open()
    assert list(sockets.iterdir()) == []
    log.append(place.topic.name, [Record("k", b"")])
    assert list((tmp_path / "log" / "wake" / place.topic.name).iterdir()) == []
    place.close()


@pytest.mark.embedded
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnavailable, match="file"):
        EmbeddedLog(tmp_path / "file")
    with EmbeddedLog(tmp_path / "log", TOPIC) as log:
        (tmp_path / "log" / "topics" / "trial.db").write_bytes(b"not a database" * 100)
        with pytest.raises(LogUnavailable, match=r"trial\.db"):
            log.append("trial", [Record("k", b"")])


@pytest.mark.embedded
def test_a_long_path_does_not_stop_the_waking(tmp_path: Path) -> None:
    with EmbeddedLog(tmp_path / ("long" * 40) / "log", TOPIC) as log, EmbeddedLog(log._folder, TOPIC) as other:
        consumer = log.subscribe("readers", ["trial"])
        settle([consumer], 1)
        other.append("trial", [Record("k", b"x")])
        assert len(consumer.poll(timeout_s=0.2)) == 1
    shutil.rmtree(tmp_path / ("long" * 40))


def commit_raw(place: Place, position: int, log_id: str) -> None:
    """Commit as a member of the group on some other log would have."""
    consumer = KafkaConsumer(
        bootstrap_servers=place.address.removeprefix("kafka:"), group_id=place.group, enable_auto_commit=False
    )
    partition = TopicPartition(place.topic.name, 0)
    consumer.assign([partition])
    consumer.commit({partition: OffsetAndMetadata(position, log_id, -1)})
    consumer.close()


@pytest.mark.real
@pytest.mark.parametrize(("foreign", "error"), [(True, ForeignLog), (False, PositionPastEnd)])
def test_a_kafka_group_with_bad_positions_is_halted(
    kafka_broker: Broker, foreign: bool, error: type[Exception]
) -> None:
    place = Place.at(f"kafka:{kafka_broker.address}")
    log = place.open()
    log.append(place.topic.name, [Record(None, b"x") for _ in range(12)])
    commit_raw(place, 1 if foreign else 40, "kafka-elsewhere" if foreign else log.log_id)
    consumer = log.subscribe(place.group, [place.topic.name])
    for _ in range(2):
        with pytest.raises(error):
            drain([consumer], lambda _: False)
    assert not consumer.ready()
    place.close()


@pytest.mark.real
def test_kafka_positions_carry_the_log_id(kafka_broker: Broker) -> None:
    place = Place.at(f"kafka:{kafka_broker.address}")
    log = place.open()
    log.append(place.topic.name, [Record("k", b"x")])
    consumer = log.subscribe(place.group, [place.topic.name])
    found = drain([consumer], lambda found: len(found) == 1)
    assert positions_after(found).items() <= place.open().committed(place.group).items()
    assert place.open().log_id == log.log_id
    assert log.log_id.startswith("kafka-")
    place.close()


@pytest.mark.real
def test_a_kafka_groups_foreign_positions_can_be_forgotten_and_others_stay(kafka_broker: Broker) -> None:
    place = Place.at(f"kafka:{kafka_broker.address}")
    log = place.open()
    log.append(place.topic.name, [Record("k", b"x")])
    for stranger in ("", log.log_id):  # of a program that is not ours, and of this log itself
        commit_raw(place, 1, stranger)
        assert log.forget_foreign_positions() == 0
    commit_raw(place, 1, "kafka-elsewhere")
    assert log.forget_foreign_positions() == 1
    assert log.committed(place.group) == {}
    consumer = log.subscribe(place.group, [place.topic.name])
    assert [record.value for record in drain([consumer], lambda found: len(found) == 1)] == [b"x"]
    place.close()
