"""An audit of a whole stack: fixes how far to judge, shares the parts among processes, and reports."""

import gc
import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from shop_stack.eventlog.opening import open_log
from shop_stack.events.topics import ACTIONS, DEAD_LETTERS, INCIDENTS, TOPICS
from shop_stack.kafka_access import IN_THE_CLEAR, KafkaAccess
from shop_stack.moments import micros, moment
from shop_stack.operations import audit_stores as stores
from shop_stack.operations import audit_streams
from shop_stack.operations import audit_tasks as tasks
from shop_stack.operations.audit import Excuses, Invariant, Report, Watermark, merged
from shop_stack.operations.audit_books import Book, PostgresBook
from shop_stack.operations.audit_columns import NO_KEYS, Reading
from shop_stack.operations.audit_log import LogFiles, LogRows, LogThroughInterface, Positions, read_topic
from shop_stack.operations.audit_streams import Outgoing
from shop_stack.operations.audit_tasks import Books, Consumer, Found, Frame, Streams
from shop_stack.operations.store import SOURCE
from shop_stack.settings import SQLITE, Home, Settings

FEW = 40_000  # records up to which one process is quicker than two
COMMON = (ACTIONS.name, INCIDENTS.name, DEAD_LETTERS.name)
"""The topics on which several stores may publish."""
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class HomeBooks:
    """The books in a home folder; the log may be a Kafka cluster instead, the stores databases on a server."""

    home: Home
    log_url: str = "embedded:"
    stores_url: str = SQLITE
    store_secrets: Path | None = None
    kafka: KafkaAccess = IN_THE_CLEAR

    def store(self, service: str) -> Book:
        if self.stores_url == SQLITE:
            return stores.open_store(self.home.store(service))
        # The driver for PostgreSQL costs 20 MB: only where it is used.
        from shop_stack.postgres import server_of

        return PostgresBook(server_of(self.stores_url, self.store_secrets), service)

    def ledger(self) -> sqlite3.Connection:
        return stores.open_store(self.home.provider_ledger)

    def operations(self) -> sqlite3.Connection:
        return stores.open_store(self.home.operations_store)

    def log(self) -> LogRows:
        if self.log_url.startswith("kafka://"):
            return LogThroughInterface(open_log(Settings(home=self.home, log_url=self.log_url, kafka=self.kafka)))
        return LogFiles(self.home.log)


@dataclass(frozen=True)
class Shop:
    """What is audited: the services (in the order of the stack), what each publishes where, and who follows what."""

    services: list[str]
    publishes: Mapping[str, frozenset[str]]
    consumers: list[Consumer]
    step_deadline_s: float
    delivery_s: float


class Work(Protocol):
    """Runs a part, here or in another process."""

    def __call__(self, part: Callable[..., Any], *arguments: Any) -> "Result": ...


class Result(Protocol):
    """What a part will have found."""

    def result(self) -> Any: ...


def run_audit(
    books: Books,
    shop: Callable[[], Shop],
    desired: Mapping[str, int],
    now: datetime,
    *,
    strict: bool = False,
    beside: Callable[[Frame], list[Invariant]] = lambda frame: [],
    few: int = FEW,
) -> Report:
    """Audit the books as of `now`. `beside` finds further invariants while other processes work.

    `strict`: nothing is in flight. Logs of more than `few` records are shared among two processes; `books` must then
    be picklable. Raises BookUnreadable, LogUnavailable.
    """
    began = time.monotonic()
    the_shop = _with_positions(books, shop())
    frame, records = _frame(books, the_shop, now, strict)
    with _working(records > few) as work:
        invariants, orders = _judge(books, frame, the_shop, desired, work, beside)
    with closing(books.log()) as log:
        quiet = frame.watermark.at_us == frame.watermark.now_us and frame.ends == _ends(log, frame.ends)
    return Report(
        ok=all(found.status != "violated" for found in invariants),
        invariants=invariants,
        watermark=moment(frame.watermark.at_us),
        quiet=quiet,
        strict=strict,
        orders=orders,
        records=records,
        seconds=round(time.monotonic() - began, 3),
    )


def _judge(
    books: Books,
    frame: Frame,
    shop: Shop,
    desired: Mapping[str, int],
    work: Work,
    beside: Callable[[Frame], list[Invariant]],
) -> tuple[list[Invariant], int]:
    """All invariants, and how many orders there are."""
    streams = [work(tasks.audit_streams_of, books, frame, share) for share in share_topics(shop)]
    of_orders = work(tasks.audit_orders, books, frame)
    of_stock = tasks.audit_stock_levels(books, frame)  # here: behind two long parts it would leave one process idle
    of_operations, sent = tasks.audit_operations(books, desired)
    others = beside(frame)
    found: list[Invariant] = [*of_orders.result(), *of_stock]
    orders = found[0].rows_checked
    shares: list[Found] = [part.result() for part in streams]
    found += [one for share in shares for one in share.invariants]
    found += _over_all_shares(books, frame, shares, sent)
    return merged([*found, *of_operations, *others]), orders


def _over_all_shares(
    books: Books, frame: Frame, shares: Sequence[Found], sent: Mapping[str, Outgoing]
) -> list[Invariant]:
    """The topics on which several stores publish, whose outboxes have been read by now, and what inboxes have handled
    of any topic.
    """
    outgoing = {topic: [rows] for topic, rows in sent.items()}
    for share in shares:
        for topic, rows in share.elsewhere.items():
            outgoing.setdefault(topic, []).extend(rows)
    found: list[Invariant] = []
    seen = [share.seen for share in shares]
    with closing(books.log()) as log:
        for topic in sorted(outgoing.keys() | set(COMMON)):
            records = read_topic(log, topic, log.ends(topic))
            seen.append(records.keys)
            found += tasks.audit_topic(records, tasks.together(outgoing.get(topic, [])), frame, tasks.nothing_handled)
    every = np.sort(np.concatenate([NO_KEYS, *seen]))
    handled = {name: one for share in shares for name, one in share.handled.items()}
    for name, (number, gone) in handled.items():
        found.append(audit_streams.handled_events_are_logged(name, number, audit_streams.unlogged(gone, every)))
    return found


def share_topics(shop: Shop) -> list[Streams]:
    """The topics in shares that no consumer and no store straddles, those of the most topics first."""
    common = set(COMMON)
    owned = {service: set(topics) - common for service, topics in shop.publishes.items()}
    followed = [set(consumer.kinds) - common for consumer in shop.consumers]
    joined: list[set[str]] = []
    for topics in [some for some in (*owned.values(), *followed) if some]:
        touching = [some for some in joined if some & topics]
        joined = [some for some in joined if not some & topics] + [topics.union(*touching)]
    shares = []
    for some in sorted(joined, key=lambda topics: (-len(topics), sorted(topics))):
        followers = [consumer for consumer in shop.consumers if set(consumer.kinds) & some]
        also = {topic for consumer in followers for topic in consumer.kinds} & common
        publishers = sorted(service for service, topics in owned.items() if topics & some)
        shares.append(Streams(sorted(some), sorted(also), publishers, followers))
    return [*shares, *_left_over(shop, owned)]


def _left_over(shop: Shop, owned: Mapping[str, set[str]]) -> list[Streams]:
    """Those who publish or follow nothing but common topics."""
    consumers = [consumer for consumer in shop.consumers if set(consumer.kinds) <= set(COMMON)]
    topics = {topic for consumer in consumers for topic in consumer.kinds}
    publishers = sorted(service for service, some in owned.items() if not some)
    return [Streams([], sorted(topics), publishers, consumers)] if consumers or publishers else []


def _with_positions(books: Books, shop: Shop) -> Shop:
    """The shop with what each consumer has committed by now, before its store is read."""
    with closing(books.log()) as log:
        fixed = [msgspec.structs.replace(one, committed=log.committed(one.name)) for one in shop.consumers]
    return replace(shop, consumers=fixed)


def _frame(books: Books, shop: Shop, now: datetime, strict: bool) -> tuple[Frame, int]:
    """The fixed ends and positions, the watermark and the excuses; and how many records there are to read."""
    now_us = micros(now)
    parked: set[str] = set()
    with closing(books.log()) as log:
        followed = {topic for topics in shop.publishes.values() for topic in topics} | set(COMMON)
        followed |= {topic for consumer in shop.consumers for topic in consumer.kinds}
        ends = {topic: log.ends(topic) for topic in sorted(followed)}
        settled = [now_us, *_oldest_unread(log, shop.consumers, ends)]
        records = sum(
            end - log.starts(topic).get(number, 0) for topic, of in ends.items() for number, end in of.items()
        )
        incidents = tasks.open_incidents(log)
    for service in shop.services:
        with closing(books.store(service)) as store:
            unsent = stores.oldest_unpublished(store)
            settled += [unsent] if unsent is not None else []
            parked |= stores.read_parked(store, service)[1]
    return Frame(
        watermark=Watermark(at_us=min(settled), now_us=now_us, strict=strict),
        excuses=Excuses(incidents, frozenset(parked)),
        ends=ends,
        sources=[*(f"/{service}" for service in shop.services), SOURCE],
        step_deadline_s=shop.step_deadline_s,
        delivery_s=shop.delivery_s,
    ), records


def _oldest_unread(log: LogRows, consumers: Iterable[Consumer], ends: Positions) -> Iterator[int]:
    """When the first event was appended that a consumer has yet to handle, of each partition; microseconds."""
    for consumer in consumers:
        for topic, kinds in consumer.kinds.items():
            starts, committed = log.starts(topic), consumer.committed.get(topic, {})
            for partition, end in ends[topic].items():
                position = max(committed.get(partition, 0), starts[partition])
                waiting = _first_of(log, topic, partition, position, end, kinds)
                if waiting is not None and (at := log.appended_ms(topic, partition, waiting)) is not None:
                    yield at * 1000


def _first_of(log: LogRows, topic: str, partition: int, start: int, end: int, kinds: frozenset[str]) -> int | None:
    """The position of the first event of these types; of a long row of others the first that was not looked at."""
    chunk = next(log.chunks(topic, partition, start, end), None)
    if chunk is None or not chunk.positions:
        return None
    reading = Reading(topic)
    reading.add(partition, chunk.positions, chunk.lines, chunk.one_by_one)
    records = reading.records()
    found = records.position[records.of_kinds(kinds)]
    beyond = chunk.positions[-1] + 1
    return int(found[0]) if len(found) else beyond if beyond < end else None


def _ends(log: LogRows, like: Positions) -> Positions:
    return {topic: log.ends(topic) for topic in like}


class _Here:
    """A part that is done at once, in this process."""

    def __init__(self, part: Callable[..., Any], *arguments: Any) -> None:
        self._found = part(*arguments)

    def result(self) -> Any:
        return self._found


@contextmanager
def _working(in_processes: bool) -> Iterator[Work]:
    if not in_processes:
        yield _Here
        return
    # Millions of rows live until the end: nothing there is for the collector to find.
    with ProcessPoolExecutor(2, mp_context=_SPAWN, initializer=gc.disable) as pool:

        def submit(part: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return pool.submit(part, *arguments)

        yield submit


def when_last_alive(books: Books) -> datetime:
    """When the newest record was appended to any topic: how far time goes for a stack that is down."""
    newest = 0
    with closing(books.log()) as log:
        for topic in TOPICS:
            for partition, end in log.ends(topic).items():
                if end > log.starts(topic)[partition]:
                    newest = max(newest, log.appended_ms(topic, partition, end - 1) or 0)
    return moment(newest * 1000) if newest else datetime.now(UTC)
