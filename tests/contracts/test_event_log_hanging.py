"""The embedded log while one of its writers hangs with the lock in its hands."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shop_stack.errors import LogUnavailable
from shop_stack.eventlog.embedded.database import SharedDatabase

pytestmark = pytest.mark.embedded
SCHEMA = "CREATE TABLE IF NOT EXISTS numbers (number INTEGER)"
PATIENCE_S = 0.3
HOLDER = """
import sys, time
from pathlib import Path
from shop_stack.eventlog.embedded.database import SharedDatabase
with SharedDatabase(Path(sys.argv[1]), sys.argv[2], "FULL").write() as connection:
    connection.execute("INSERT INTO numbers VALUES (1)")
    print("holding", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process in the middle of a write transaction; it commits when it is sent a line."""
    command = [sys.executable, "-c", HOLDER, str(path), SCHEMA]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def insert(database: SharedDatabase, number: int) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))


def numbers(database: SharedDatabase) -> list[int]:
    return [number for (number,) in database.read("SELECT number FROM numbers ORDER BY number")]


def threads() -> int:
    """Threads of this process, as the kernel counts them."""
    return len(os.listdir("/proc/self/task"))


def test_a_hung_writer_is_waited_for_a_while_and_then_said(tmp_path: Path) -> None:
    database = SharedDatabase(tmp_path / "a.db", SCHEMA, "FULL", PATIENCE_S)
    insert(database, 0)
    with holder(tmp_path / "a.db") as process:
        os.kill(process.pid, signal.SIGSTOP)
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(LogUnavailable, match=r"a\.db: another writer has held it for 0\.3 s"):
                insert(database, 2)
            assert time.monotonic() - began >= PATIENCE_S
        assert numbers(database) == [0]
        os.kill(process.pid, signal.SIGCONT)
        process.communicate("go on\n")
    insert(database, 3)
    assert numbers(database) == [0, 1, 3]
    other = SharedDatabase(tmp_path / "a.db", SCHEMA, "FULL", PATIENCE_S)
    insert(other, 4)  # what was given up waiting for is not held by those who gave up
    assert numbers(database) == [0, 1, 3, 4]
    other.close()
    database.close()


def test_what_a_hung_writer_holds_is_still_read_and_a_new_file_of_its_is_waited_for(tmp_path: Path) -> None:
    with holder(tmp_path / "a.db") as process:
        os.kill(process.pid, signal.SIGSTOP)
        database = SharedDatabase(tmp_path / "a.db", SCHEMA, "FULL", PATIENCE_S)
        assert numbers(database) == []
        for path in tmp_path.glob("a.db*"):
            path.rename(tmp_path / path.name.replace("a.db", "b.db") if path.suffix == ".lock" else path)
        new = SharedDatabase(tmp_path / "b.db", SCHEMA, "FULL", PATIENCE_S)
        with pytest.raises(LogUnavailable, match="a process hangs"):
            numbers(new)
    assert numbers(new) == []
    database.close()
    new.close()


def test_threads_of_one_process_wait_no_longer_than_others(tmp_path: Path) -> None:
    database = SharedDatabase(tmp_path / "a.db", SCHEMA, "FULL", PATIENCE_S)
    with database.write():
        failed: list[Exception] = []

        def try_to_insert() -> None:
            try:
                insert(database, 1)
            except LogUnavailable as error:
                failed.append(error)

        thread = threading.Thread(target=try_to_insert)
        thread.start()
        thread.join(30)
    assert len(failed) == 1
    assert numbers(database) == []
    database.close()


def test_a_free_lock_takes_no_thread_and_a_taken_one_is_handed_on(tmp_path: Path) -> None:
    database = SharedDatabase(tmp_path / "a.db", SCHEMA, "FULL", patience_s=30)
    alone = threads()
    for number in range(20):
        insert(database, number)
        assert threads() == alone
    with holder(tmp_path / "a.db") as process:
        waiting = threading.Thread(target=insert, args=(database, 20))
        waiting.start()
        until = time.monotonic() + 30
        while threads() < alone + 2 and time.monotonic() < until:
            waiting.join(0.01)
        assert threads() == alone + 2, "the one that inserts, and the one that waits for the lock"
        process.communicate("go on\n")
        waiting.join(30)
    assert numbers(database) == sorted([1, *range(21)])
    database.close()
