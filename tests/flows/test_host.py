"""One replica at work: problems, health, metrics, timers, calls within and between groups, a clean leave."""

import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pytest

from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import ProductAdded
from shop_stack.hosting import host
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests import toy_service
from tests.flows.shop_in_process import Shop, records, replica_process, running_shop, wait_until

pytestmark = pytest.mark.embedded


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with running_shop(tmp_path, cards={"toy": [toy_service.CARD]}) as running:
        yield running


def test_a_request_answers_and_its_event_reaches_the_log(shop: Shop) -> None:
    answer = shop.post("toy", "/v1/counts/a", {"amount": 3}, subject="jane", key="k")
    assert (answer.status_code, answer.json()) == (201, {"value": 3})
    events = wait_until(lambda: shop.events("shop.inventory"), "the event on the log")
    assert [(e.source, e.subject, e.sequence, e.correlationid) for e in events] == [("/toy", "a", 1, "toy")]
    wait_until(lambda: toy_service.value_of(shop.context("toy"), "tally") >= 2, "the timer's woken turn")
