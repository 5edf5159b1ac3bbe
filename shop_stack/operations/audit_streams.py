"""The books' invariants over events: what the outboxes wrote, what the log holds, and what the inboxes took of it."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shop_stack.operations.audit import NO_EXCUSES, Excuses, Invariant, Tally, merged
from shop_stack.operations.audit_columns import (
    NO_KEY,
    NO_TEXTS,
    Keys,
    Mask,
    Records,
    Texts,
    column,
    first_occurrences,
    grouped,
    keys,
    missing,
    paired,
)

_MOST_NAMED = 10_000  # beyond so many differences they are counted, no longer looked up in the excuses


class Outgoing(NamedTuple):
    """The event ids of one topic in all outboxes: those marked as published, and those still to be sent."""

    published: Texts = NO_TEXTS
    pending: Texts = NO_TEXTS


class Subscription(NamedTuple):
    """What one consumer does with one topic.

    `kinds` are the CloudEvents types it handles, `committed` its next position by partition, `inbox` the ids it has
    handled (of all topics), `parked` those it keeps for later. Ids below `since` may have been pruned. `handled` are
    the inbox's keys, rising, when they are known already.
    """

    consumer: str
    kinds: frozenset[str]
    committed: Mapping[int, int]
    inbox: Texts
    parked: Texts = NO_TEXTS
    since: bytes = b""
    handled: Keys | None = None


def outboxes_equal_log(
    records: Records,
    outgoing: Outgoing,
    services: Iterable[str],
    judged: Mapping[int, int],
    strict: bool = False,
    since: bytes = b"",
    excuses: Excuses = NO_EXCUSES,
) -> Invariant:
    """Every published outbox row is in the log, and every event of a service in the log is in its outbox.

    `services` are the sources that have outboxes. Records at `judged` and beyond came after the outboxes were read:
    they are in flight when no outbox has them, as are rows not yet sent (unless `strict`). Ids below `since` may have
    been removed by retention.
    """
    tally = Tally("outboxes_equal_log", excuses)
    mask = records.from_sources(services)
    logged = np.sort(records.keys if mask.all() else records.keys[mask])
    published, pending = keys(outgoing.published), keys(outgoing.pending)
    tally.rows = len(logged) + len(published) + len(pending)
    lost = missing(published, logged, is_sorted=True)
    if lost.any():
        lost &= outgoing.published >= since
        _name(tally, outgoing.published[lost], None, f"was sent to {records.topic} and is not in the log")
    known = np.sort(np.concatenate((published, pending)))
    if missing(logged, known, is_sorted=True).any():
        extra = mask & missing(records.keys, known, is_sorted=True) & (records.event_id >= since)
        late = extra & ~records.below(dict(judged))
        words = f"is in {records.topic} and in no outbox"
        _name(tally, records.event_id[extra & ~late], records.subject[extra & ~late], words)
        tally.in_flight += int(late.sum())
    waiting = missing(pending, logged, is_sorted=True)
    _name(tally, outgoing.pending[waiting], None, f"waits to be sent to {records.topic}", settled=strict)
    because = ""
    if records.unreadable:
        partition, position = records.unreadable[0]
        because = f"{len(records.unreadable)} records are no events; the first is at {partition}/{position}"
        because = f"{records.topic}: {because}"
    return tally.result(because)


def sequences_gapless(records: Records, services: Iterable[str], excuses: Excuses = NO_EXCUSES) -> Invariant:
    """The sequences of each aggregate begin at 1 and rise by 1 in the order of the log; repeats of an event aside."""
    tally = Tally("sequences_gapless", excuses)
    mask = _versioned(records, services)
    tally.rows = int(mask.sum())
    places = np.flatnonzero(mask)
    places = places[grouped(records.subject_keys[places])]
    ordered, sequence = records.subject_keys[places], records.sequence[places]
    begins = np.ones(len(ordered), dtype=np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    before = np.zeros(len(ordered), dtype=np.int64)
    before[1:] = sequence[:-1]
    before[begins] = 0
    wrong = (sequence != before + 1) & (begins | (sequence != before))
    for at in np.flatnonzero(wrong)[:_MOST_NAMED]:
        words = f"has version {sequence[at]} after {before[at]} in {records.topic}"
        tally.difference(_text(records.subject[places[at]]), words)
    return tally.result()


def one_event_per_version(records: Records, services: Iterable[str], excuses: Excuses = NO_EXCUSES) -> Invariant:
    """One event id for each aggregate, type and sequence, however often it lies in the log."""
    tally = Tally("one_event_per_version", excuses)
    mask = _versioned(records, services)
    tally.rows = int(mask.sum())
    versions = paired(paired(records.subject_keys[mask], records.sequence[mask]), records.kind[mask])
    again = ~first_occurrences(versions)
    for where in np.flatnonzero(mask)[again][:_MOST_NAMED]:
        kind, number = records.kinds[int(records.kind[where])], records.sequence[where]
        words = f"has a second {kind} of version {number}: {_text(records.event_id[where])}"
        tally.difference(_text(records.subject[where]), words)
    return tally.result()


def one_effect_per_event(
    records: Records, services: Iterable[str], handled: Callable[[], Keys], excuses: Excuses = NO_EXCUSES
) -> Invariant:
    """A handled event has led to one event of each type on each aggregate, and not to a second one.

    `handled` answers the keys of the ids in the inboxes, when there is a question: requests have effects too, and
    may well have several of a type.
    """
    tally = Tally("one_effect_per_event", excuses)
    mask = _versioned(records, services) & (records.cause_keys != NO_KEY)
    tally.rows = int(mask.sum())
    cause = records.cause_keys[mask]
    effects = paired(cause ^ (records.subject_keys[mask] << np.uint64(1)), records.kind[mask])
    again = ~first_occurrences(effects)
    if again.any():
        again[again] = ~missing(cause[again], handled())
    for at in np.flatnonzero(mask)[again][:_MOST_NAMED]:
        kind = records.kinds[int(records.kind[at])]
        words = f"had {kind} a second time ({_text(records.event_id[at])}) of event {_text(records.cause[at])}"
        tally.difference(_text(records.subject[at]), words)
    return tally.result()


def handled_once(consumer: str, inbox: Texts, parked: Texts, handled: Keys | None = None) -> Invariant:
    """A consumer has handled each event at most once, and none that it keeps for later.

    `handled` are the inbox's keys, rising, when they are known already.
    """
    tally = Tally("one_effect_per_event")
    tally.rows = len(inbox)
    rising = handled if handled is not None else np.sort(keys(inbox))
    if (rising[1:] == rising[:-1]).any():
        _name(tally, inbox[~first_occurrences(keys(inbox))], None, f"was handled twice by {consumer}")
    both = ~missing(keys(parked), rising, is_sorted=True)
    _name(tally, parked[both], None, f"is parked at {consumer}, which has handled it")
    return tally.result()


def subscribed_events_handled(records: Records, subscription: Subscription, excuses: Excuses = NO_EXCUSES) -> Invariant:
    """Every event of a subscribed type below the consumer's committed position is in its inbox, or parked.

    One whose data the consumer could not read is there by its place in the log.
    """
    tally = Tally("inboxes_equal_log", excuses)
    wanted = records.of_kinds(subscription.kinds)
    if subscription.since:
        wanted &= records.event_id >= subscription.since
    below = records.below(dict(subscription.committed))
    tally.in_flight = int((wanted & ~below).sum())
    wanted &= below
    tally.rows = int(wanted.sum())
    lost = np.flatnonzero(wanted)
    handled = subscription.handled if subscription.handled is not None else np.sort(keys(subscription.inbox))
    lost = lost[missing(records.keys[lost], handled, is_sorted=True)]
    places = keys(_places(records, lost))
    unread = missing(places, handled, is_sorted=True)
    lost, places = lost[unread], places[unread]
    if not len(lost):
        return tally.result()
    waiting = keys(subscription.parked)
    kept = ~missing(records.keys[lost], waiting) | ~missing(places, waiting)
    words = f"was read by {subscription.consumer} from {records.topic} and had no effect"
    _name(tally, records.event_id[lost[~kept]], records.subject[lost[~kept]], words)
    ids = records.event_id[lost[kept]]
    parked = Tally("inboxes_equal_log", Excuses(parked=frozenset(map(_text, ids))))
    _name(parked, ids, None, f"is parked at {subscription.consumer}")
    return merged([tally.result(), parked.result()])[0]


def _places(records: Records, which: npt.NDArray[np.intp]) -> Texts:
    """What the inbox calls records that it could not read: topic, partition and position."""
    where = zip(records.partition[which].tolist(), records.position[which].tolist(), strict=True)
    return column([f"{records.topic}/{partition}/{position}" for partition, position in where])


def unlogged(inbox: Texts, seen: Keys, since: bytes = b"", handled: Keys | None = None) -> Texts:
    """The ids of an inbox that are not among the keys (rising) of the log's events.

    Records that are no events went into it by their place in the log, and are left out as are ids below `since`.
    `handled` are the inbox's keys, rising, when they are known already.
    """
    if handled is not None and not missing(handled, seen, is_sorted=True).any():
        return inbox[:0]
    ids = inbox[missing(keys(inbox), seen, is_sorted=True)]
    return ids[(ids >= since) & np.array([b"/" not in one for one in ids.tolist()], dtype=np.bool_)]


def handled_events_are_logged(consumer: str, handled: int, gone: Texts) -> Invariant:
    """Every event that a consumer has handled (so many) is in the log: those `gone` have been lost since."""
    tally = Tally("inboxes_equal_log")
    tally.rows = handled
    _name(tally, gone, None, f"was handled by {consumer} and is not in the log")
    return tally.result()


def _versioned(records: Records, services: Iterable[str]) -> Mask:
    """The events with a version that came from services, the first occurrence of each."""
    return records.from_sources(services) & (records.sequence > 0) & records.first


def _name(tally: Tally, ids: Texts, subjects: Texts | None, words: str, settled: bool = True) -> None:
    """Count these events as differences; each is explained when its aggregate is."""
    for at in range(min(len(ids), _MOST_NAMED)):
        identifier = _text(ids[at])
        if subjects is None:
            tally.difference(identifier, words, settled)
        else:
            tally.difference(_text(subjects[at]), f"{words}: {identifier}", settled)
    if len(ids) > _MOST_NAMED:
        tally.difference(f"{len(ids) - _MOST_NAMED} more", words, settled, count=len(ids) - _MOST_NAMED)


def _text(value: bytes) -> str:
    return bytes(value).decode(errors="replace")
