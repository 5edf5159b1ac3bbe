"""The audit's parts, each on snapshots of its own, so that two processes can share them.

Sound while the shop runs, by the order of reading: the log's ends and the groups' positions are fixed first, then the
stores' snapshots are taken, then the log is read up to its ends after that. So what the fixed positions cover must be
in the stores, and what the stores say was sent must be in the log.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from shop_stack.events import ActionRequested, AuditAdvanced, IncidentOpened, IncidentResolved
from shop_stack.events.topics import ACTIONS, INCIDENTS, TOPICS
from shop_stack.ids import uuid7
from shop_stack.moments import moment
from shop_stack.operations import audit, audit_erasure, audit_operators, audit_stock, audit_streams
from shop_stack.operations import audit_stores as stores
from shop_stack.operations.audit import Excuses, Invariant, Watermark
from shop_stack.operations.audit_books import Book
from shop_stack.operations.audit_columns import NO_KEYS, Keys, Records, Texts, first_occurrences, keys
from shop_stack.operations.audit_erasure import ErasedRow
from shop_stack.operations.audit_log import LogRows, Positions, read_topic
from shop_stack.operations.audit_orders import Marked, Plain, Screened, keys_lead_to_orders, screen, with_plain
from shop_stack.operations.audit_streams import Outgoing, Subscription

_MARGIN = timedelta(days=1)


class Books(Protocol):
    """Where the books lie. Each call opens a new read-only handle, with its snapshot taken."""

    def store(self, service: str) -> Book: ...

    def ledger(self) -> Book: ...

    def operations(self) -> Book: ...

    def log(self) -> LogRows: ...


class Consumer(msgspec.Struct, frozen=True):
    """A service's subscription: CloudEvents types by topic, and what its group had committed at first."""

    name: str
    kinds: dict[str, frozenset[str]]
    committed: Positions
    kept: timedelta | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What every part must know: the fixed ends, who publishes, how far it is settled, and what is explained.

    `sources` are the CloudEvents sources that have an outbox.
    """

    watermark: Watermark
    excuses: Excuses
    ends: Positions
    sources: list[str]
    step_deadline_s: float
    delivery_s: float


class Streams(msgspec.Struct, frozen=True):
    """One process's share of the events: topics, the stores that publish on them, and who follows them.

    `common` topics, on which several stores publish, are only held against the inboxes here.
    """

    topics: list[str]
    common: list[str]
    stores: list[str]
    consumers: list[Consumer]


class Found(NamedTuple):
    """What a share found; the outbox rows of other topics; the keys of its events, rising.

    And of each consumer how many events it has handled, and which of them are not in this share.
    """

    invariants: list[Invariant]
    elsewhere: dict[str, list[Outgoing]]
    seen: Keys
    handled: dict[str, tuple[int, Texts]]


@contextmanager
def _opened(books: Books, names: Iterable[str]) -> Iterator[dict[str, Book]]:
    handles = {name: books.store(name) for name in names}
    try:
        yield handles
    finally:
        for handle in handles.values():
            handle.close()


def audit_orders(books: Books, frame: Frame) -> list[Invariant]:
    """Orders, money, parcels and requests; orders are read first, so that the others are at least as far."""
    excuses, watermark = frame.excuses, frame.watermark
    with _opened(books, ("orders", "payments", "inventory", "shipping")) as opened, closing(books.ledger()) as ledger:
        marked = stores.read_marked(opened, ledger)
        seen = screen(marked, excuses) if marked is not None else Screened(Plain())
        plain, only = seen.plain, seen.looked_at
        orders = stores.read_orders(opened["orders"], watermark.at_us, seen.others)
        reservations = stores.read_reservation_states(opened["inventory"], only)
        accounts, shipments = stores.read_accounts(ledger, only), stores.read_shipments(opened["shipping"], only)
        payments = stores.read_payments(opened["payments"], only)
        known = _with_younger(books, orders, watermark, [reservations, accounts, shipments])
        agreed = (plain.completed + plain.failed, plain.amount)
        reached = audit.orders_reach_an_end(
            orders.values(), frame.step_deadline_s, frame.delivery_s, watermark, excuses
        )
        return [
            with_plain(reached, agreed[0]),
            _keys_and_orders(books, opened["orders"], marked, frame),
            _captures(ledger, excuses),
            with_plain(audit.money_equals_orders(known, accounts, watermark, excuses), agreed[0]),
            audit.money_sums_agree(known, accounts, payments, excuses, agreed),
            with_plain(audit.failures_leave_nothing(known, reservations, accounts, shipments, excuses), plain.failed),
            with_plain(
                audit.completed_orders_are_whole(known, reservations, shipments, watermark, excuses), plain.completed
            ),
        ]


_KEYS_SURELY_KEPT = timedelta(hours=23)


def _keys_and_orders(books: Books, store: Book, marked: Marked | None, frame: Frame) -> Invariant:
    """The checkouts' keys; rows are read when not every order has one key and every key its order."""
    kept_us = frame.watermark.now_us - _microseconds(_KEYS_SURELY_KEPT)
    number, promised = stores.read_promised(store)
    if marked is not None and keys_lead_to_orders(marked.orders, promised, kept_us):
        return with_plain(audit.one_key_one_order((), (), kept_us), number)
    orders = stores.read_orders(store, frame.watermark.at_us)
    with closing(books.store("customers")) as customers:
        forgotten = stores.read_forgotten(customers)
    return audit.one_key_one_order(orders.values(), stores.read_keys(store), kept_us, forgotten, frame.excuses)


def _captures(ledger: Book, excuses: Excuses) -> Invariant:
    """The provider's captures; rows are read when an order has a second one."""
    captured = stores.read_captured(ledger)
    if captured is not None and first_occurrences(keys(captured)).all():
        return with_plain(audit.captured_at_most_once(()), len(captured))
    return audit.captured_at_most_once(stores.read_captures(ledger), excuses)


def _with_younger(
    books: Books, orders: dict[str, audit.OrderRow], watermark: Watermark, others: list[Mapping[str, object]]
) -> dict[str, audit.OrderRow]:
    """The orders, with those that were placed while the others' books were read."""
    strange = sorted({name for other in others for name in other.keys() - orders.keys()})
    if not strange:
        return orders
    with _opened(books, ("orders",)) as again:
        return {**stores.read_orders(again["orders"], watermark.at_us, strange), **orders}


def audit_stock_levels(books: Books, frame: Frame) -> list[Invariant]:
    """Stock, all from one snapshot of inventory's store."""
    with _opened(books, ("inventory",)) as opened:
        inventory = opened["inventory"]
        history = audit_stock.stock_history(stores.read_stock_changes(inventory))
        levels = stores.read_levels(inventory)
        reservations = stores.read_reservations(inventory)
        return [
            audit_stock.stock_never_negative(history, levels, frame.excuses),
            audit_stock.stock_adds_up(history, levels, reservations, frame.excuses),
        ]


def audit_streams_of(books: Books, frame: Frame, share: Streams) -> Found:
    """Outboxes, log and inboxes of some topics."""
    names = {*share.stores, *(consumer.name for consumer in share.consumers)}
    with _opened(books, sorted(names)) as opened, closing(books.log()) as log:
        topics = [*share.topics, *share.common]
        ends = {topic: log.ends(topic) for topic in topics}  # after the snapshots
        outgoing: dict[str, list[Outgoing]] = {}
        for name in share.stores:
            for topic, rows in stores.read_outbox(opened[name]).items():
                outgoing.setdefault(topic, []).append(rows)
        inboxes = [_inbox(opened[one.name], one, frame) for one in share.consumers]
        found = [audit_streams.handled_once(one.consumer.name, one.ids, one.parked, one.keys) for one in inboxes]
        seen: list[Keys] = [NO_KEYS]
        handled = partial(_handled, books, [one.consumer.name for one in inboxes], share.stores)
        for topic in topics:
            records = read_topic(log, topic, ends[topic])
            seen.append(records.keys)
            if topic in share.topics:
                found += audit_topic(records, together(outgoing.pop(topic, [])), frame, handled)
            found += [one.held_against(records, frame) for one in inboxes if topic in one.consumer.kinds]
    every = np.sort(np.concatenate(seen))
    gone = {one.consumer.name: audit_streams.unlogged(one.ids, every, one.logged_since, one.keys) for one in inboxes}
    counts = {one.consumer.name: (len(one.ids), gone[one.consumer.name]) for one in inboxes}
    return Found(audit.merged(found), outgoing, every, counts)


class _Inbox(NamedTuple):
    consumer: Consumer
    ids: Texts
    keys: Keys
    parked: Texts
    since: bytes
    logged_since: bytes

    def held_against(self, records: Records, frame: Frame) -> Invariant:
        """Whether it has what the log has for it."""
        kinds, committed = self.consumer.kinds[records.topic], self.consumer.committed.get(records.topic, {})
        mine = Subscription(self.consumer.name, kinds, committed, self.ids, self.parked, self.since, self.keys)
        return audit_streams.subscribed_events_handled(records, mine, frame.excuses)


def _inbox(store: Book, consumer: Consumer, frame: Frame) -> _Inbox:
    ids, parked = stores.read_inbox(store, consumer.name), stores.read_parked(store, consumer.name)[0]
    logged = consumer.kept - 2 * _MARGIN if consumer.kept is not None else None  # the log forgets before the inbox
    return _Inbox(consumer, ids, np.sort(keys(ids)), parked, _since(frame, consumer.kept), _since(frame, logged))


def _handled(books: Books, *names: Iterable[str]) -> Keys:
    """The keys of all that these services have handled."""
    services = sorted({name for some in names for name in some})
    with _opened(books, services) as opened:
        return np.concatenate([NO_KEYS, *(keys(stores.read_inbox(opened[name], name)) for name in services)])


def nothing_handled() -> Keys:
    """For topics on which no aggregate is told of."""
    return NO_KEYS


def audit_topic(records: Records, outgoing: Outgoing, frame: Frame, handled: Callable[[], Keys]) -> list[Invariant]:
    """One topic against its outboxes, and by itself; `handled` answers the keys of the ids in the inboxes."""
    retention = TOPICS[records.topic].retention_days
    since = _since(frame, timedelta(days=retention) - _MARGIN if retention is not None else None)
    judged = frame.ends.get(records.topic, {})
    strict = frame.watermark.strict
    return [
        audit_streams.outboxes_equal_log(records, outgoing, frame.sources, judged, strict, since, frame.excuses),
        audit_streams.sequences_gapless(records, frame.sources, frame.excuses),
        audit_streams.one_event_per_version(records, frame.sources, frame.excuses),
        audit_streams.one_effect_per_event(records, frame.sources, handled, frame.excuses),
    ]


def audit_operations(books: Books, desired: Mapping[str, int]) -> tuple[list[Invariant], dict[str, Outgoing]]:
    """Operators' actions and their records, and operations' outbox by topic."""
    with closing(books.log()) as log:
        heads = published_heads(read_values(log, ACTIONS.name, log.ends(ACTIONS.name)))
    with closing(books.operations()) as operations:
        actions, chain = stores.read_actions(operations), stores.read_audit(operations)
        sent = stores.read_outbox(operations, "event_id")
    return [
        audit_operators.actions_recorded_once(actions, chain),
        audit_operators.audit_chain_whole(chain, heads),
        audit_operators.replicas_as_asked(actions, desired),
    ], sent


def _erased(books: Books) -> list[ErasedRow]:
    with closing(books.store("customers")) as customers:
        return stores.read_erased(customers)


def audit_erasures(books: Books, frame: Frame, files: Sequence[Path], needles: Sequence[bytes]) -> list[Invariant]:
    """Erased people, in the stores and in these files."""
    erased = _erased(books)
    with _opened(books, audit_erasure.PLACES if erased else ()) as opened:
        remains = [row for place, store in opened.items() for row in audit_erasure.remains_of(erased, place, store)]
    looked = len(files) if needles else 0
    traces = audit_erasure.find_bytes(files, needles) if needles else ()
    return [audit_erasure.erased_people_absent(erased, remains, traces, looked, frame.watermark)]


class _Wire(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Named(msgspec.Struct):
    incident_id: str = ""
    subject: str | None = None
    audit_head: str | None = None


_wire = msgspec.json.Decoder(_Wire)
_named = msgspec.json.Decoder(_Named)


def read_values(log: LogRows, topic: str, ends: dict[int, int]) -> Iterator[tuple[str, _Named]]:
    """The types of a topic's events, and what incidents and actions have in their data."""
    for partition, start in sorted(log.starts(topic).items()):
        for chunk in log.chunks(topic, partition, start, ends.get(partition, start)):
            for value in chunk.one_by_one():
                try:
                    wire = _wire.decode(value)
                    yield wire.type, _named.decode(wire.data)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue


def published_heads(events: Iterable[tuple[str, _Named]]) -> list[str]:
    """The heads of the audit chain that were published, with actions and by themselves."""
    telling = (ActionRequested.type, AuditAdvanced.type)
    return [named.audit_head for kind, named in events if kind in telling and named.audit_head]


def open_incidents(log: LogRows) -> frozenset[str]:
    """What open incidents are about."""
    about: dict[str, str] = {}
    for kind, named in read_values(log, INCIDENTS.name, log.ends(INCIDENTS.name)):
        if kind == IncidentOpened.type and named.subject is not None:
            about[named.incident_id] = named.subject
        elif kind == IncidentResolved.type:
            about.pop(named.incident_id, None)
    return frozenset(about.values())


def together(parts: Sequence[Outgoing]) -> Outgoing:
    """The rows of several outboxes."""
    if len(parts) < 2:
        return parts[0] if parts else Outgoing()
    return Outgoing(np.concatenate([p.published for p in parts]), np.concatenate([p.pending for p in parts]))


def _since(frame: Frame, kept: timedelta | None) -> bytes:
    """The smallest event id that was made within this time; empty for ever."""
    if kept is None:
        return b""
    return uuid7(moment(frame.watermark.now_us) - kept, bytes(10)).encode()


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
