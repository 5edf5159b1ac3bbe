"""Idempotency keys: a creating request's effect happens once, whoever repeats it and when."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from shop_stack.hosting import context as hosting
from shop_stack.hosting.context import Context
from shop_stack.hosting.service import Answer, KeyReused, StillWorking, Transaction
from tests import toy_service
from tests.contracts.toy_parts import toy_context

pytestmark = pytest.mark.embedded
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = toy_context(tmp_path)
    yield made
    made.store.close()


def once(context: Context, work: Callable[[Transaction], Answer], *, key: str = "k", subject: str = "jane",
         path: str = "/v1/counts/a", body: bytes = b"{}") -> Answer:  # fmt: skip
    """The toy's creating request."""
    return context.once(key, subject, "POST", path, body, work)


def add_one(transaction: Transaction) -> Answer:
    """The work of a request: the answer tells its number."""
    return Answer(201, str(toy_service.add(transaction, "a", 1)).encode())


def test_a_repeat_gets_the_stored_answer(context: Context) -> None:
    assert once(context, add_one) == once(context, add_one) == Answer(201, b"1")
    assert toy_service.value_of(context, "a") == 1


def test_subject_and_path_and_key_are_its_scope(context: Context) -> None:
    once(context, add_one)
    once(context, add_one, subject="joe")
    once(context, add_one, path="/v1/counts/b")
    once(context, add_one, key="other")
    assert toy_service.value_of(context, "a") == 4


def test_another_body_under_the_key_is_refused(context: Context) -> None:
    once(context, add_one)
    with pytest.raises(KeyReused):
        once(context, add_one, body=b"{ }")
    assert toy_service.value_of(context, "a") == 1


def test_work_that_fails_keeps_neither_effect_nor_key(context: Context) -> None:
    def fail(transaction: Transaction) -> Answer:
        add_one(transaction)
        raise ValueError("out of stock")

    with pytest.raises(ValueError, match="out of stock"):
        once(context, fail)
    assert once(context, add_one) == Answer(201, b"1")


def test_the_answer_outlives_the_process(context: Context, tmp_path: Path) -> None:
    once(context, add_one)
    context.store.close()
    again = toy_context(tmp_path)
    assert once(again, add_one) == Answer(201, b"1")
    again.store.close()


def test_twins_in_several_threads_and_replicas_are_one(context: Context, tmp_path: Path) -> None:
    replicas = [context, toy_context(tmp_path)]
    answers: list[Answer] = []
    together = threading.Barrier(8)

    def ask(replica: Context) -> None:
        together.wait()
        answers.append(once(replica, add_one))

    threads = [threading.Thread(target=ask, args=(replicas[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [Answer(201, b"1")] * 8
    assert toy_service.value_of(context, "a") == 1


def test_a_twin_that_takes_too_long_is_said(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "TWIN_WAITS_S", 0.1)
    at_work, let_go = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> Answer:
        at_work.set()
        assert let_go.wait(20)
        return add_one(transaction)

    first = threading.Thread(target=once, args=(context, slow))
    first.start()
    assert at_work.wait(20)
    with pytest.raises(StillWorking):
        once(context, add_one)
    let_go.set()
    first.join()
    assert once(context, add_one) == Answer(201, b"1")


def hold_the_store(folder: Path, channel: Connection) -> None:
    """A replica, as a process, that hangs in the middle of a write until it is told to go on."""
    replica = toy_context(folder)
    with replica.write():
        channel.send("holds")
        channel.recv()
    replica.store.close()


def test_a_twin_of_another_process_is_waited_for_no_longer_than_one_of_this_on_sqlite(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "TWIN_WAITS_S", 0.2)
    ours, theirs = SPAWN.Pipe()
    replica = SPAWN.Process(target=hold_the_store, args=(tmp_path, theirs), daemon=True)
    replica.start()
    try:
        assert ours.poll(30)
        assert ours.recv() == "holds"
        for _ in range(3):
            with pytest.raises(StillWorking):
                once(context, add_one)
        ours.send("go on")
        replica.join(20)
        assert replica.exitcode == 0
    finally:
        replica.kill()
    assert once(context, add_one) == once(context, add_one) == Answer(201, b"1")
