"""Ingestion as it runs by itself: catching up, going on live, waiting for a log that is away, halting at a loss."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics import ingest as ingest_module
from analytics import positions
from analytics.ingest import Ingest
from shop_stack.errors import LogUnavailable
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog
from shop_stack.settings import Home, Settings, to_environment
from tests.analytics_stand import NOW, Stand, placed, record, stand
from tests.operations_stand import until

pytestmark = pytest.mark.embedded


class MoodyLog:
    """An event log that can be away, or come to an earlier end than before."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.away = self.cut = False

    def wait(self, known: Any, timeout_s: float) -> bool:
        """Whether there is news; raises while the log is away."""
        if self.away:
            raise LogUnavailable("no broker answers")
        return self._log.wait(known, min(timeout_s, 0.05))

    def ends(self, topic: str) -> list[int]:
        """The ends, all 0 when cut."""
        return [0 if self.cut else end for end in self._log.ends(topic)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@contextmanager
def running(ingest: Ingest) -> Iterator[threading.Thread]:
    """Ingestion on a thread of its own."""
    stop = threading.Event()
    thread = threading.Thread(target=ingest.run, args=(stop,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def read_all_of(made: Stand, topic: str) -> Callable[[], bool]:
    return lambda: list(made.ingest.watermark.positions[topic].values()) == made.log.ends(topic)


def test_what_was_missed_is_caught_up_and_what_comes_is_read_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "_MOST_RECORDS", 1500)
    with stand(tmp_path) as made:
        made.log.append("shop.orders", [record(placed(f"o{n}"), NOW) for n in range(4200)])
        with running(made.ingest):
            until(read_all_of(made, "shop.orders"), 30)
            until(lambda: made.warehouse.ask("select sum(events) from kept_topic_minutes", {}).rows == [(4200,)])
            made.log.append("shop.orders", [record(placed("live"), NOW)])
            until(read_all_of(made, "shop.orders"))
        assert sum(row["orders"] for row in made.ask("orders_by_minute")) == 4201
        made.check()


def test_a_log_that_is_away_is_said_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "_RETRY_S", 0.01)
    log = MoodyLog(EmbeddedLog(tmp_path / "log"))
    with stand_on(tmp_path, log) as made:
        log.away = True
        with running(made.ingest):
            until(lambda: made.ingest.watermark.trouble == "no broker answers")
            assert made.ingest.watermark.halted is None
            log.away = False
            made.put(placed("o1"))
            until(read_all_of(made, "shop.orders"))
        assert made.ingest.watermark.trouble is None


def test_a_tail_that_is_lost_while_it_runs_halts_it(tmp_path: Path) -> None:
    now = [NOW.timestamp()]
    log = MoodyLog(EmbeddedLog(tmp_path / "log"))
    with stand_on(tmp_path, log) as made:
        made.ingest = Ingest(made.log, made.warehouse, clock=lambda: now[0])
        made.put(placed("o1"))
        with running(made.ingest) as thread:
            until(read_all_of(made, "shop.orders"))
            log.cut = True
            assert made.ingest.watermark.halted is None
            now[0] += 31
            until(lambda: not thread.is_alive())
        assert "lost its tail" in (made.ingest.watermark.halted or "")


def test_positions_are_told_while_analytics_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path)
    for name, value in to_environment(Settings(home=home)).items():
        monkeypatch.setenv(name, value)
    home.warehouse.parent.mkdir(parents=True, exist_ok=True)
    assert positions.main() == 0
    assert msgspec.json.decode(capsys.readouterr().out) == {"log_id": "", "positions": []}
    with stand(home.warehouse.parent) as made:
        made.put(placed("o1"), placed("o2"))
        made.catch_up()
        log_id, ends = made.log.log_id, made.log.ends("shop.orders")
        (home.warehouse.parent / "warehouse.duckdb").rename(home.warehouse)
    command = [sys.executable, "-m", "analytics.positions"]
    told = msgspec.json.decode(subprocess.run(command, capture_output=True, check=True).stdout)
    assert told["log_id"] == log_id
    known = {(topic, number): position for topic, number, position in told["positions"]}
    assert [known.get(("shop.orders", number), 0) for number in range(len(ends))] == ends
    home.warehouse.write_bytes(b"no database")
    assert positions.main() == 1
    assert "warehouse" in capsys.readouterr().err


@contextmanager
def stand_on(folder: Path, log: Any) -> Iterator[Stand]:
    """A stand over this log."""
    made = Stand(folder, log)
    try:
        yield made
    finally:
        made.close()
